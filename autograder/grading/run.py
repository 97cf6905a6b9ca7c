"""Grade one notebook: hidden pass, public pass for what failed, result."""

import ast
import contextlib
import copy
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from nbformat import NotebookNode

from autograder.assignments import Assignment
from autograder.diagnosis.diagnose import Remark, remarks
from autograder.feedback.clean import clean_outputs
from autograder.feedback.result_in_notebook import picture_output
from autograder.grading.execution import Budget, CellRun, Execution, StandIns, is_demo
from autograder.grading.follow_through import Verdict, verdicts
from autograder.grading.graded import Graded, could_not_run, declared_points
from autograder.grading.messages import NOT_THERE, Told, followed_through, message
from autograder.grading.plugin import Finding, Pass
from autograder.grading.prepare import NotGradable, Prepared, prepare_submission
from autograder.grading.pytest_run import run_pass
from autograder.grading.result import CellOutcome, Mode, Result, TestOutcome, TestStatus
from autograder.grading.room import Room
from autograder.grading.written import advice
from autograder.misconceptions.bank import BANK
from autograder.notebooks.rebuild import BoundedParser, grade_id
from autograder.sandbox.session import Raised, WorkerError


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
    except NotGradable as error:
        return could_not_run(path, assignment, str(error), execute)
    budget = Budget()
    best = _graded_once(path, prepared, assignment, execute, budget, start, demos=False)
    if best.wants_demos and not _spent(budget):
        again = _graded_once(path, prepared, assignment, "all", budget, start, demos=True)
        if again.graded.result.score > best.graded.result.score:
            best = again
    return best.graded


@dataclass(frozen=True)
class _Once:
    graded: Graded
    wants_demos: bool


def _graded_once(
    path: Path, prepared: Prepared, assignment: Assignment, mode: Mode, budget: Budget, start: float, *, demos: bool
) -> _Once:
    """Hidden pass, then a second worker that never sees a hidden input: all that is shown comes from there."""
    hidden = Execution(prepared.notebook, prepared.tier, prepared.seen, "all" if demos else "definitions", budget)
    shown = Execution(prepared.notebook, prepared.tier, prepared.seen, mode, budget)
    try:
        found = run_pass(Pass(assignment, hidden))
        with contextlib.suppress(WorkerError):
            hidden.finish()
        hidden.close()
        _check_points(found, assignment)
        judged = verdicts(found, partial(_on_stand_ins, prepared, assignment, budget))
        failed = frozenset(f.name for f in found.findings if not f.passed)
        public: dict[str, Finding] = {}
        if failed or mode == "all" or hidden.speaks_after_tests():
            shown.timeouts = dict(hidden.timeouts)
            if failed:
                full = frozenset(c for c in assignment.upstream if found.is_full(c))
                again = run_pass(Pass(assignment, shown, public=True, only=failed, full_cells=full))
                public = {f.name: f for f in again.findings}
            with contextlib.suppress(WorkerError):
                shown.finish()
    finally:
        hidden.close()
        shown.close()
    said = _diagnosed(found, judged, prepared, hidden, budget)
    cells = _outcomes(found, judged, public, Told(hidden.timeouts, shown), said)
    score = round(sum(c.score for c in cells.values()), 6)
    most = sum(c.max_score for c in cells.values())
    result = Result(
        assignment.name, path.name, "graded", score, most, round(time.monotonic() - start, 2), cells,
        tier=prepared.tier, execute=mode, notes=prepared.notes + advice(prepared.notebook, assignment),
    )  # fmt: skip
    runs = hidden.runs_before_tests() | {i: r for i, r in shown.runs.items() if i >= hidden.first_test}
    notebook = _with_outputs(prepared.notebook, runs)
    _with_pictures(notebook, assignment, found, said)
    return _Once(Graded(result, notebook), _wants_demos(found, prepared))


def _on_stand_ins(
    prepared: Prepared, assignment: Assignment, budget: Budget, cell: str, stand_ins: StandIns, only: frozenset[str]
) -> list[Finding]:
    """The tests of `cell` once more, in a fresh worker where the components below it are working ones."""
    execution = Execution(prepared.notebook, prepared.tier, prepared.seen, "definitions", budget, stand_ins)
    try:
        return run_pass(Pass(assignment, execution, only=only)).findings
    finally:
        execution.close()


def _check_points(found: Pass, assignment: Assignment) -> None:
    """Refuse to mark with tests missing: the tests' points must be the cell's."""
    for cell, points in declared_points(assignment).items():
        tested = sum(f.points for f in found.findings if f.cell == cell)
        if abs(tested - points) > 1e-6:
            print(f"the hidden tests of {cell} are worth {tested:g} points, its cell {points:g}")


def _diagnosed(
    found: Pass, judged: dict[str, Verdict], prepared: Prepared, hidden: Execution, budget: Budget
) -> dict[str, Remark]:
    """What is said about mistakes that are known, from a worker of its own that sees public inputs only."""
    assignment = found.assignment
    looked_at = {c: v for c, v in judged.items() if not (hidden.timeouts.get(c) or v.full)}
    errors = {f.name: f.error for f in found.findings}
    if not looked_at or not (BANK / assignment.stem).is_dir() or _spent(budget):
        return {}
    fresh = Execution(prepared.notebook, prepared.tier, prepared.seen, "definitions", budget)
    try:
        return remarks(assignment, judged, errors, fresh)
    finally:
        fresh.close()


def _with_pictures(notebook: NotebookNode, assignment: Assignment, found: Pass, said: dict[str, Remark]) -> None:
    """Put each picture below the test cell of its component."""
    shown = {f.name: (assignment.test_cell(f.cell), said[f.name].picture) for f in found.findings if f.name in said}
    for cell in notebook.cells:
        for place, picture in shown.values():
            if picture is not None and grade_id(cell) == place:
                cell.outputs.append(picture_output(picture.png, picture.caption))


def _outcomes(
    found: Pass, judged: dict[str, Verdict], public: dict[str, Finding], told: Told, said: dict[str, Remark]
) -> dict[str, CellOutcome]:
    cells: dict[str, CellOutcome] = {}
    for cell, verdict in judged.items():
        mine = [f for f in found.findings if f.cell == cell]
        tests = tuple(
            _outcome(f, verdict, public.get(f.name), found.assignment, told, said.get(f.name, Remark())) for f in mine
        )
        cells[found.assignment.test_cell(cell)] = CellOutcome(
            round(sum(t.earned for t in tests), 6), round(sum(t.points for t in tests), 6), tests
        )
    return cells


def _outcome(
    finding: Finding, verdict: Verdict, public: Finding | None, assignment: Assignment, told: Told, remark: Remark
) -> TestOutcome:
    def outcome(status: TestStatus, text: str, *, through: bool = False) -> TestOutcome:
        earned = finding.points if status == "passed" else 0.0
        named = None if status == "passed" else remark.misconception
        return TestOutcome(finding.name, finding.title, status, finding.points, earned, text, named, through)

    if replaced := verdict.with_stand_ins.get(finding.name):
        return outcome("passed", followed_through(replaced, assignment), through=True)
    if verdict.earns[finding.name]:
        return outcome("passed", f"Not tested here: {finding.skipped}" if finding.skipped else "")
    if finding.passed:
        return outcome("failed", _lines(NOT_THERE, remark.text))
    status: TestStatus = "could-not-run" if isinstance(finding.error, WorkerError) else "failed"
    return outcome(status, _lines(message(finding, public, assignment, told), remark.text))


def _lines(*texts: str) -> str:
    return "\n".join(text for text in texts if text)


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


def _spent(budget: Budget) -> bool:
    return budget.deadline - time.monotonic() < 30


def _with_outputs(notebook: NotebookNode, runs: dict[int, CellRun]) -> NotebookNode:
    """The notebook as it is shown: outputs of this run; in demonstrations that were not run, the student's own."""
    notebook = copy.deepcopy(notebook)
    room = Room()
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        own = cell.outputs
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.outputs = []
        elif i in runs:
            run = runs[i]
            keep_own = run.error is not None and cell.metadata.get("course", {}).get("added")
            cell.outputs = room.fit(clean_outputs(own) if keep_own and own else run.outputs)
        else:
            cell.outputs = room.fit(clean_outputs(own))
            if is_demo(cell) and own:
                cell.metadata["course"] = {"not_rerun": True}
    return notebook
