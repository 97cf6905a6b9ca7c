"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from autograder.student_check.command_line import Quiet

__all__ = [
    "AssignmentName", "AssignmentOrAll", "Execute", "ExecuteOption", "Force", "Jobs", "Quiet", "Roster", "Sandbox",
    "SandboxOption",
]  # fmt: skip


class Sandbox(StrEnum):
    auto = "auto"
    none = "none"


class Execute(StrEnum):
    definitions = "definitions"
    all = "all"


# what an option stands for where it has no value of its own is told by `show_default`: brackets in `help` are markup
AssignmentName = Annotated[str, typer.Argument(help="Name of the assignment.")]
AssignmentOrAll = Annotated[str | None, typer.Argument(help="Name of the assignment.", show_default="all")]
Force = Annotated[bool, typer.Option(help="Also grade submissions whose result is still valid.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", min=1, help="Number of notebooks that are graded at the same time.", show_default="all cores"
    ),
]
Roster = Annotated[
    Path | None, typer.Option("--roster", help="The list of the class (CSV).", show_default="submitted/roster.csv")
]
SandboxOption = Annotated[Sandbox, typer.Option(help="none: without a sandbox, only for your own files.")]
ExecuteOption = Annotated[Execute, typer.Option(help="all: also run demonstration cells.")]
