"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from autograder.student_check.command_line import Quiet

__all__ = ["Assignment", "AssignmentOrAll", "Execute", "ExecuteOption", "Force", "Jobs", "Quiet", "Roster", "Sandbox",
           "SandboxOption"]  # fmt: skip


class Sandbox(StrEnum):
    auto = "auto"
    none = "none"


class Execute(StrEnum):
    definitions = "definitions"
    all = "all"


# what an option stands for where it has no value of its own is told by `show_default`: brackets in `help` are markup
Assignment = Annotated[str, typer.Argument(help="Name of the assignment.")]
AssignmentOrAll = Annotated[str | None, typer.Argument(help="Name of the assignment.", show_default="all")]
Force = Annotated[bool, typer.Option(help="Grade again what is graded already.")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Notebooks at a time.", show_default="all cores")]
Roster = Annotated[Path | None, typer.Option("--roster", help="The class as CSV.", show_default="submitted/roster.csv")]
SandboxOption = Annotated[Sandbox, typer.Option(help="none: without confinement, for files of your own only.")]
ExecuteOption = Annotated[Execute, typer.Option(help="all: run demonstrations, too.")]
