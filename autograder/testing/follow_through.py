"""Credit that does not fall twice for one mistake: a failed component is tested once more on working parts below it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from autograder.course.assignment import Assignment
from autograder.sandbox.session import Raised
from autograder.testing.findings import Finding, Pass
from autograder.testing.stand_ins import StandIns, stand_ins, stand_ins_of

# runs the named tests of one cell once more, in a fresh worker with these stand-ins
Retry = Callable[[str, StandIns, frozenset[str]], list[Finding]]


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


def verdicts(found: Pass, retry: Retry) -> dict[str, Verdict]:
    """The verdict on every cell: of the first run, and of a second one where an upstream cell is less than full."""
    assignment = found.assignment
    out: dict[str, Verdict] = {}
    for cell in assignment.upstream:
        findings = [f for f in found.findings if f.cell == cell]
        earns = earning(findings)
        replaced = tuple(c for c in assignment.all_upstream(cell) if not out[c].full)
        helped: dict[str, tuple[str, ...]] = {}
        if replaced and not all(earns.values()) and _worth_trying(cell, findings, assignment):
            again = earning(retry(cell, stand_ins(assignment, replaced), frozenset(f.name for f in findings)))
            helped = {name: replaced for name, earned in again.items() if earned and not earns[name]}
        out[cell] = Verdict({name: earned or name in helped for name, earned in earns.items()}, helped)
    return out


def _worth_trying(cell: str, findings: list[Finding], assignment: Assignment) -> bool:
    """Whether working parts below could change anything: not where the cell is blank or defines nothing."""
    if cell in assignment.self_contained or not stand_ins_of(assignment).is_file():
        return False
    return not all(f.passed or blank(f.error, cell) for f in findings)


def blank(error: BaseException | None, cell: str) -> bool:
    """Whether a test failed only because the cell is not filled in, or defines nothing."""
    if not isinstance(error, Raised):
        return False
    unfilled = error.type_name == "NotImplementedError" and (error.place or "").startswith(f"{cell}:")
    return unfilled or error.type_name == "Missing"
