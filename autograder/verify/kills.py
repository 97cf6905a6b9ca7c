"""Every wrong version must lose points in its own component, and no correct variant anywhere."""

from dataclasses import dataclass

from autograder.bank.versions import Correct, Wrong, correct_variants, wrong_versions
from autograder.course.assignment import Assignment
from autograder.diagnosis.fingerprints import Fingerprint, fingerprint
from autograder.testing.findings import Pass
from autograder.verify.trial import Tried, find, lost, plain, with_follow_through


@dataclass(frozen=True)
class WrongOutcome:
    """What the tests made of one wrong version. `dragged` are cells after it that lost points in spite of credit."""

    version: Wrong
    tried: tuple[Tried, ...]
    survived: tuple[str, ...]
    dragged: tuple[str, ...]
    fingerprint: Fingerprint | None

    @property
    def lost(self) -> float:
        return lost(self.tried, self.version.cell)


@dataclass(frozen=True)
class CorrectOutcome:
    """What the tests made of one correct variant: those that refused it."""

    variant: Correct
    refused: tuple[Tried, ...]


def downstream(assignment: Assignment, cell: str) -> tuple[str, ...]:
    """Cells that rest on `cell` and are tested on what stands there."""
    return tuple(
        c for c in assignment.upstream if cell in assignment.all_upstream(c) and c not in assignment.self_contained
    )


def try_wrong(assignment: Assignment, number: int, *, prints: bool, follow: bool) -> WrongOutcome:
    """Try wrong version `number` of an assignment: its own tests, and with `follow` those of what rests on it.

    Training to a target is tried only where nothing quicker catches the version.
    """
    version = wrong_versions(assignment)[number]
    replaced = {version.cell: version.source}
    cells = tuple(dict.fromkeys((version.cell, *version.costs)))
    found = find(assignment, replaced, cells)
    tried = plain(found)
    survived = tuple(c for c in version.costs if not lost(tried, c))
    if survived:
        tried = plain(find(assignment, replaced, cells, slow=True))
        survived = tuple(c for c in version.costs if not lost(tried, c))
    dragged = _dragged(assignment, version, found) if follow else ()
    return WrongOutcome(version, tried, survived, dragged, fingerprint(assignment, version) if prints else None)


def _dragged(assignment: Assignment, version: Wrong, found: Pass) -> tuple[str, ...]:
    below = downstream(assignment, version.cell)
    if not below:
        return ()
    replaced = {version.cell: version.source}
    found.findings += find(assignment, replaced, [c for c in below if c not in version.costs]).findings
    tried = with_follow_through(found, replaced)
    return tuple(c for c in below if c not in version.costs and lost(tried, c))


def try_correct(assignment: Assignment, number: int, *, draws: int = 0) -> CorrectOutcome:
    """Try correct variant `number`: its own tests, and those of everything that rests on it.

    Its own tests are tried with so many other `draws` of the hidden inputs, too: no course secret may refuse it.
    """
    variant = correct_variants(assignment)[number]
    cells = (variant.cell, *downstream(assignment, variant.cell))
    slow = variant.cell in assignment.self_contained
    tried = plain(find(assignment, {variant.cell: variant.source}, cells, slow=slow))
    for draw in range(draws):
        tried += plain(find(assignment, {variant.cell: variant.source}, [variant.cell], seed=f"draw {draw}"))
    refused = {t.name: t for t in tried if t.earned < t.points}
    return CorrectOutcome(variant, tuple(refused.values()))
