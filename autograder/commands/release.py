"""`autograder release`: releases and solved notebooks from the instructor's notebooks."""

from autograder.assignments import ASSIGNMENTS
from autograder.commands.errors import assignment_named
from autograder.commands.progress import Say
from autograder.notebooks.build import build_release, build_solution
from data.prepare import prepare


def build(assignment: str | None, solutions: bool, quiet: bool) -> None:
    """Build and check; raises ReleaseRefused where a release would leak."""
    chosen = [assignment_named(assignment)] if assignment else list(ASSIGNMENTS.values())
    say = Say(quiet)
    prepare(quiet=quiet)
    for one in chosen:
        build_release(one, progress=say)
        if solutions:
            build_solution(one, progress=say, quiet=quiet)
