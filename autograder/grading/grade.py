"""Grade one notebook: hidden pass, verdicts, public pass for what failed, diagnosis, result."""

import ast
import contextlib
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from autograder.course.assignment import Assignment
from autograder.diagnosis.diagnose import Remark, remarks
from autograder.faults import GraderFault
from autograder.grading.execution import Budget, Execution, is_demo
from autograder.grading.graded import Graded, could_not_run
from autograder.grading.messages import MessageSources
from autograder.grading.outcomes import outcomes
from autograder.grading.prepare_submission import NotGradable, Prepared, prepare_submission
from autograder.grading.shown_notebook import shown_notebook
from autograder.notebooks.rebuild import BoundedParser
from autograder.notebooks.released import declared_points
from autograder.notebooks.written import advice
from autograder.results.result import Mode, Result
from autograder.sandbox import gpu
from autograder.sandbox.session import Raised, WorkerError
from autograder.testing.findings import Finding, Pass
from autograder.testing.follow_through import Verdict, verdicts
from autograder.testing.pytest_run import run_pass
from autograder.testing.stand_ins import StandIns

SPENT_SECONDS = 30.0  # with less left, nothing that could be left out is begun


@dataclass(frozen=True)
class Work:
    """A submission that is being graded: the file, what was prepared of it, and the time that it has."""

    path: Path
    assignment: Assignment
    prepared: Prepared
    budget: Budget
    start: float  # seconds, of the monotonic clock

    def execution(self, mode: Mode, stand_ins: StandIns | None = None) -> Execution:
        """The notebook in a worker of its own."""
        return Execution(
            self.prepared.notebook, self.prepared.tier, self.prepared.seen, mode, self.budget, stand_ins
        )  # fmt: skip

    @property
    def spent(self) -> bool:
        return self.budget.deadline - time.monotonic() < SPENT_SECONDS


def grade_notebook(
    path: Path,
    assignment: Assignment,
    *,
    sandbox: Literal["auto", "none"] = "auto",
    execute: Mode = "definitions",
) -> Graded:
    """Grade the notebook in `path`. A file that cannot be graded gets a `could-not-run` result with every cell at 0.

    Raises NoSandbox, CannotStart, FileNotFoundError (no release) or GraderFault: faults of the installation.
    """
    start = time.monotonic()
    try:
        prepared = prepare_submission(path, assignment, sandbox)
        return _better(Work(path, assignment, prepared, Budget(), start), execute)
    except NotGradable as error:
        return could_not_run(path, assignment, str(error), execute)
    finally:
        gpu.give_back()


def _better(work: Work, execute: Mode) -> Graded:
    """Graded as asked for; where a component misses what a demonstration defines, the better of that and of all run."""
    graded, found = _grade(work, execute, hidden_mode="definitions")
    if _wants_demos(found, work.prepared) and not work.spent:
        again, _ = _grade(work, "all", hidden_mode="all")
        if again.result.score > graded.result.score:
            return again
    return graded


def _grade(work: Work, mode: Mode, hidden_mode: Mode) -> tuple[Graded, Pass]:
    """Everything that is shown comes from a second worker, which never sees a hidden input."""
    hidden, shown = work.execution(hidden_mode), work.execution(mode)
    try:
        found = _hidden_pass(work, hidden)
        judged = verdicts(found, partial(_on_stand_ins, work))
        public = _public_pass(work, mode, hidden, shown, found)
    finally:
        hidden.close()
        shown.close()
    said = _diagnosis(work, found, judged, hidden)
    cells = outcomes(found, judged, public, MessageSources(hidden.timeouts, shown), said)
    result = Result(
        assignment=work.assignment.name,
        notebook=work.path.name,
        status="graded",
        score=round(sum(c.score for c in cells.values()), 6),
        max_score=sum(c.max_score for c in cells.values()),
        seconds=round(time.monotonic() - work.start, 2),
        cells=cells,
        tier=work.prepared.tier,
        execute=mode,
        notes=work.prepared.notes + advice(work.prepared.notebook, work.assignment),
    )
    runs = hidden.runs_before_tests() | {i: r for i, r in shown.runs.items() if i >= hidden.first_test}
    return Graded(result, shown_notebook(work.prepared.notebook, runs, found, said)), found


def _hidden_pass(work: Work, hidden: Execution) -> Pass:
    """The hidden tests on hidden inputs. Raises GraderFault where tests are missing."""
    found = run_pass(Pass(work.assignment, hidden))
    with contextlib.suppress(WorkerError):
        hidden.finish()
    hidden.close()
    for cell, points in declared_points(work.assignment).items():
        tested = sum(f.points for f in found.findings if f.cell == cell)
        if abs(tested - points) > 1e-6:
            raise GraderFault(f"the hidden tests of {cell} are worth {tested:g} points and its test cell {points:g}")
    return found


def _public_pass(work: Work, mode: Mode, hidden: Execution, shown: Execution, found: Pass) -> dict[str, Finding]:
    """What failed once more, on public inputs, by test; cells after the tests run, too, where they show anything."""
    failed = frozenset(f.name for f in found.findings if not f.passed)
    if not (failed or mode == "all" or hidden.speaks_after_tests()):
        return {}
    shown.timeouts = dict(hidden.timeouts)
    public: dict[str, Finding] = {}
    if failed:
        full = frozenset(c for c in work.assignment.upstream if found.is_full(c))
        again = run_pass(Pass(work.assignment, shown, public=True, only=failed, full_cells=full))
        public = {f.name: f for f in again.findings}
    with contextlib.suppress(WorkerError):
        shown.finish()
    return public


def _on_stand_ins(work: Work, cell: str, stand_ins: StandIns, only: frozenset[str]) -> list[Finding]:
    """The tests of `cell` once more, in a fresh worker where the components below it are working ones."""
    execution = work.execution("definitions", stand_ins)
    try:
        return run_pass(Pass(work.assignment, execution, only=only)).findings
    finally:
        execution.close()


def _diagnosis(work: Work, found: Pass, judged: dict[str, Verdict], hidden: Execution) -> dict[str, Remark]:
    """What is said about mistakes that are known, from a worker of its own that sees public inputs only."""
    looked_at = [c for c, v in judged.items() if not (hidden.timeouts.get(c) or v.full)]
    if not looked_at or not work.assignment.bank.is_dir() or work.spent:
        return {}
    fresh = work.execution("definitions")
    try:
        return remarks(work.assignment, judged, {f.name: f.error for f in found.findings}, fresh)
    finally:
        fresh.close()


def _wants_demos(hidden: Pass, prepared: Prepared) -> bool:
    """Whether a component failed for want of a name that only a demonstration defines."""
    wanted = {
        f.error.text.split("'")[1]
        for f in hidden.findings
        if isinstance(f.error, Raised) and f.error.type_name == "NameError" and f.error.text.count("'") >= 2
    }
    parser = BoundedParser()  # an experiment cell is the student's
    demos = (c.source for c in prepared.notebook.cells if is_demo(c))
    return bool(wanted) and any(wanted & _stored_names(source, parser) for source in demos)


def _stored_names(source: str, parser: BoundedParser) -> set[str]:
    tree = parser.tree(source)
    nodes = ast.walk(tree) if tree is not None else ()
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
