"""`autograder release`: releases and solved notebooks from the instructor's notebooks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.commands.options import AssignmentOrAll, Quiet
from autograder.course.course import this_course

if TYPE_CHECKING:
    from autograder.commands.progress import Say
    from autograder.course.assignment import Assignment


def release(
    assignment: AssignmentOrAll = None,
    solutions: Annotated[bool, typer.Option(help="Build and run the solved notebooks, too.")] = True,
    quiet: Quiet = False,
) -> None:
    """Build release/ and solutions/ from source/, and refuse a release that leaks."""
    # Raises Inconsistent for an author's slip, ReleaseRefused where a release would leak, CellFailed where the solved
    # notebook does; the old release and solution then stay.
    from autograder.commands.progress import Say
    from autograder.datasets.prepare import prepare
    from autograder.notebooks.consistent import refuse_slips
    from autograder.notebooks.pairing import sync

    chosen, say = this_course().chosen(assignment), Say(quiet)
    for one in chosen:
        for change in sync(one.source.parent):
            say(change)
        refuse_slips(one)
    prepare(chosen, quiet)
    for one in chosen:
        _build(one, solutions, say, quiet)


def _build(assignment: "Assignment", solutions: bool, say: "Say", quiet: bool) -> None:
    """The solved notebook runs beside the new release before either takes the place of the old one."""
    from autograder.notebooks.build import build_release, build_solution

    def solve(released: Path) -> None:
        if solutions:
            build_solution(assignment, released=released, progress=say, quiet=quiet)

    build_release(assignment, progress=say, before=solve)
