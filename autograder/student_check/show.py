"""Show on the command line what the quick checks of a notebook say, and what is missing before handing in."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from autograder.files import printable
from autograder.student_check.parts import Part, Report, check_notebook

MARKS = {"ok": ("ok", "green"), "failed": ("fails", "red"), "not filled in": ("to do", "yellow")}
WIDTH = max(len(word) for word, _ in MARKS.values())


def check(notebook: Path, assignment: str | None, quiet: bool) -> bool:
    """Check and tell; whether nothing is missing. Raises CannotCheck."""
    progress = Console(stderr=True, quiet=quiet)
    with progress.status("starting Python") as status:
        report = check_notebook(notebook, assignment, lambda cell: status.update(f"running {printable(cell)}"))
    _tell(report, Console(highlight=False, quiet=quiet, soft_wrap=True), printable(notebook.name))
    return report.is_ready


def _tell(report: Report, console: Console, name: str) -> None:
    console.print(Text(f"{name} ({report.assignment}): the quick checks", style="bold"))
    for part in report.parts:
        _tell_part(part, console)
    _list(console, "Missing before you hand in", "yellow", report.missing)
    _list(console, "Worth a look", "cyan", report.notes)
    done = sum(part.state == "ok" for part in report.parts)
    console.print()
    if report.is_ready:
        console.print(Text(f"All {done} quick checks hold and nothing is missing.", style="bold green"))
    else:
        console.print(Text(f"{done} of {len(report.parts)} parts pass their quick checks.", style="bold"))
    console.print(
        "Quick checks are not the grade: hidden tests, which look at values and behaviour, decide the points.\n"
        "Demonstrations and experiments were not run; run the notebook from top to bottom once before you hand it in."
    )


def _tell_part(part: Part, console: Console) -> None:
    word, colour = MARKS[part.state]
    console.print(Text(f"  {word:<{WIDTH}}  ", style=f"bold {colour}") + Text(part.title, style="default"))
    if part.state == "failed":
        for line in part.said:
            for piece in line.splitlines():
                told = "green" if piece.startswith("ok: ") else colour
                console.print(Text(f"  {'':{WIDTH}}    {printable(piece)}", style=told))


def _list(console: Console, title: str, colour: str, lines: tuple[str, ...]) -> None:
    if lines:
        console.print()
        console.print(Text(f"{title}:", style=f"bold {colour}"))
        for line in lines:
            console.print(Text(f"  - {printable(line)}"))
