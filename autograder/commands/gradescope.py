"""`autograder gradescope`: an autograder zip for Gradescope."""

from pathlib import Path
from typing import Annotated

import typer

from autograder.commands.options import Assignment, Quiet
from autograder.course.course import this_course


def gradescope(
    assignment: Assignment,
    output: Annotated[Path, typer.Option(help="The zip to write.")] = Path("gradescope.zip"),
    quiet: Quiet = False,
) -> None:
    """Write an autograder zip for Gradescope."""
    from autograder.commands.progress import Say
    from autograder.files import write_whole
    from autograder.gradescope.package import build
    from autograder.notebooks.released import release_notebook

    known = this_course().named(assignment)
    release_notebook(known)
    write_whole(output, build(known))
    Say(quiet)(f"{output}: upload it as the autograder; it holds the answers and the course secret, so keep it private")
