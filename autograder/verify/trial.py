"""Try a version of some cells, in this process: which hidden tests it passes, and what they earn."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autograder.course.assignment import Assignment
from autograder.testing.expect import Mistake
from autograder.testing.findings import Finding, Pass
from autograder.testing.follow_through import Verdict, earning, verdicts
from autograder.testing.hidden_tests import run_tests, tests_of
from autograder.testing.in_process import InProcess
from autograder.testing.stand_ins import StandIns

SEED = "verify"


@dataclass(frozen=True)
class Tried:
    """One hidden test on one version. `symptom` is what the test said, empty where it passed."""

    name: str
    cell: str
    points: float
    earned: float
    symptom: str
    follow_through: bool = False

    @property
    def passed(self) -> bool:
        return not self.symptom


def lost(tried: Iterable[Tried], cell: str) -> float:
    """Points that the tests of `cell` did not earn."""
    return round(sum(t.points - t.earned for t in tried if t.cell == cell), 6)


def find(
    assignment: Assignment,
    replaced: Mapping[str, str],
    cells: Sequence[str],
    *,
    slow: bool = False,
    seed: str = SEED,
    only: frozenset[str] | None = None,
) -> Pass:
    """Run the tests of `cells` on the reference with the texts `replaced` in place of its own."""
    current = Pass(assignment, InProcess(assignment, replaced), seed=seed)
    for cell in (c for c in assignment.upstream if c in cells):
        run_tests((t for t in tests_of(assignment, cell, slow=slow) if only is None or t.name in only), current)
    return current


def plain(found: Pass) -> tuple[Tried, ...]:
    """What was tried, without follow-through credit."""
    earns: dict[str, bool] = {}
    for cell in dict.fromkeys(f.cell for f in found.findings):
        earns |= earning(f for f in found.findings if f.cell == cell)
    return tuple(_tried(f, earns[f.name]) for f in found.findings)


def with_follow_through(found: Pass, replaced: Mapping[str, str], seed: str = SEED) -> tuple[Tried, ...]:
    """What was tried, with the credit that the graders give where something upstream is wrong.

    `found` must hold the tests of every cell between the wrong ones and those that are asked about.
    """
    judged = verdicts(found, _retry(found.assignment, replaced, seed))
    return tuple(_tried(f, judged[f.cell].earns[f.name], judged[f.cell]) for f in found.findings)


def _retry(assignment: Assignment, replaced: Mapping[str, str], seed: str) -> Callable[..., list[Finding]]:
    def retry(cell: str, stand_ins: StandIns, only: frozenset[str]) -> list[Finding]:
        execution = InProcess(assignment, replaced, stand_ins)
        current = Pass(assignment, execution, seed=seed)
        return run_tests((t for t in tests_of(assignment, cell) if t.name in only), current).findings

    return retry


def _tried(finding: Finding, earns: bool, verdict: Verdict | None = None) -> Tried:
    through = verdict is not None and finding.name in verdict.with_stand_ins
    points = finding.points if earns else 0.0
    return Tried(finding.name, finding.cell, finding.points, points, symptom(finding.error), through)


def symptom(error: BaseException | None) -> str:
    """What a test said, without numbers."""
    if error is None:
        return ""
    if isinstance(error, Mistake):
        return error.symptom
    return f"{getattr(error, 'type_name', type(error).__name__)}: {getattr(error, 'text', error)}"[:200]
