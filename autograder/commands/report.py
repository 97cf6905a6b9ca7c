"""`autograder report`: the class at a glance, as one HTML page."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from autograder.commands.options import Assignment, Quiet, Roster
from autograder.course.course import this_course


def report(
    assignment: Assignment,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Without anybody's name.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="The HTML file to write.", show_default="results/report/NAME.html")
    ] = None,
    roster: Roster = None,
    quiet: Quiet = False,
) -> None:
    """The class at a glance, as one HTML page: marks, tests, mistakes, what is to be marked."""
    from autograder.collecting.roster import known_roster
    from autograder.commands.progress import Say
    from autograder.files import write_whole
    from autograder.reporting.gather import gather
    from autograder.reporting.report_page import report_page

    say, course = Say(quiet), this_course()
    known = course.named(assignment)
    path = output or course.results / "report" / f"{assignment}.html"
    results = gather(known, course.root)
    names = {s.id: s.name for s in known_roster(roster, course.submitted).students if s.name}
    write_whole(path, report_page(results, names, anonymous=anonymous, made=datetime.now()))
    for damaged in results.unreadable.values():
        say(damaged)
    say(f"{path}: {len(results.results)} submissions{', without names' if anonymous else ''}")
