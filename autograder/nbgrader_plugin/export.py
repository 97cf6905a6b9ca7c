"""Marks as a CSV file that any spreadsheet reads."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbgrader.api import Assignment as GradedAssignment
from nbgrader.api import Gradebook, MissingEntry, Student, SubmittedAssignment
from traitlets.config import Config

from autograder.collecting.arrivals import Extensions, extensions
from autograder.collecting.roster import Roster
from autograder.collecting.roster import Student as Listed
from autograder.files import write_whole
from autograder.nbgrader_plugin.gradebook import database_url, open_gradebook
from autograder.nbgrader_plugin.late import due_date, late_penalty, seconds_late
from autograder.nbgrader_plugin.preprocessors import result_path
from autograder.notebooks.nbgrader_convert import course_config
from autograder.results.result_file import DamagedResult, read_result

UNKNOWN = Roster()
FIXED = (
    "assignment", "student", "last_name", "first_name", "name", "canvas_id", "email", "status", "due", "arrived",
    "seconds_late", "automatic", "manual", "late_penalty", "total", "max_score", "to_be_marked",
)  # fmt: skip
# Canvas matches rows by ID; the second line of its own exports says how many points there are
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
POINTS = "    Points Possible"
# what a spreadsheet takes for the beginning of a formula, also in the full width of East Asian keyboards
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

Row = dict[str, Any]
OnDamaged = Callable[[DamagedResult], object]  # hears of each result file that cannot be read; its marks are exported


def _ignore(damaged: DamagedResult) -> None:
    pass


def export_marks(path: Path, course: Path, roster: Roster = UNKNOWN, on_damaged: OnDamaged = _ignore) -> list[Row]:
    """Write a row for each student and assignment to `path`, whole; gives the rows.

    Students are those of the gradebook and of the roster. `automatic` and `manual` add up the marks that count: a
    manual mark on an automatic cell counts as manual. Each cell has three columns: the graders' mark, the person's
    mark, and the one that counts. Late penalties are computed here, from the due dates and extensions of today.
    """
    rows = marks(course, roster, on_damaged)
    columns = list(dict.fromkeys([*FIXED, *(column for row in rows for column in row)]))
    _write(path, columns, rows)
    return rows


def export_canvas(path: Path, course: Path, roster: Roster = UNKNOWN, on_damaged: OnDamaged = _ignore) -> list[Row]:
    """Write the form that Canvas's gradebook imports, a column for each assignment; gives the rows that went in.

    Students without a Canvas id on the roster are left out. A missing submission leaves its place empty, which Canvas
    takes for no change.
    """
    rows = marks(course, roster, on_damaged)
    names = list(dict.fromkeys(row["assignment"] for row in rows))
    students: dict[str, Row] = {}
    for row in rows:
        if row["canvas_id"]:
            told = dict.fromkeys(CANVAS, "") | {"Student": row["name"] or row["student"], "ID": row["canvas_id"]}
            student = students.setdefault(row["student"], told)
            student[row["assignment"]] = "" if row["status"] == "missing" else row["total"]
    points = {"Student": POINTS} | {row["assignment"]: row["max_score"] for row in rows}
    _write(path, [*CANVAS, *names], [points, *students.values()])
    return [row for row in rows if row["canvas_id"]]


def marks(course: Path, roster: Roster = UNKNOWN, on_damaged: OnDamaged = _ignore) -> list[Row]:
    """A row for each student and assignment, as `export_marks` writes it.

    Marks come from the gradebook alone, so a damaged result file costs nothing but its `status`.
    """
    if not (course / "gradebook.db").is_file():
        raise FileNotFoundError("there is no gradebook.db: grade something first")
    config, granted = course_config(course, course), extensions(course / "submitted")
    listed = {student.id: student for student in roster.students}
    with open_gradebook(database_url(course)) as gradebook:
        graded = {student.id: student for student in gradebook.students}
        return [
            _who(student, graded.get(student), listed.get(student))
            | _row(gradebook, course, config, assignment, student, granted, on_damaged)
            for assignment in gradebook.assignments
            for student in dict.fromkeys([*graded, *listed])
        ]


def _write(path: Path, columns: list[str], rows: list[Row]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _inert(value) for column, value in row.items()} for row in rows)
    write_whole(path, text.getvalue())


def _who(student: str, graded: Student | None, listed: Listed | None) -> Row:
    return {
        "student": student,
        "last_name": (graded and graded.last_name) or "",
        "first_name": (graded and graded.first_name) or "",
        "name": listed.name if listed else "",
        "canvas_id": listed.canvas_id if listed else "",
        "email": (listed and listed.email) or (graded and graded.email) or "",
    }


def _row(
    gradebook: Gradebook,
    course: Path,
    config: Config,
    assignment: GradedAssignment,
    student: str,
    granted: Extensions,
    on_damaged: OnDamaged,
) -> Row:
    row: Row = {"assignment": assignment.name, "max_score": assignment.max_score}
    try:
        submission = gradebook.find_submission(assignment.name, student)
    except MissingEntry:
        return row | {"status": "missing", "automatic": 0.0, "manual": 0.0, "late_penalty": 0.0, "total": 0.0}
    automatic, manual, to_mark, cells = _cells(submission)
    penalty, due = late_penalty(submission, config, granted), due_date(submission, granted)
    return (
        row
        | {
            "status": _status(course, assignment.name, student, on_damaged),
            "due": due.isoformat() if due else "",
            "arrived": submission.timestamp.isoformat() if submission.timestamp else "",
            "seconds_late": round(seconds_late(submission, granted)),
            "automatic": round(automatic, 6),
            "manual": round(manual, 6),
            "late_penalty": round(penalty, 6),
            "total": round(max(0.0, automatic + manual - penalty), 6),
            "to_be_marked": to_mark,
        }
        | cells
    )


def _cells(submission: SubmittedAssignment) -> tuple[float, float, int, dict[str, Any]]:
    automatic = manual = 0.0
    to_mark, cells = 0, {}
    for notebook in submission.notebooks:
        for grade in notebook.grades:
            if grade.manual_score is None:
                automatic += grade.score
            else:
                manual += grade.score
            to_mark += bool(grade.needs_manual_grade)
            cells[f"{grade.name} auto"] = "" if grade.auto_score is None else grade.auto_score
            cells[f"{grade.name} manual"] = "" if grade.manual_score is None else grade.manual_score
            cells[f"{grade.name} total"] = grade.score
    return automatic, manual, to_mark, cells


def _status(course: Path, assignment: str, student: str, on_damaged: OnDamaged) -> str:
    try:
        return read_result(result_path(course, assignment, student)).status
    except FileNotFoundError:
        return "not graded"
    except DamagedResult as damaged:
        on_damaged(damaged)
        return "damaged result file"


def _inert(value: Any) -> Any:
    """A text that begins like a formula would be computed by a spreadsheet."""
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA) else value
