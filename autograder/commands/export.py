"""`autograder export`: the gradebook's marks as CSV."""

from pathlib import Path
from typing import Annotated

import typer

from autograder.commands.errors import CommandError
from autograder.commands.options import Quiet, Roster
from autograder.course.course import this_course


def export(
    output: Annotated[Path, typer.Option(help="The CSV file to write.")] = Path("marks.csv"),
    roster: Roster = None,
    canvas: Annotated[bool, typer.Option("--canvas", help="In the form that Canvas's gradebook imports.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write the marks of all assignments as CSV, with late penalties as of now."""
    # It tells how many marks are not final, and who has no Canvas id.
    from autograder.collecting.roster import known_roster
    from autograder.commands.progress import Say
    from autograder.nbgrader_plugin.export import export_canvas, export_marks

    say, course = Say(quiet), this_course()
    known = known_roster(roster, course.submitted)
    if canvas and not any(student.canvas_id for student in known.students):
        raise CommandError("Canvas knows students by its own ids: give a --roster with a column canvas_id")
    write = export_canvas if canvas else export_marks
    rows = write(output, course.root, known, lambda damaged: say(str(damaged)))
    say(f"{output}: {len(rows)} marks")
    if waiting := sum(bool(row.get("to_be_marked")) for row in rows):
        say(f"{waiting} of them are not final: written answers wait for a person")
    if canvas and (without := [s.id for s in known.students if not s.canvas_id]):
        say(f"left out, for want of a Canvas id: {', '.join(without)}")
