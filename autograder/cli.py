"""The command line. Heavy imports stand inside the commands, so that `--help` answers at once."""

import atexit
import functools
import gc
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from autograder.commands.autograde import autograde
from autograder.commands.bench import bench
from autograder.commands.collect import collect
from autograder.commands.demo import demo
from autograder.commands.errors import KNOWN
from autograder.commands.explain import explain
from autograder.commands.export import export
from autograder.commands.grade import grade
from autograder.commands.gradescope import gradescope
from autograder.commands.prepare import prepare
from autograder.commands.publish import publish
from autograder.commands.release import release
from autograder.commands.report import report
from autograder.commands.verify import verify
from autograder.interrupt import KEPT, end, leave, on_interrupt, wind_up
from autograder.student_check.command_line import check, stop

atexit.register(gc.freeze)  # else Python looks through all objects once more as it ends: 0.2 s, 0.6 with torch

COMMANDS: tuple[Callable[..., None], ...] = (
    grade, autograde, release, prepare, verify, export, bench, gradescope, demo, collect, report, explain, publish,
)  # fmt: skip


class Interruptible(TyperGroup):
    """Commands that Ctrl-C ends with one line, also while they are still being imported."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with on_interrupt(leave):
                return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            end(str(stopped) or KEPT)


app = typer.Typer(
    cls=Interruptible,
    help="A course on transformers that grades itself.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command, except that wrong usage and faults of an installation become one line and exit code 2."""

    @functools.wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            with on_interrupt(wind_up):
                command(*arguments, **options)
        except KNOWN as error:
            stop(error)

    return guarded


for _command in COMMANDS:
    app.command()(_guarded(_command))
app.command()(check)
