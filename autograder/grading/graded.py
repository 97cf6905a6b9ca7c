"""A graded submission as it is handed on; nothing here needs torch, so that who only records imports none."""

from dataclasses import dataclass, replace
from pathlib import Path

from nbformat import NotebookNode

from autograder.course.assignment import Assignment
from autograder.notebooks.released import declared_points, release_notebook
from autograder.results.result import CellOutcome, Mode, Result, TestOutcome


@dataclass(frozen=True)
class Graded:
    """A result, and the rebuilt notebook with the outputs of what was run, reduced to safe data.

    `lasting` is False where the same file might fare otherwise the next time.
    """

    result: Result
    notebook: NotebookNode
    lasting: bool = True

    def under(self, digest: str) -> "Graded":
        """The same with the digest of what it follows from, if it is lasting."""
        return replace(self, result=replace(self.result, digest=digest if self.lasting else ""))


def could_not_run(path: Path, assignment: Assignment, reason: str, execute: Mode = "definitions") -> Graded:
    """The result of a file that cannot be graded: every cell at 0, one line that says why."""
    points = declared_points(assignment)
    cells = {assignment.test_cell(cell): _untested(p) for cell, p in points.items()}
    most = sum(points.values())
    result = Result(
        assignment.name, path.name, "could-not-run", 0.0, most, 0.0, cells, error=reason, execute=execute
    )  # fmt: skip
    return Graded(result, release_notebook(assignment))


def _untested(points: float) -> CellOutcome:
    """A cell of a file that cannot be graded: one entry that carries all its points."""
    entry = TestOutcome("not_graded", "The notebook could not be graded", "could-not-run", points, 0.0)
    return CellOutcome(0.0, points, (entry,))
