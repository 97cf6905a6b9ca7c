"""Marks as a CSV file that any spreadsheet reads."""

import csv
import io
from pathlib import Path
from typing import Any

from nbgrader.api import Assignment as GradedAssignment
from nbgrader.api import Gradebook, MissingEntry, Student, SubmittedAssignment
from traitlets.config import Config

from autograder import assignments
from autograder.files import write_whole
from autograder.grading.result import Result
from autograder.nbgrader_plugin.gradebook import database_url, open_gradebook
from autograder.nbgrader_plugin.late import late_penalty
from autograder.nbgrader_plugin.preprocessors import result_path
from autograder.notebooks.course import course_config

FIXED = ("assignment", "student", "last_name", "first_name", "status", "arrived", "seconds_late", "automatic", "manual")
FIXED += ("late_penalty", "total", "max_score", "to_be_marked")


def export_marks(path: Path, course: Path | None = None) -> int:
    """Write a row for each student and assignment of the gradebook to `path`, whole; gives the number of rows.

    `automatic` and `manual` add up the marks that count: a manual mark on an automatic cell counts as manual. Each
    cell has three columns: the graders' mark, the person's mark, and the one that counts. Late penalties are computed
    here, from the due date of today.
    """
    course = course or assignments.ROOT
    if not (course / "gradebook.db").is_file():
        raise FileNotFoundError("there is no gradebook.db: grade something first")
    config = course_config(course)
    with open_gradebook(database_url(course)) as gradebook:
        rows = [
            _row(gradebook, course, config, assignment, student)
            for assignment in gradebook.assignments
            for student in gradebook.students
        ]
    columns = list(dict.fromkeys([*FIXED, *(column for row in rows for column in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _inert(value) for column, value in row.items()} for row in rows)
    write_whole(path, text.getvalue())
    return len(rows)


def _row(
    gradebook: Gradebook, course: Path, config: Config, assignment: GradedAssignment, student: Student
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "assignment": assignment.name,
        "student": student.id,
        "last_name": student.last_name or "",
        "first_name": student.first_name or "",
        "max_score": assignment.max_score,
    }
    try:
        submission = gradebook.find_submission(assignment.name, student.id)
    except MissingEntry:
        return row | {"status": "missing", "automatic": 0.0, "manual": 0.0, "late_penalty": 0.0, "total": 0.0}
    automatic, manual, to_mark, cells = _cells(submission)
    penalty = late_penalty(submission, config)
    return (
        row
        | {
            "status": _status(course, assignment.name, student.id),
            "arrived": submission.timestamp.isoformat() if submission.timestamp else "",
            "seconds_late": round(submission.total_seconds_late),
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


def _status(course: Path, assignment: str, student: str) -> str:
    try:
        return Result.from_json(result_path(course, assignment, student).read_text()).status
    except (OSError, ValueError, KeyError, TypeError):
        return "not graded"


def _inert(value: Any) -> Any:
    """A name that begins like a formula would be computed by a spreadsheet."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
