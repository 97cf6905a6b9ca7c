"""Where a hidden test's requests are answered."""

from typing import Any, Protocol

from autograder.testing.stand_ins import StandIns


class Answering(Protocol):
    """A notebook whose cells run as far as a test cell, and which then answers requests about what they defined.

    It is a submission in its sandboxed worker (`grading.execution`), a text of our own in this process
    (`testing.in_process`), or one of these with every request kept (`diagnosis.replay`).
    """

    stand_ins: StandIns | None  # what is bound in place of the notebook's own parts, after the cells that define them

    @property
    def timeouts(self) -> dict[str, int]:
        """How often requests about each solution cell have run out of time; tests count them here."""

    @property
    def generation(self) -> int:
        """Grows when the notebook starts anew, and all objects that were made are gone."""

    @property
    def alive(self) -> bool:
        """Whether the objects that were made are still there."""

    def reach(self, cell: str) -> None:
        """Have every cell before `cell` run."""

    def request(self, do: str, seconds: float, **fields: Any) -> Any:
        """Have one thing done within so many seconds. Raises WorkerError."""

    def close(self) -> None:
        """Let go of whatever runs."""
