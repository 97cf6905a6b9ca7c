"""The `student` of a hidden test: a submission, paused at the test cell of the component under test."""

from typing import Any

from autograder import limits
from autograder.sandbox.session import Died, TimedOut
from autograder.testing.findings import Pass
from autograder.testing.subject import Subject


class Submission(Subject):
    """What `current` runs on. Its cells run as far as the test cell of `cell` at the first request."""

    def __init__(self, current: Pass, cell: str) -> None:
        super().__init__(current.assignment)
        self.current, self.cell, self.execution = current, cell, current.execution
        upstream_hung = any(self.execution.timeouts.get(c) for c in self.assignment.all_upstream(cell))
        self.allowed_timeouts = 1 if upstream_hung else limits.TIMEOUTS_PER_CELL
        self.generation: int | None = None

    def request(self, do: str, seconds: float | None, **fields: Any) -> Any:
        seconds = limits.CALL_SECONDS if seconds is None else seconds
        timeouts = self.execution.timeouts
        if timeouts.get(self.cell, 0) >= self.allowed_timeouts:
            raise TimedOut(seconds)
        if self.generation is None:
            self.execution.reach(self.assignment.test_cell(self.cell))
            self.generation = self.execution.generation
        if self.execution.generation != self.generation or not self.execution.alive:
            raise Died("the worker was started anew")
        try:
            return self.execution.request(do, seconds, **fields)
        except TimedOut:
            timeouts[self.cell] = timeouts.get(self.cell, 0) + 1
            raise

    def upstream_full(self) -> bool:
        """Whether every cell that this component rests on has full points."""
        return all(self.current.is_full(c) for c in self.assignment.all_upstream(self.cell))
