"""`autograder explain`: one hidden test on one submission, for office hours and appeals."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.commands.errors import CommandError
from autograder.commands.options import Sandbox, SandboxOption
from autograder.course.course import Course, this_course
from autograder.files import printable

if TYPE_CHECKING:
    from autograder.course.assignment import Assignment
    from autograder.results.result import Result


def explain(
    student: Annotated[str, typer.Argument(help="Name of the student's folder in submitted/.")],
    test: Annotated[str, typer.Argument(help="Name of a hidden test, or a part that only one has.")],
    assignment: Annotated[str | None, typer.Option(help="Where the student has several.")] = None,
    sandbox: SandboxOption = Sandbox.auto,
) -> None:
    """For instructors: one hidden test on one submission, with its real inputs, found and expected."""
    # Raises CommandError where there is nothing to replay.
    from rich.console import Console

    from autograder.datasets.secret import secret_file
    from autograder.grading.prepare_submission import NotGradable
    from autograder.reporting.explained import tell
    from autograder.reporting.rerun import replay_test

    course = this_course()
    known, name = _which(course, student, test, assignment)
    secret = secret_file(course.root)
    if not secret.is_file():
        raise CommandError(f"without the course secret ({secret}) the grading's inputs cannot be drawn again")
    result = _recorded(known, student)
    try:
        replayed = replay_test(known, _submission(student, known), name, result, sandbox.value)
    except NotGradable as reason:
        raise CommandError(f"the submission of {printable(student)} cannot be run: {reason}") from None
    outcomes = [t for c in result.cells.values() for t in c.tests if t.name == name] if result else []
    tell(Console(highlight=False), student, known, replayed, outcomes[0] if outcomes else None)


def _submission(student: str, assignment: "Assignment") -> Path:
    return assignment.root / "submitted" / student / assignment.name / f"{assignment.stem}.ipynb"


def _which(course: Course, student: str, test: str, named: str | None) -> "tuple[Assignment, str]":
    """The assignment and the test's full name; a unique part of a name will do."""
    chosen = course.chosen(named)
    handed_in = [one for one in chosen if _submission(student, one).is_file()]
    if not handed_in:
        where = f"submitted/{printable(student)}/{named or 'ASSIGNMENT'}/"
        raise CommandError(f"there is no submission of {printable(student)}: {where} holds no notebook")
    from autograder.reporting.rerun import test_cells

    found = []
    for one in handed_in:
        names = list(test_cells(one))
        matching = [n for n in names if n == test] or [n for n in names if test in n]
        found += [(one, name) for name in matching]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(f"no hidden test of {', '.join(one.name for one in handed_in)} is called like '{test}'")
    several = ", ".join(name for _, name in found[:8]) + (", ..." if len(found) > 8 else "")
    raise CommandError(f"'{test}' may be any of: {several}" + ("" if named else " (or say --assignment)"))


def _recorded(assignment: "Assignment", student: str) -> "Result | None":
    from autograder.commands.progress import Say
    from autograder.nbgrader_plugin.preprocessors import result_path
    from autograder.results.result_file import DamagedResult, read_result

    try:
        return read_result(result_path(assignment.root, assignment.name, student))
    except FileNotFoundError:
        return None
    except DamagedResult as damaged:
        Say(quiet=False)(str(damaged))
        return None
