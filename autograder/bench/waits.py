"""What else people wait for: the command line's help, the public checks of a notebook, a release, a verification."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from autograder.bench.peers import plain_environment
from autograder.course.assignment import Assignment
from autograder.course.course import Course


@dataclass(frozen=True)
class Wait:
    """What somebody waits for, and the seconds on the clock."""

    what: str
    seconds: float


def help_of_the_command() -> Wait:
    """The fastest of five, so that reading the disk for the first time does not count."""
    return Wait("`autograder --help`", min(_seconds(["--help"]) for _ in range(5)))


def public_checks(assignment: Assignment) -> Wait:
    """The slowest public check of the solved notebook, in a worker that runs the definitions before it."""
    from autograder.grading.execution import is_demo
    from autograder.grading.prepare_submission import prepare_submission
    from autograder.notebooks.rebuild import grade_id
    from autograder.sandbox.session import Session

    prepared = prepare_submission(assignment.solution, assignment)
    checks: dict[str, float] = {}
    with Session(prepared.tier, prepared.seen) as session:
        for number, cell in enumerate(prepared.notebook.cells):
            if cell.cell_type == "code" and not is_demo(cell):
                before = time.monotonic()
                session.request("cell", 120.0, id=f"cell{number}", source=cell.source)
                if cell.metadata.get("nbgrader", {}).get("grade"):
                    checks[str(grade_id(cell))] = time.monotonic() - before
    slowest = max(checks, key=lambda name: checks[name])
    return Wait(f"slowest public check of {assignment.name} (`{slowest}`)", checks[slowest])


def release_and_verify(assignment: Assignment) -> list[Wait]:
    """Both commands on the course itself, whose release is up to date."""
    name = assignment.name
    return [
        Wait(f"`autograder release {name}`, up to date", _seconds(["release", name, "--quiet"])),
        Wait(f"`autograder verify {name} --quick`", _seconds(["verify", name, "--quick", "--quiet"])),
    ]


def waits(course: Course, everything: bool) -> list[Wait]:
    found = [help_of_the_command(), *map(public_checks, course.assignments.values())]
    for assignment in course.assignments.values() if everything else ():
        found += release_and_verify(assignment)
    return found


def _seconds(arguments: list[str]) -> float:
    line = [str(Path(sys.executable).parent / "autograder"), *arguments]
    before = time.monotonic()
    subprocess.run(line, env=plain_environment(Path(sys.executable).parent), capture_output=True, check=True)
    return time.monotonic() - before
