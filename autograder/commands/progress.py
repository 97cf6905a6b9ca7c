"""Progress on standard error, so that standard output stays clean for pipes; nothing with --quiet."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.text import Text

Outcome = Literal["graded", "unchanged", "could-not-run", "fault"]
Step = Callable[[str, Outcome], None]


@contextmanager
def counting(what: str, total: int, quiet: bool, jobs: int | None = None) -> Iterator[Step]:
    """Call the yielded function with a line for each of `total` things that is done, `jobs` at a time (None: unknown).

    A terminal shows how it stands below the lines. A KeyboardInterrupt gets a text that says how far it came.
    """
    counts: Counter[Outcome] = Counter()
    console, start = Console(stderr=True, quiet=quiet), time.monotonic()

    def status() -> Text:
        return Text(f"{what}: {state(counts, total, jobs, time.monotonic() - start)}")

    def step(line: str, outcome: Outcome) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        counts[outcome] += 1

    try:
        with Live(get_renderable=status, console=console, transient=True, refresh_per_second=1):
            yield step
    except KeyboardInterrupt:
        finished = counts.total() - counts["fault"]
        raise KeyboardInterrupt(
            f"{finished} of {total} are finished and kept; run the command again, without --force, to grade the rest"
        ) from None


def state(counts: Counter[Outcome], total: int, jobs: int | None, seconds: float) -> str:
    """The progress in words, with the time left by the rate so far, once each process has finished a notebook."""
    left = total - counts.total()
    fresh = counts.total() - counts["unchanged"]
    failed = counts["could-not-run"] + counts["fault"]
    words = [f"{counts.total()} of {total} done"]
    if left and jobs is not None:
        words.append(f"{min(jobs, left)} running")
    if failed:
        words.append(f"{failed} failed")
    if left and fresh >= (jobs or 1):
        minutes = left * seconds / fresh / 60
        words.append(f"about {minutes:.0f} min left" if minutes >= 1 else "less than a minute left")
    return ", ".join(words)


class Say:
    """Prints a line on standard error, unless it is to be quiet."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet)

    def __call__(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False)
