"""`autograder collect`: an LMS's bulk download into submitted/."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.commands.options import Quiet, Roster
from autograder.course.course import this_course
from autograder.files import printable

if TYPE_CHECKING:
    from rich.console import Console

    from autograder.collecting.choose import Sorted
    from autograder.collecting.place import Placed

SAID = {
    "new": "new",
    "unchanged": "unchanged",
    "replaced": "handed in again; the earlier one is in {0}.earlier/",
    "older": "kept what is there, which arrived later; this one is in {0}.earlier/",
}


def collect(
    download: Annotated[Path, typer.Argument(help="The zip archive or folder of a bulk download.")],
    assignment: Annotated[str, typer.Option(help="Name of the assignment.")],
    roster: Roster = None,
    arrived: Annotated[str | None, typer.Option(help="When all of it arrived, in place of the files' times.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would happen; write nothing.")] = False,
    quiet: Quiet = False,
) -> None:
    """Sort a bulk download from Canvas or Moodle into submitted/, with arrival times."""
    # It tells what a person has to look at, and raises CollectError where nothing can be collected.
    from rich.console import Console

    from autograder.collecting.arrivals import arrival_times
    from autograder.collecting.bulk_download import CollectError, Refused, open_download
    from autograder.collecting.choose import choose
    from autograder.collecting.place import given_time, place, write_arrivals
    from autograder.collecting.roster import known_roster
    from autograder.nbgrader_plugin.lock import CourseBusy, only_grader

    course = this_course()
    known, moment = course.named(assignment), given_time(arrived)
    submitted = course.submitted
    found = open_download(download)
    sorted_ = choose(found.files, known_roster(roster, submitted), known.stem, moment)
    sorted_.refused[:0] = found.refused
    placed: list[Placed] = []
    submitted.mkdir(exist_ok=True)
    times = arrival_times(submitted)
    try:
        with only_grader(course.root):
            for student, chosen in sorted_.chosen.items():
                try:
                    placed.append(
                        place(submitted, known, student, chosen, times, forced=moment is not None, dry=dry_run)
                    )
                except Refused as reason:
                    sorted_.refused.append(f"{student}: {reason}")
            if not dry_run:
                write_arrivals(submitted, times)
    except CourseBusy as busy:
        raise CollectError(str(busy)) from None
    except OSError as error:
        raise CollectError(f"cannot write {error.filename} ({error.strerror}); what was collected is kept") from None
    sorted_.missing = [s for s in sorted_.missing if not (submitted / s / assignment).is_dir()]
    _tell(Console(quiet=quiet, highlight=False), assignment, placed, sorted_, dry_run)


def _tell(console: "Console", assignment: str, placed: "list[Placed]", found: "Sorted", dry_run: bool) -> None:
    def lines(title: str, rows: list[str]) -> None:
        if rows:
            console.print(f"{title} ({len(rows)})", style="bold", markup=False)
            for row in rows:
                console.print(f"  {printable(row)}", markup=False, soft_wrap=True)

    for one in placed:
        when = f", {one.arrived:%Y-%m-%d %H:%M} UTC" if one.arrived else ", time unknown"
        more = f"; {one.earlier} earlier kept" if one.earlier and one.what in ("new", "unchanged") else ""
        line = f"{one.student}: {SAID[one.what].format(assignment)}{when}{more}"
        console.print(printable(line), markup=False, soft_wrap=True)
    lines("late, says Canvas", found.late)
    lines("missing: on the roster, nothing handed in", found.missing)
    lines("ambiguous: not collected, whose or which it is a person must say", found.ambiguous)
    lines("unknown: not collected, nobody on the roster", found.unknown)
    lines("refused", found.refused)
    lines("to know", found.notes)
    counted = {what: sum(one.what == what for one in placed) for what in SAID}
    told = ", ".join(f"{n} {what}" for what, n in counted.items() if n) or "nothing"
    console.print(f"{assignment}: {told}{' (dry run: nothing was written)' if dry_run else ''}", style="bold")
