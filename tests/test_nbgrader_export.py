"""Marks as a CSV file."""

import csv
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from typer.testing import CliRunner

from autograder.cli import app
from autograder.collecting.arrivals import BadArrivals
from autograder.nbgrader_plugin.autograde import autograde_class
from autograder.nbgrader_plugin.export import export_marks
from autograder.nbgrader_plugin.gradebook import database_url
from tests.nbgrader_course import RIGHT, TINY_NAME, TINY_STEM, Course, fake_grade_all, scratch_course  # noqa: F401


def exported(course: Course) -> dict[str, dict[str, str]]:
    path = course.root / "marks.csv"
    export_marks(path, course.root)
    with path.open(newline="", encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_each_student_has_a_row_with_sums_and_every_cell(course):
    """Automatic and manual marks, what counts, the maximum, and what is still to be marked."""
    course.submit("ada", RIGHT | {"q1-why": "Because."})
    course.submit("ben", {"double": RIGHT["double"], "q1-why": "Why?"})
    course.submit("cleo", {}).write_text("{ cut short")
    autograde_class(course.tiny, fake_grade_all)
    with Gradebook(database_url(course.root)) as gradebook:
        for cell, mark in (("q1-why", 1.5), ("double-tests", 2.0)):
            grade = gradebook.find_grade(cell, TINY_STEM, TINY_NAME, "ada")
            grade.manual_score, grade.needs_manual_grade = mark, False
        gradebook.add_student("dora")
        gradebook.db.commit()
    rows = exported(course)
    assert list(rows) == ["ada", "ben", "cleo", "dora"]
    wanted = {
        "assignment": TINY_NAME, "status": "graded", "automatic": "0.3", "manual": "3.5", "total": "3.8",
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
    [
        ('O"Neil, Ada\nb', 'O"Neil, Ada\nb'),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("  =1+1", "'  =1+1"),
        ("＝1+1", "'＝1+1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("Müller", "Müller"),
    ],
)
def test_names_are_quoted_and_never_formulas(course, name, written):
    """Stock nbgrader quotes nothing; a spreadsheet computes what begins with an equals sign."""
    course.submit("ada", RIGHT)
    autograde_class(course.tiny, fake_grade_all)
    with Gradebook(database_url(course.root)) as gradebook:
        gradebook.update_or_create_student("ada", last_name=name)
    assert exported(course)["ada"]["last_name"] == written


@pytest.mark.parametrize(("due", "penalty"), [("2026-11-20 12:00:00 UTC", 3.3), ("2026-11-25 12:00:00 UTC", 0)])
def test_late_penalties_are_computed_from_the_due_date_of_today(course, due, penalty):
    """By the plug-in that the course configures: here nbgrader's `zero`, which takes everything."""
    course.submit("ada", RIGHT)
    (course.root / "submitted" / "arrivals.csv").write_text(
        f"student,assignment,time\nada,{TINY_NAME},2026-11-22T18:00:00\n"
    )
    autograde_class(course.tiny, fake_grade_all)
    with Gradebook(database_url(course.root)) as gradebook:
        gradebook.update_or_create_assignment(TINY_NAME, duedate=due)
    with (course.root / "nbgrader_config.py").open("a") as file:
        file.write('\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    row = exported(course)["ada"]
    assert float(row["late_penalty"]) == penalty and float(row["total"]) == 3.3 - penalty
    assert row["arrived"] == "2026-11-22T18:00:00"


def test_an_export_without_a_gradebook_is_one_clear_line(course):
    """And makes no empty gradebook on the way."""
    with pytest.raises(FileNotFoundError, match="grade something first"):
        export_marks(Path("marks.csv"), course.root)
    assert not (course.root / "gradebook.db").exists()


@pytest.mark.parametrize(
    ("extension", "penalty"),
    [
        ("ada,{0},2026-11-23T00:00:00+01:00", 0.0),
        ("ada,{0},2026-11-22T15:00:00+01:00", 3.3),
        ("ada,{0},2026-11-01T00:00:00", 3.3),
        ("ben,{0},2026-12-24T00:00:00", 3.3),
        ("ada,other,2026-12-24T00:00:00", 3.3),
    ],
)
def test_an_extension_moves_one_students_due_date_back(course, extension, penalty):
    """For that student and assignment alone, and never forward."""
    late_submission(course)
    (course.root / "submitted" / "extensions.csv").write_text(
        f"student,assignment,until\n{extension.format(TINY_NAME)}\n"
    )
    row = exported(course)["ada"]
    assert (float(row["late_penalty"]), float(row["total"])) == (penalty, 3.3 - penalty)
    assert (row["seconds_late"] == "0") == (penalty == 0)
    assert row["due"] >= "2026-11-20T12:00:00"


def late_submission(course: Course, config: str = 'c.LateSubmissionPlugin.penalty_method = "zero"') -> None:
    """Full marks for code, due on the 20th at noon, arrived on the 22nd at 17:00 UTC."""
    course.submit("ada", RIGHT)
    (course.root / "submitted" / "arrivals.csv").write_text(
        f"student,assignment,time\nada,{TINY_NAME},2026-11-22T18:00:00+01:00\n"
    )
    autograde_class(course.tiny, fake_grade_all)
    with Gradebook(database_url(course.root)) as gradebook:
        gradebook.update_or_create_assignment(TINY_NAME, duedate="2026-11-20 12:00:00 UTC")
    with (course.root / "nbgrader_config.py").open("a") as file:
        file.write(f"\n{config}\n")


@pytest.mark.parametrize(
    ("until", "penalty"),
    [
        ("2026-11-22T17:00:00", 0.0),
        ("2026-11-22T16:45:00", 0.0),
        ("2026-11-22T16:44:59", 0.33),
        ("2026-11-21T16:59:59", 0.66),
        ("2026-11-20T12:00:00", 0.99),
    ],
)
def test_a_share_for_each_day_begun_is_ready_to_be_chosen(course, until, penalty):
    """By its name in the configuration; the first quarter of an hour costs nothing."""
    late_submission(course, 'c.AssignLatePenalties.plugin_class = "autograder.nbgrader_plugin.late.PercentADay"')
    (course.root / "submitted" / "extensions.csv").write_text(f"student,assignment,until\nada,{TINY_NAME},{until}\n")
    assert float(exported(course)["ada"]["late_penalty"]) == pytest.approx(penalty)


def test_a_damaged_extension_is_named(course):
    """One line; no marks leave with half of the extensions."""
    late_submission(course)
    (course.root / "submitted" / "extensions.csv").write_text("student,assignment,until\nada,x,soon\n")
    with pytest.raises(BadArrivals, match=r"extensions.csv, line 2: expected student,assignment,until"):
        export_marks(course.root / "marks.csv", course.root)


ROSTER = """id,name,canvas_id,email
ada,"Lovelace, Ada",7,ada@example.org
ben,=Ben,8,
cleo,Cleo,,
dora,Dora,10,
"""


def class_of_four(course: Course) -> Path:
    """Two submissions, one with an answer that waits for a person, and a roster of four."""
    course.submit("ada", RIGHT)
    course.submit("ben", RIGHT | {"q1-why": "Because."})
    course.submit("cleo", {})
    autograde_class(course.tiny, fake_grade_all)
    path = course.root / "submitted" / "roster.csv"
    path.write_text(ROSTER)
    return path


def test_the_roster_adds_names_ids_and_those_who_handed_nothing_in(course):
    """Found in submitted/ by the command."""
    class_of_four(course)
    path = course.root / "out.csv"
    done = CliRunner().invoke(app, ["export", "--output", str(path)])
    assert done.exit_code == 0, done.output
    with path.open(newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert (rows["ada"]["name"], rows["ada"]["canvas_id"]) == ("Lovelace, Ada", "7")
    assert (rows["dora"]["status"], rows["dora"]["canvas_id"], rows["dora"]["total"]) == ("missing", "10", "0.0")
    assert "1 of them are not final" in " ".join(done.stderr.split())


def test_canvas_gets_the_form_that_it_imports(course):
    """Its five columns, then a column for each assignment; points in the second line; nothing for what is missing."""
    class_of_four(course)
    path = course.root / "canvas.csv"
    done = CliRunner().invoke(app, ["export", "--canvas", "--output", str(path)])
    assert done.exit_code == 0, done.output
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", TINY_NAME],
        ["    Points Possible", "", "", "", "", "5.3"],
        ["Lovelace, Ada", "7", "", "", "", "3.3"],
        ["'=Ben", "8", "", "", "", "3.3"],
        ["Dora", "10", "", "", "", ""],
    ]
    assert "left out, for want of a Canvas id: cleo" in " ".join(done.stderr.split())


def test_canvas_without_its_ids_is_one_line(course):
    """Nothing is written."""
    class_of_four(course).write_text("id,name\nada,Ada\n")
    done = CliRunner().invoke(app, ["export", "--canvas", "--output", str(course.root / "canvas.csv")])
    assert done.exit_code == 2 and "canvas_id" in done.stderr and done.stderr.count("\n") == 1
    assert not (course.root / "canvas.csv").exists()
