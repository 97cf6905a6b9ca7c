"""`autograder export`: the gradebook's marks as CSV."""

from pathlib import Path

from autograder.collecting.roster import known_roster
from autograder.commands.errors import CommandError
from autograder.commands.progress import Say
from autograder.course.course import Course
from autograder.nbgrader_plugin.export import export_canvas, export_marks


def export_csv(course: Course, output: Path, roster: Path | None, canvas: bool, quiet: bool) -> None:
    """Write the file; tells how many marks are not final, and who has no Canvas id."""
    say = Say(quiet)
    known = known_roster(roster, course.submitted)
    if canvas and not any(student.canvas_id for student in known.students):
        raise CommandError("Canvas knows students by its own ids: give a --roster with a column canvas_id")
    rows = (export_canvas if canvas else export_marks)(output, course.root, known, lambda damaged: say(str(damaged)))
    say(f"{output}: {len(rows)} marks")
    if waiting := sum(bool(row.get("to_be_marked")) for row in rows):
        say(f"{waiting} of them are not final: written answers wait for a person")
    if canvas and (without := [s.id for s in known.students if not s.canvas_id]):
        say(f"left out, for want of a Canvas id: {', '.join(without)}")
