"""The command line that students have: one command. The instructors' one offers it, too."""

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


class _Offered(TyperGroup):
    """Says in one line what there is, where somebody asks for something else."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            stop(f"there is no '{args[0]}' here; what there is: python -m autograder check NOTEBOOK.ipynb")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Offered, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None
)


@app.callback()
def students() -> None:
    """What you can ask before you hand in."""


def stop(message: object) -> NoReturn:
    """End with one line on standard error and exit code 2."""
    typer.echo(f"autograder: {message}", err=True)
    raise typer.Exit(2)


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(help="Your notebook.")],
    assignment: Annotated[
        str | None, typer.Option(help="Name of the assignment.", show_default="seen from its cells")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """For students: run the quick checks of a notebook and say what is missing. Needs no graders."""
    from autograder.student_check.runner_process import CannotCheck
    from autograder.student_check.show import check as run

    try:
        ready = run(notebook, assignment, quiet)
    except CannotCheck as error:
        stop(error)
    raise typer.Exit(0 if ready else 1)
