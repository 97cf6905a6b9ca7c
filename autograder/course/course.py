"""The course: a root folder and the assignments that are discovered in it."""

import copyreg
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from autograder.course.assignment import ROOMS, Assignment
from autograder.course.manifest import MANIFEST, read_manifest
from autograder.faults import Fault

VARIABLE = "COURSE_ROOT"


class NoSuchAssignment(Fault):
    """The course has no assignment of that name. One line."""


@dataclass(frozen=True)
class Course:
    """A folder that holds a course, and its assignments by name, in the order of the course."""

    root: Path
    assignments: Mapping[str, Assignment]

    def named(self, name: str) -> Assignment:
        """The assignment of that name. Raises NoSuchAssignment."""
        if name not in self.assignments:
            raise NoSuchAssignment(f"there is no assignment '{name}'; there are: {', '.join(self.assignments)}")
        return self.assignments[name]

    def chosen(self, name: str | None) -> list[Assignment]:
        """The assignment of that name, or all of them. Raises NoSuchAssignment."""
        return list(self.assignments.values()) if name is None else [self.named(name)]

    @property
    def submitted(self) -> Path:
        return self.root / "submitted"

    @property
    def results(self) -> Path:
        return self.root / "results"


@cache
def course_at(root: Path) -> Course:
    """The course in the folder `root`, read once a process: an assignment for each manifest. Raises BadManifest."""
    found = [read_manifest(path) for path in sorted((root / ROOMS).glob(f"*/{MANIFEST}"))]
    ordered = sorted(found, key=lambda one: one[0])  # those without a place of their own first, by name
    return Course(root, {assignment.name: assignment for _, assignment in ordered})


def this_course() -> Course:
    """The course that commands work on: in `$COURSE_ROOT`, else the checkout that this package stands in."""
    chosen = os.environ.get(VARIABLE)
    return course_at(Path(chosen).absolute() if chosen else Path(__file__).resolve().parents[2])


def assignment_at(root: Path, name: str) -> Assignment:
    """The assignment of that name in the course in `root`."""
    return course_at(root).named(name)


# another process finds the assignment in its own reading of the course, since much is kept by the object itself
copyreg.pickle(Assignment, lambda one: (assignment_at, (one.root, one.name)))
