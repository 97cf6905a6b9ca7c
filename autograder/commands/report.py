"""`autograder report`: the class at a glance, as one HTML page."""

from datetime import datetime
from pathlib import Path

from autograder.collecting.roster import known_roster
from autograder.commands.progress import Say
from autograder.course.course import Course
from autograder.files import write_whole
from autograder.reporting.gather import gather
from autograder.reporting.page import report_page


def report(
    course: Course, assignment: str, anonymous: bool, output: Path | None, roster: Path | None, quiet: bool
) -> Path:
    """Write the page, by default to `results/report/NAME.html`; gives its path."""
    known = course.named(assignment)
    path = output or course.results / "report" / f"{assignment}.html"
    results = gather(known, course.root)
    names = {s.id: s.name for s in known_roster(roster, course.submitted).students if s.name}
    write_whole(path, report_page(results, names, anonymous=anonymous, made=datetime.now()))
    say = Say(quiet)
    for damaged in results.unreadable.values():
        say(damaged)
    say(f"{path}: {len(results.results)} submissions{', without names' if anonymous else ''}")
    return path
