"""The whole proof of one assignment's graders, as data."""

from collections.abc import Callable
from dataclasses import dataclass

from autograder.bank.versions import clauses, correct_variants, wrong_versions
from autograder.course.assignment import Assignment
from autograder.diagnosis.fingerprints import Fingerprint, expected
from autograder.diagnosis.naming import name_mistakes
from autograder.testing.hidden_tests import hidden_tests
from autograder.verify.flakiness import DrawsOutcome, TargetRuns, draws_of, target_runs, try_draws
from autograder.verify.kills import CorrectOutcome, WrongOutcome, try_correct, try_wrong
from autograder.verify.pairs import PairsOutcome, has_pairs, try_pairs
from autograder.verify.pool import Task, spread

NAMED = 0.95  # least share of the bank that must be named rightly
DRAWS_AT_A_TIME = 50
DRAWS_OF_CORRECT = 10  # of the hidden inputs, for each correct variant


@dataclass(frozen=True)
class Named:
    """What diagnosis says of one wrong version, and what it would say if the bank did not hold it."""

    id: str
    candidates: tuple[str, ...]
    without: tuple[str, ...]

    @property
    def rightly(self) -> bool:
        return self.id in self.candidates


@dataclass(frozen=True)
class Proof:
    """Outcomes of every trial. `named`, `pairs` and `draws` are empty in the quick form."""

    assignment: Assignment
    wrong: tuple[WrongOutcome, ...]
    correct: tuple[CorrectOutcome, ...]
    pairs: tuple[PairsOutcome, ...]
    draws: tuple[DrawsOutcome, ...]
    targets: tuple[TargetRuns, ...]
    named: tuple[Named, ...]

    @property
    def survivors(self) -> tuple[WrongOutcome, ...]:
        return tuple(w for w in self.wrong if w.survived)

    @property
    def dragging(self) -> tuple[WrongOutcome, ...]:
        return tuple(w for w in self.wrong if w.dragged)

    @property
    def refused(self) -> tuple[CorrectOutcome, ...]:
        return tuple(c for c in self.correct if c.refused)

    @property
    def compensating(self) -> tuple[PairsOutcome, ...]:
        return tuple(p for p in self.pairs if p.gains)

    @property
    def flaky(self) -> tuple[DrawsOutcome, ...]:
        return tuple(d for d in self.draws if d.refused)

    @property
    def unnamed(self) -> tuple[Named, ...]:
        return tuple(n for n in self.named if not n.rightly)

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Clauses of the contract without a wrong version."""
        covered = {clause for version in wrong_versions(self.assignment) for clause in version.clauses}
        return tuple(clause for clause in clauses(self.assignment) if clause not in covered)

    @property
    def holds(self) -> bool:
        """Whether the graders are proven. Compensating pairs are listed only: their sum is right, so a pass earns."""
        share = 1 - len(self.unnamed) / len(self.named) if self.named else 1.0
        return share >= NAMED and not any((self.survivors, self.dragging, self.refused, self.flaky, self.uncovered))


def prove(
    assignment: Assignment, jobs: int, *, quick: bool, began: Callable[[int], None], step: Callable[[str], None]
) -> tuple[Proof, dict[str, dict[str, Fingerprint]]]:
    """Run all trials, or with `quick` one wrong version a clause, one correct variant a component, and no pairs."""
    tasks = _tasks(assignment, quick)
    began(len(tasks))
    found: dict[int, object] = {}
    for number, outcome in spread(tasks, jobs):
        found[number] = outcome
        step(_said(outcome))
    outcomes = [found[n] for n in range(len(tasks))]
    wrong = tuple(o for o in outcomes if isinstance(o, WrongOutcome))
    prints: dict[str, dict[str, Fingerprint]] = {}
    for one in wrong:
        if one.fingerprint is not None:
            prints.setdefault(one.version.cell, {})[one.version.id] = one.fingerprint
    proof = Proof(
        assignment,
        wrong,
        tuple(o for o in outcomes if isinstance(o, CorrectOutcome)),
        tuple(o for o in outcomes if isinstance(o, PairsOutcome)),
        _joined([o for o in outcomes if isinstance(o, DrawsOutcome)]),
        target_runs(assignment),
        () if quick else _named(assignment, prints),
    )
    return proof, prints


def _tasks(assignment: Assignment, quick: bool) -> list[Task]:
    """Longest first, where that is known."""
    wrong = wrong_versions(assignment)
    chosen = _one_a_clause(assignment) if quick else range(len(wrong))
    correct = correct_variants(assignment)
    first_of = {variant.cell: n for n, variant in reversed(list(enumerate(correct)))}
    draws_of_correct = (("draws", 0 if quick else DRAWS_OF_CORRECT),)
    tried = first_of.values() if quick else range(len(correct))
    tasks = [Task(try_correct, (assignment, n), draws_of_correct) for n in tried]
    options = (("prints", not quick), ("follow", True))
    tasks = [*tasks, *(Task(try_wrong, (assignment, n), options) for n in chosen)]
    if quick:
        return tasks
    pairs = [Task(try_pairs, (assignment, n)) for n, version in enumerate(wrong) if has_pairs(assignment, version)]
    draws = [
        Task(try_draws, (assignment, test.name, first, min(DRAWS_AT_A_TIME, draws_of(test) - first)))
        for test in hidden_tests(assignment)
        if not test.slow
        for first in range(0, draws_of(test), DRAWS_AT_A_TIME)
    ]
    return [*pairs, *tasks, *draws]


def _one_a_clause(assignment: Assignment) -> list[int]:
    """The first wrong version of each clause that an earlier choice does not cover."""
    covered: set[str] = set()
    chosen = []
    for number, version in enumerate(wrong_versions(assignment)):
        if not covered.issuperset(version.clauses):
            covered.update(version.clauses)
            chosen.append(number)
    return chosen


def _joined(outcomes: list[DrawsOutcome]) -> tuple[DrawsOutcome, ...]:
    joined: dict[str, DrawsOutcome] = {}
    for one in outcomes:
        before = joined.get(one.test, DrawsOutcome(one.test, one.cell, 0, ()))
        joined[one.test] = DrawsOutcome(one.test, one.cell, before.draws + one.draws, before.refused + one.refused)
    return tuple(joined.values())


def _named(assignment: Assignment, prints: dict[str, dict[str, Fingerprint]]) -> tuple[Named, ...]:
    found = []
    for cell, known in prints.items():
        right = expected(assignment, cell)
        for name, one in known.items():
            others = {other: print_ for other, print_ in known.items() if other != name}
            said, without = (
                tuple(c for d in name_mistakes(one, right, bank) for c in d.candidates) for bank in (known, others)
            )
            found.append(Named(name, said, without))
    return tuple(found)


def _said(outcome: object) -> str:
    match outcome:
        case WrongOutcome() if outcome.survived:
            return f"SURVIVED  {outcome.version.id}"
        case WrongOutcome() if outcome.dragged:
            return f"DRAGS DOWN {', '.join(outcome.dragged)}  {outcome.version.id}"
        case CorrectOutcome() if outcome.refused:
            return f"REFUSED  {outcome.variant.id}"
        case PairsOutcome() if outcome.gains:
            return f"COMPENSATED  {outcome.id} by {', '.join(other for other, _ in outcome.gains)}"
        case DrawsOutcome() if outcome.refused:
            return f"FLAKY  {outcome.test}"
    return ""
