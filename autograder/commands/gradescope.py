"""`autograder gradescope`: an autograder zip for Gradescope."""

from pathlib import Path

from autograder.commands.errors import assignment_named
from autograder.commands.progress import Say
from autograder.files import write_whole
from autograder.gradescope.package import build
from autograder.grading.prepare import release_notebook


def write_package(assignment: str, output: Path, quiet: bool) -> None:
    """Write the zip for one assignment."""
    known = assignment_named(assignment)
    release_notebook(known)
    write_whole(output, build(known))
    Say(quiet)(f"{output}: upload it as the autograder; it holds the answers and the course secret, so keep it private")
