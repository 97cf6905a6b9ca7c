"""Credit that does not fall twice for one mistake: a failed component is tested once more on working parts below it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autograder.assignments import Assignment
from autograder.grading.execution import Budget, Execution, StandIns
from autograder.grading.plugin import Finding, Pass
from autograder.grading.prepare import Prepared
from autograder.grading.pytest_run import run_pass
from autograder.sandbox.session import Raised


@dataclass(frozen=True)
class Verdict:
    """Which tests of a cell earn their points, and, by test, the upstream cells that were replaced for it."""

    earns: dict[str, bool]
    with_stand_ins: dict[str, tuple[str, ...]]

    @property
    def full(self) -> bool:
        return all(self.earns.values())


def earning(findings: Iterable[Finding]) -> dict[str, bool]:
    """Tests of one cell in one run that earn: what passed, properties only where the plain values are right, too."""
    findings = list(findings)
    values_right = all(f.passed for f in findings if f.role == "value")
    return {f.name: f.passed and (values_right or f.role != "property") for f in findings}


def verdicts(found: Pass, prepared: Prepared, budget: Budget) -> dict[str, Verdict]:
    """The verdict on every cell: of the first run, and of a second one where an upstream cell is less than full."""
    assignment = found.assignment
    out: dict[str, Verdict] = {}
    for cell in assignment.upstream:
        findings = [f for f in found.findings if f.cell == cell]
        earns = earning(findings)
        replaced = tuple(c for c in assignment.all_upstream(cell) if not out[c].full)
        helped: dict[str, tuple[str, ...]] = {}
        if replaced and not all(earns.values()) and _worth_trying(cell, findings, assignment):
            again = _once_more(cell, findings, replaced, prepared, assignment, budget)
            helped = {name: replaced for name, earned in again.items() if earned and not earns[name]}
        out[cell] = Verdict({name: earned or name in helped for name, earned in earns.items()}, helped)
    return out


def _worth_trying(cell: str, findings: list[Finding], assignment: Assignment) -> bool:
    """Whether working parts below could change anything: not where the cell is blank or defines nothing."""
    if cell in assignment.self_contained or not _stand_ins_of(assignment).is_file():
        return False
    return not all(f.passed or _blank(f.error, cell) for f in findings)


def _blank(error: BaseException | None, cell: str) -> bool:
    if not isinstance(error, Raised):
        return False
    unfilled = error.type_name == "NotImplementedError" and (error.place or "").startswith(f"{cell}:")
    return unfilled or error.type_name == "Missing"


def _once_more(
    cell: str,
    findings: list[Finding],
    replaced: tuple[str, ...],
    prepared: Prepared,
    assignment: Assignment,
    budget: Budget,
) -> dict[str, bool]:
    stand_ins = StandIns(_stand_ins_of(assignment).read_text(), {c: assignment.defines[c] for c in replaced})
    execution = Execution(prepared.notebook, prepared.tier, prepared.seen, "definitions", budget, stand_ins)
    only = frozenset(f.name for f in findings)
    try:
        return earning(run_pass(Pass(assignment, execution, only=only)).findings)
    finally:
        execution.close()


def _stand_ins_of(assignment: Assignment) -> Path:
    return assignment.graders / "standins.py"
