"""Of all files of a download: which one is each student's submission, and what a person has to look at."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from autograder.collecting.bulk_download import Handed, Refused
from autograder.collecting.names import Owner, owner_of
from autograder.collecting.roster import STUDENT_ID, Roster
from autograder.files import printable

NOTEBOOK = ".ipynb"


@dataclass(frozen=True)
class Version:
    """One notebook that a student handed in."""

    handed: Handed
    owner: Owner
    arrived: datetime | None
    digest: str

    @property
    def order(self) -> tuple[int, float, int]:
        """Later ones are greater: by Canvas's upload number, the time of the file, the number of the copy."""
        return self.owner.upload, self.arrived.timestamp() if self.arrived else 0.0, self.owner.copy


@dataclass(frozen=True)
class Chosen:
    """A student's submission, and the versions that another one has replaced, oldest first."""

    version: Version
    earlier: tuple[Version, ...] = ()


@dataclass
class Sorted:
    """What a download holds. The lists are lines for a person."""

    chosen: dict[str, Chosen] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def choose(files: Iterable[Handed], roster: Roster, stem: str, arrived: datetime | None = None) -> Sorted:
    """The latest notebook of each student. `stem` is that of the released notebook; `arrived`, for all, if given."""
    found = Sorted()
    by_student: dict[str, list[Version]] = defaultdict(list)
    seen: set[str] = set()
    for handed, owner, student in _owned(files, roster, found):
        seen.add(student)
        if PurePosixPath(handed.parts[-1]).suffix.casefold() != NOTEBOOK:
            found.notes.append(f"{handed.shown}: no notebook, left out")
            continue
        try:
            digest = hashlib.sha256(handed.read()).hexdigest()
        except Refused as reason:
            found.refused.append(f"{handed.shown}: {reason}")
            continue
        by_student[student].append(Version(handed, owner, arrived or handed.arrived, digest))
        if owner.late and student not in found.late:
            found.late.append(student)
    for student, versions in sorted(by_student.items()):
        _decide(student, versions, stem, found)
    found.missing = [s.id for s in roster.students if s.id not in seen]
    return found


def _owned(files: Iterable[Handed], roster: Roster, found: Sorted) -> list[tuple[Handed, Owner, str]]:
    """Files with their student; those without one are told of once for each name."""
    owned: list[tuple[Handed, Owner, str]] = []
    told: set[tuple[str, ...]] = set()
    names: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    owners = [(handed, owner_of(handed.parts)) for handed in files]
    for _, owner in owners:
        names[owner.who].add(owner.users[:1])
    for handed, owner in owners:
        if roster:
            matching = [s.id for s in roster.find(owner)]
        else:
            matching = [owner.who] if owner.lms and STUDENT_ID.fullmatch(owner.who) else []
            if len(names[owner.who]) > 1:  # two people of one name
                matching = [f"{owner.who} (Canvas {user})" for users in sorted(names[owner.who]) for user in users]
        if len(matching) == 1:
            owned.append((handed, owner, matching[0]))
            continue
        if (line := (owner.who, *owner.users)) in told:
            continue
        told.add(line)
        if matching:
            found.ambiguous.append(f"{handed.shown}: {' or '.join(map(printable, matching))}")
        else:
            found.unknown.append(handed.shown)
    return owned


def _decide(student: str, versions: list[Version], stem: str, found: Sorted) -> None:
    named = [v for v in versions if v.owner.stem == stem]
    candidates = sorted(named or versions, key=lambda v: v.order)
    latest = candidates[-1]
    rivals = {v.digest for v in candidates if v.order == latest.order}
    if len(rivals) > 1:
        shown = ", ".join(v.handed.shown for v in candidates if v.order == latest.order)
        found.ambiguous.append(f"{student}: nothing tells which one counts: {shown}")
        return
    others = [v for v in versions if v.digest != latest.digest]
    if later := [v.handed.shown for v in others if v.order > latest.order]:
        found.notes.append(f"{student}: took {latest.handed.shown} for its name; later came {', '.join(later)}")
    found.chosen[student] = Chosen(latest, tuple(sorted(others, key=lambda v: v.order)))
