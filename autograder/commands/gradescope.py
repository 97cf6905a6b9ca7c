"""`autograder gradescope`: an autograder zip for Gradescope."""

from pathlib import Path

from autograder.commands.progress import Say
from autograder.course.course import Course
from autograder.files import write_whole
from autograder.gradescope.package import build
from autograder.notebooks.released import release_notebook


def write_package(course: Course, assignment: str, output: Path, quiet: bool) -> None:
    """Write the zip for one assignment."""
    known = course.named(assignment)
    release_notebook(known)
    write_whole(output, build(known))
    Say(quiet)(f"{output}: upload it as the autograder; it holds the answers and the course secret, so keep it private")
