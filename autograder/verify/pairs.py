"""Two mistakes at once: a wrong component must not score more because something below it is wrong, too."""

from dataclasses import dataclass

from autograder.bank.versions import Wrong, wrong_versions
from autograder.course.assignment import Assignment
from autograder.testing.findings import Pass
from autograder.testing.hidden_tests import run_tests, tests_of
from autograder.testing.in_process import InProcess
from autograder.testing.stand_ins import stand_ins
from autograder.verify.trial import SEED, Tried, find, plain


@dataclass(frozen=True)
class PairsOutcome:
    """All pairs of one wrong version with the wrong versions of what it rests on; `gains`: (upstream id, points)."""

    id: str
    tried: int
    gains: tuple[tuple[str, float], ...]


def has_pairs(assignment: Assignment, version: Wrong) -> bool:
    return bool(assignment.all_upstream(version.cell)) and version.cell not in assignment.self_contained


def try_pairs(assignment: Assignment, number: int, further: int = 4) -> PairsOutcome:
    """Wrong version `number` with every wrong version of what it calls, and every `further`-th of what these call.

    With follow-through credit, a test earns in the student's own namespace or on stand-ins. On stand-ins a pair is
    what the component alone is; so only tests that fail with a right upstream can gain, and only they are run.
    """
    version = wrong_versions(assignment)[number]
    alone = plain(find(assignment, {version.cell: version.source}, [version.cell]))
    gains: list[tuple[str, float]] = []
    called, all_below = assignment.upstream[version.cell], assignment.all_upstream(version.cell)
    upstream = [w for w in wrong_versions(assignment) if w.cell in called]
    upstream += [w for w in wrong_versions(assignment) if w.cell in all_below and w.cell not in called][::further]
    for cell in dict.fromkeys(w.cell for w in upstream):
        gain = _gain(alone, _on_stand_ins(assignment, version, cell))
        if gain > 0:
            gains.append((f"a stand-in for {cell}", gain))
    for other in upstream:
        gain = _gain_of_pair(assignment, version, other, alone)
        if gain > 0:
            gains.append((other.id, gain))
    return PairsOutcome(version.id, len(upstream), tuple(gains))


def _gain_of_pair(assignment: Assignment, version: Wrong, other: Wrong, alone: tuple[Tried, ...]) -> float:
    replaced = {version.cell: version.source, other.cell: other.source}
    roles = {t.name: t.role for t in tests_of(assignment, version.cell)}
    failing = {t.name for t in alone if not t.passed}
    # properties earn only with right values: while a value test fails, they need not be run
    first = frozenset(name for name in failing if roles[name] != "property") or frozenset(failing)
    again = find(assignment, replaced, [version.cell], only=first)
    if not any(f.passed for f in again.findings):
        return 0.0
    return _gain(alone, plain(find(assignment, replaced, [version.cell])))


def _on_stand_ins(assignment: Assignment, version: Wrong, cell: str) -> tuple[Tried, ...]:
    execution = InProcess(assignment, {version.cell: version.source}, stand_ins(assignment, (cell,)))
    current = Pass(assignment, execution, seed=SEED)
    return plain(run_tests(tests_of(assignment, version.cell), current))


def _gain(alone: tuple[Tried, ...], other: tuple[Tried, ...]) -> float:
    """Points that the tests earn in either run over those earned alone."""
    before = {t.name: t.earned for t in alone}
    best = {t.name: max(t.earned, before[t.name]) for t in other}
    return round(sum(best.values()) - sum(before[name] for name in best), 6)
