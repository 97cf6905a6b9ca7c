"""One hidden test on one submission again, with the inputs of its grading, and on the reference beside it."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from autograder.course.assignment import Assignment
from autograder.diagnosis.replay import Recorded, Recorder, replay
from autograder.faults import GraderFault
from autograder.grading.execution import Budget, Execution
from autograder.grading.prepare_submission import prepare_submission
from autograder.results.result import Result
from autograder.testing.findings import Finding, Pass
from autograder.testing.in_process import InProcess
from autograder.testing.plugin import marker_of
from autograder.testing.pytest_run import run_pass


@dataclass(frozen=True)
class Step:
    """One request of the test: what the submission answered and what the reference answers to the same."""

    do: str
    fields: dict[str, Any]
    found: Any
    expected: Any


@dataclass(frozen=True)
class Replayed:
    """A test as it went; `error_of_cell` is how the component's own cell ended, where that was an error."""

    finding: Finding
    steps: tuple[Step, ...]
    error_of_cell: dict[str, Any] | None


class _Names:
    """Keeps the tests that pytest has found."""

    def __init__(self) -> None:
        self.cells: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.cells = {item.name: marker_of(item)[1] for item in session.items}


def test_cells(assignment: Assignment) -> dict[str, str]:
    """Every hidden test by its full name, as pytest calls it, with the cell that it tests."""
    names, graders = _Names(), assignment.graders
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        pytest.main(
            [str(graders), "--collect-only", "-p", "no:cacheprovider", "-p", "no:terminal", "--import-mode=importlib",
             "--rootdir", str(graders.parent), "-c", str(graders.parent / "pytest.ini")],
            plugins=[names],
        )  # fmt: skip
    if not names.cells:
        raise GraderFault(f"no hidden tests in {graders}: {said.getvalue()[-300:]}")
    return names.cells


def replay_test(
    assignment: Assignment, path: Path, test: str, recorded: Result | None, sandbox: Literal["auto", "none"]
) -> Replayed:
    """Run `test` alone on the notebook in `path`, in the sandbox. Raises NotGradable, NoSandbox or KeyError.

    `recorded` tells which components had full points then: some tests look at that.
    """
    prepared = prepare_submission(path, assignment, sandbox)
    execution = Execution(prepared.notebook, prepared.tier, prepared.seen, "definitions", Budget())
    watched = Recorder(execution)
    current = Pass(assignment, watched, only=frozenset({test}), full_cells=_full_cells(assignment, recorded))
    try:
        findings = {f.name: f for f in run_pass(current).findings}
        finding = findings[test]
        error = execution.error_of(finding.cell)
    finally:
        execution.close()
    requests = [Recorded(test, do, seconds, fields, answer) for do, seconds, fields, answer in watched.kept]
    expected = _of_reference(assignment, finding.cell, requests)
    steps = (Step(r.do, r.fields, r.answer, e) for r, e in zip(requests, expected, strict=True))
    return Replayed(finding, tuple(steps), error)


def _full_cells(assignment: Assignment, recorded: Result | None) -> frozenset[str] | None:
    if recorded is None:
        return None
    return frozenset(
        cell
        for cell in assignment.upstream
        if (outcome := recorded.cells.get(assignment.test_cell(cell)))
        and all(t.status == "passed" and not t.follow_through for t in outcome.tests)
    )


def _of_reference(assignment: Assignment, cell: str, requests: Sequence[Recorded]) -> list[Any]:
    """The reference's answers to the same requests; a Failure where it cannot be asked that."""
    reference = InProcess(assignment)
    reference.reach(assignment.test_cell(cell))
    return list(replay(requests, reference))
