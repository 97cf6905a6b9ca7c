"""`autograder release`: releases and solved notebooks from the instructor's notebooks."""

from pathlib import Path

from autograder.commands.progress import Say
from autograder.course.assignment import Assignment
from autograder.course.course import Course
from autograder.datasets.prepare import prepare
from autograder.notebooks.build import build_release, build_solution
from autograder.notebooks.consistent import refuse_slips
from autograder.notebooks.pairing import sync


def build(course: Course, assignment: str | None, solutions: bool, quiet: bool) -> None:
    """Build and check. Raises Inconsistent for an author's slip, ReleaseRefused where a release would leak, CellFailed
    where the solved notebook does; the old release and solution then stay."""
    chosen = course.chosen(assignment)
    say = Say(quiet)
    for one in chosen:
        for change in sync(one.source.parent):
            say(change)
        refuse_slips(one)
    prepare(chosen, quiet)
    for one in chosen:
        _build(one, solutions, say, quiet)


def _build(assignment: Assignment, solutions: bool, say: Say, quiet: bool) -> None:
    """The solved notebook runs beside the new release before either takes the place of the old one."""

    def solve(released: Path) -> None:
        if solutions:
            build_solution(assignment, released=released, progress=say, quiet=quiet)

    build_release(assignment, progress=say, before=solve)
