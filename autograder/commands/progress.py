"""Progress on standard error, so that standard output stays clean for pipes; nothing with --quiet."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def counting(what: str, total: int, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A bar over `total` things; call the yielded function with a line for each one that is done."""
    if quiet:
        yield lambda line: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)

        def step(line: str) -> None:
            bar.console.print(line, highlight=False, markup=False)
            bar.advance(task)

        yield step


class Say:
    """Prints a line on standard error, unless it is to be quiet."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet)

    def __call__(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False)
