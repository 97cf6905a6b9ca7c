"""Marks as a CSV file."""

import csv
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from nbgrader_course import RIGHT, TINY, Course, fake_grade_all, scratch_course  # noqa: F401

from autograder.nbgrader_plugin.autograde import autograde_class
from autograder.nbgrader_plugin.export import export_marks
from autograder.nbgrader_plugin.gradebook import database_url


def exported(course: Course) -> dict[str, dict[str, str]]:
    path = course.root / "marks.csv"
    export_marks(path)
    with path.open(newline="", encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_each_student_has_a_row_with_sums_and_every_cell(course):
    """Automatic and manual marks, what counts, the maximum, and what is still to be marked."""
    course.submit("ada", RIGHT | {"q1-why": "Because."})
    course.submit("ben", {"double": RIGHT["double"], "q1-why": "Why?"})
    course.submit("cleo", {}).write_text("{ cut short")
    autograde_class(TINY, fake_grade_all)
    with Gradebook(database_url(course.root)) as gradebook:
        for cell, mark in (("q1-why", 1.5), ("double-tests", 2.0)):
            grade = gradebook.find_grade(cell, TINY.stem, TINY.name, "ada")
            grade.manual_score, grade.needs_manual_grade = mark, False
        gradebook.add_student("dora")
        gradebook.db.commit()
    rows = exported(course)
    assert list(rows) == ["ada", "ben", "cleo", "dora"]
    wanted = {
        "assignment": TINY.name, "status": "graded", "automatic": "0.3", "manual": "3.5", "total": "3.8",
        "max_score": "5.3", "to_be_marked": "0", "double-tests auto": "3.0", "double-tests manual": "2.0",
        "double-tests total": "2.0", "triple-tests auto": "0.3", "triple-tests manual": "", "q1-why auto": "",
        "q1-why manual": "1.5", "late_penalty": "0.0",
    }  # fmt: skip
    assert {key: rows["ada"][key] for key in wanted} == wanted
    assert (rows["ben"]["total"], rows["ben"]["to_be_marked"]) == ("3.0", "1")
    assert (rows["cleo"]["status"], rows["cleo"]["total"]) == ("could-not-run", "0.0")
    assert (rows["dora"]["status"], rows["dora"]["total"], rows["dora"]["double-tests auto"]) == ("missing", "0.0", "")


@pytest.mark.parametrize(
    ("name", "written"),
    [('O"Neil, Ada\nb', 'O"Neil, Ada\nb'), ("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("Müller", "Müller")],
)
def test_names_are_quoted_and_never_formulas(course, name, written):
    """Stock nbgrader quotes nothing; a spreadsheet computes what begins with an equals sign."""
    course.submit("ada", RIGHT)
    autograde_class(TINY, fake_grade_all)
    with Gradebook(database_url(course.root)) as gradebook:
        gradebook.update_or_create_student("ada", last_name=name)
    assert exported(course)["ada"]["last_name"] == written


@pytest.mark.parametrize(("due", "penalty"), [("2026-11-20 12:00:00 UTC", 3.3), ("2026-11-25 12:00:00 UTC", 0)])
def test_late_penalties_are_computed_from_the_due_date_of_today(course, due, penalty):
    """By the plug-in that the course configures: here nbgrader's `zero`, which takes everything."""
    course.submit("ada", RIGHT)
    (course.root / "submitted" / "arrivals.csv").write_text(
        f"student,assignment,time\nada,{TINY.name},2026-11-22T18:00:00\n"
    )
    autograde_class(TINY, fake_grade_all)
    with Gradebook(database_url(course.root)) as gradebook:
        gradebook.update_or_create_assignment(TINY.name, duedate=due)
    with (course.root / "nbgrader_config.py").open("a") as file:
        file.write('\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    row = exported(course)["ada"]
    assert float(row["late_penalty"]) == penalty and float(row["total"]) == 3.3 - penalty
    assert row["arrived"] == "2026-11-22T18:00:00"


def test_an_export_without_a_gradebook_is_one_clear_line(course):
    """And makes no empty gradebook on the way."""
    with pytest.raises(FileNotFoundError, match="grade something first"):
        export_marks(Path("marks.csv"))
    assert not (course.root / "gradebook.db").exists()
