"""Run a rebuilt notebook's cells in a worker, stop where a component is tested, and go on after a crash."""

import time
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from autograder import limits
from autograder.feedback.clean import clean_outputs, clean_text
from autograder.feedback.outputs import new_output
from autograder.grading.shown_outputs import ShownOutputs
from autograder.notebooks.rebuild import grade_id
from autograder.results.result import Mode
from autograder.sandbox.session import Died, OverLimit, Raised, Session, TimedOut, WorkerError
from autograder.sandbox.tiers import Tier
from autograder.sandbox.view import SandboxView
from autograder.testing.stand_ins import StandIns


class OutOfTime(WorkerError):
    """The submission has used up its time."""


@dataclass
class Budget:
    """Seconds that a submission may take, shared by all its passes."""

    deadline: float = field(default_factory=lambda: time.monotonic() + limits.TOTAL_SECONDS)

    def cap(self, seconds: float) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise OutOfTime("the time for this submission is used up")
        return min(seconds, left)


@dataclass(frozen=True)
class CellRun:
    """What running one cell gave: clean notebook outputs, and the error where it failed (type, text, place)."""

    outputs: list[NotebookNode]
    error: dict[str, Any] | None = None


class Execution:
    """One pass over a notebook: `reach` runs cells up to a test cell, `request` then serves its tests."""

    def __init__(
        self,
        notebook: NotebookNode,
        tier: Tier,
        seen: SandboxView,
        mode: Mode,
        budget: Budget,
        stand_ins: StandIns | None = None,
    ) -> None:
        self.cells = notebook.cells
        self.tier, self.seen, self.mode, self.budget = tier, seen, mode, budget
        self.stand_ins = stand_ins
        self.runs: dict[int, CellRun] = {}
        self.generation = 0
        self.timeouts: dict[str, int] = {}
        self._session: Session | None = None
        self._shown = ShownOutputs()
        self._next = 0
        self._fatal: set[int] = set()
        self._places = {g: i for i, c in enumerate(self.cells) if (g := grade_id(c))}

    def reach(self, cell: str) -> None:
        """Have every cell before `cell` run, in a living worker."""
        place = self._places[cell]
        if not self.alive or self._next > place:
            self._restart()
        while self._next < place:
            index = self._next
            self._next += 1
            if self._runs(index):
                self._run(index)
            if self.stand_ins is not None and self.alive:
                self._bind(index)
            if not self.alive:
                self._fatal.add(index)
                self._restart()

    def finish(self) -> None:
        """Run what stands after the last test cell, for its outputs."""
        if self.cells:
            self._places["the end"] = len(self.cells)
            self.reach("the end")

    def request(self, do: str, seconds: float, **fields: Any) -> Any:
        assert self._session is not None
        return self._session.request(do, self.budget.cap(seconds), **fields)

    @property
    def first_test(self) -> int:
        """The index of the first test cell: what ran before it ran before any test spoke to the worker."""
        return next((i for i, c in enumerate(self.cells) if _is_test(c)), len(self.cells))

    def runs_before_tests(self) -> dict[int, CellRun]:
        return {i: run for i, run in self.runs.items() if i < self.first_test}

    def speaks_after_tests(self) -> bool:
        """Whether a cell after the first test cell has shown anything."""
        return any(run.outputs for i, run in self.runs.items() if i > self.first_test)

    def error_of(self, cell: str) -> dict[str, Any] | None:
        """The error that the cell `cell` ended with, if it did."""
        run = self.runs.get(self._places.get(cell, -1))
        return run.error if run else None

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    @property
    def alive(self) -> bool:
        return self._session is not None and self._session.alive

    def _restart(self) -> None:
        self.close()
        self.budget.cap(limits.START_SECONDS)
        self._session = Session(self.tier, self.seen)
        self.generation += 1
        self._next = 0

    def _runs(self, index: int) -> bool:
        cell = self.cells[index]
        if cell.cell_type != "code" or not cell.source.strip() or index in self._fatal:
            return False
        if _is_test(cell):
            return False
        # demonstrations are for the eye: after a crash they are not run a second time
        return not is_demo(cell) or (self.mode == "all" and index not in self.runs)

    def _bind(self, index: int) -> None:
        """Bind the stand-ins of all cells so far: again after each cell, since any cell can bind the names anew."""
        assert self.stand_ins is not None
        so_far = [n for cell, names in self.stand_ins.names.items() if self._places[cell] <= index for n in names]
        if so_far:
            self.request("bind", limits.CALL_SECONDS, source=self.stand_ins.source, names=so_far)

    def _run(self, index: int) -> None:
        assert self._session is not None
        cell = self.cells[index]
        limit = limits.DEMO_SECONDS if is_demo(cell) else limits.CELL_SECONDS
        name = grade_id(cell) or cell.id
        try:
            run = _checked(self._session.request("cell", self.budget.cap(limit), id=name, source=cell.source))
        except (TimedOut, Died) as error:
            if isinstance(error, Died):
                self._session.close()
            run = _stopped(name, error)
        except Raised:
            run = CellRun([], {"type": "Error", "text": "the cell could not be run", "place": None})
        if index not in self.runs:
            self.runs[index] = CellRun(self._shown.fit(run.outputs), run.error)


def _is_test(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and bool(cell.metadata.get("nbgrader", {}).get("grade"))


def is_demo(cell: NotebookNode) -> bool:
    """Whether the cell is for the eye: a demonstration of ours, or an experiment of the student's without points."""
    return not {"demo", "experiment"}.isdisjoint(cell.metadata.get("tags", ()))


def _checked(reply: Any) -> CellRun:
    """What running a cell gave, if it is that, reduced to what may be shown. Raises Died."""
    match reply:
        case {"outputs": list() as outputs, "error": error} if all(isinstance(o, dict) for o in outputs):
            return CellRun(clean_outputs(outputs), _checked_error(error))
    raise Died("the reply is malformed")


def _checked_error(error: Any) -> dict[str, Any] | None:
    match error:
        case None:
            return None
        case {"type": "TookTooLong", "place": str() | None as place}:
            return {"type": "TookTooLong", "text": "the cell was stopped at its time limit", "place": place}
        case {"type": str(name), "text": str(text), "place": str() | None as place}:
            return {"type": name[:100], "text": clean_text(text, 2000), "place": place}
    return {"type": "Error", "text": "the cell failed", "place": None}


def _stopped(name: str, error: WorkerError) -> CellRun:
    named = isinstance(error, TimedOut | OverLimit)
    text = f"The cell {name} {error}." if named else f"The cell {name} ended its process."
    described = {"type": "Stopped", "text": text, "place": None}
    return CellRun([new_output("error", ename="Stopped", evalue=text, traceback=[text])], described)
