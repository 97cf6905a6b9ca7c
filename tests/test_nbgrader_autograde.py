"""Grading a class into the gradebook, results and feedback, once and again."""

import itertools
import os
import signal
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback

from autograder.feedback.page import FeedbackExporter
from autograder.grading.graded import Graded
from autograder.nbgrader_plugin import record
from autograder.nbgrader_plugin.autograde import NotSaved, autograde_class
from autograder.nbgrader_plugin.gradebook import database_url
from autograder.nbgrader_plugin.marks import SaveMarks
from autograder.nbgrader_plugin.record import RecordMarks
from autograder.notebooks.nbgrader_convert import convert, course_config
from autograder.results.result import Result
from tests.nbgrader_course import (  # noqa: F401
    RIGHT,
    TINY_NAME,
    TINY_STEM,
    Course,
    fake_grade,
    fake_grade_all,
    scratch_course,
    stock_fake_grade,
)


def marks(course: Course, student: str) -> dict[str, float | None]:
    with Gradebook(database_url(course.root)) as gradebook:
        submission = gradebook.find_submission_notebook(TINY_STEM, TINY_NAME, student)
        return {grade.name: grade.auto_score for grade in submission.grades}


def test_a_class_gets_marks_results_and_feedback(course):
    """From submitted/ to gradebook.db, autograded/, feedback/ and results/."""
    course.submit("ada", RIGHT | {"q1-why": "Because."})
    course.submit("ben", {"double": RIGHT["double"]})
    done = autograde_class(course.tiny, fake_grade_all)
    assert [(m.student, m.result.score, m.fresh) for m in done] == [("ada", 3.3, True), ("ben", 3.0, True)]
    assert marks(course, "ada") == {"double-tests": 3, "triple-tests": 0.3, "q1-why": None}
    assert marks(course, "ben") == {"double-tests": 3, "triple-tests": 0, "q1-why": 0}
    assert course.result("ben") == done[1].result
    assert "The value of triple is right" in course.feedback("ben") and "Likely cause: the factor" in course.feedback(
        "ben"
    )


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_text("{ cut short"), "not JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
        (lambda path: path.write_text(""), "empty"),
        (lambda path: path.rename(path.with_name("homework (2).ipynb")), "found homework (2).ipynb"),
        (lambda path: path.unlink(), "found no notebook"),
        (
            lambda path: nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), path),
            "none of",
        ),
    ],
    ids=["cut", "binary", "empty", "misnamed", "missing", "foreign"],
)
def test_what_cannot_be_graded_gets_zero_and_a_reason_and_stops_nobody(course, damage, told):
    """The student finds the reason on the feedback page; the next student is graded."""
    damage(course.submit("ada", RIGHT))
    course.submit("ben", RIGHT)
    ada, ben = autograde_class(course.tiny, fake_grade_all)
    assert (ada.result.status, ada.result.score, ben.result.score) == ("could-not-run", 0.0, 3.3)
    assert told in ada.result.error and "\n" not in ada.result.error
    assert set(marks(course, "ada").values()) == {0}
    assert "could not be graded" in course.feedback("ada")


def test_other_notebooks_beside_the_right_one_are_left_alone(course):
    """As with stock nbgrader: only notebooks that the gradebook knows are graded."""
    path = course.submit("ada", RIGHT)
    path.with_name("scratch.ipynb").write_text("{ not a notebook")
    assert autograde_class(course.tiny, fake_grade_all)[0].result.score == 3.3


def test_a_second_run_grades_only_what_is_new(course):
    """Finished work stays; a new file, or `force`, is graded again."""
    course.submit("ada", RIGHT)
    course.submit("ben", {})
    autograde_class(course.tiny, fake_grade_all)
    assert [m.fresh for m in autograde_class(course.tiny, fake_grade_all)] == [False, False]
    course.submit("ben", RIGHT)
    again = {m.student: (m.fresh, m.result.score) for m in autograde_class(course.tiny, fake_grade_all)}
    assert again == {"ada": (False, 3.3), "ben": (True, 3.3)}
    assert [m.fresh for m in autograde_class(course.tiny, fake_grade_all, ["ada"], force=True)] == [True]


@pytest.mark.parametrize(
    "lost", ["gradebook.db", "results/tiny-course/ada.json", "feedback/ada/tiny-course/tiny_course.html"]
)
def test_a_student_of_whom_anything_is_missing_is_done_again(course, lost):
    """A fresh gradebook, a deleted page: the run that finds it makes it."""
    course.submit("ada", RIGHT)
    autograde_class(course.tiny, fake_grade_all)
    (course.root / lost).unlink()
    assert autograde_class(course.tiny, fake_grade_all)[0].fresh
    assert (course.root / lost).is_file() and marks(course, "ada")["double-tests"] == 3


@pytest.mark.parametrize(
    ("where", "name", "call"),
    [(RecordMarks, "init_assignment", 1), (record, "write_whole", 1), (SaveMarks, "_add_score", 2),
     (FeedbackExporter, "from_notebook_node", 1), (os, "replace", 1), (os, "replace", 3), (Result, "write", 1)],
    ids=["copying", "writing", "marking", "feedback", "first-rename", "last-rename", "result"],
)  # fmt: skip
def test_a_killed_run_leaves_nothing_half_done_for_the_next(course, monkeypatch, where, name, call):
    """Killed in the second student, at any step: the first stays finished, the second is done again and right."""
    course.submit("ada", {"double": RIGHT["double"]})
    course.submit("ben", {})
    autograde_class(course.tiny, fake_grade_all)
    course.submit("ben", RIGHT)
    original, calls = getattr(where, name), itertools.count(1)

    def deadly(*args: object, **kwargs: object) -> object:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    child = os.fork()
    if child == 0:
        setattr(where, name, deadly)
        autograde_class(course.tiny, fake_grade_all)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    again = {m.student: m.fresh for m in autograde_class(course.tiny, fake_grade_all)}
    assert again == {"ada": False, "ben": True}
    assert marks(course, "ben") == {"double-tests": 3, "triple-tests": 0.3, "q1-why": 0}
    assert course.result("ben").score == 3.3 and "3.3 of 3.3 points" in course.feedback("ben")
    files = sorted(p.name for step in ("autograded", "feedback") for p in (course.root / step / "ben").glob("*/*"))
    assert files == [f"{TINY_STEM}.html", f"{TINY_STEM}.ipynb"]


def test_a_dry_run_writes_nothing_and_tells_what_would_change(course):
    """Old marks against new ones, before anything is written."""
    course.submit("ada", {})
    autograde_class(course.tiny, fake_grade_all)
    course.submit("ada", RIGHT)
    before = {p: p.read_bytes() for p in course.root.rglob("*") if p.is_file()}
    (told,) = autograde_class(course.tiny, fake_grade_all, dry_run=True)
    assert [(c.cell, c.old, c.new) for c in told.changes] == [("double-tests", 0, 3), ("triple-tests", 0, 0.3)]
    assert {p: p.read_bytes() for p in course.root.rglob("*") if p.is_file()} == before


def test_a_student_who_is_not_there_is_named(course):
    """Before anything is graded."""
    course.submit("ada", {})
    with pytest.raises(FileNotFoundError, match="by: zoe"):
        autograde_class(course.tiny, fake_grade_all, ["ada", "zoe"])


def test_a_folder_name_that_pages_would_run_is_refused_after_the_others_are_graded(course):
    """nbgrader's formgrader prints the student's name as HTML."""
    course.submit("<img src=x onerror=alert(1)>", RIGHT)
    course.submit("zoe o. müller-2@example.org", RIGHT)
    with pytest.raises(NotSaved, match="onerror"):
        autograde_class(course.tiny, fake_grade_all)
    assert course.result("zoe o. müller-2@example.org").score == 3.3


def test_stock_autograde_gives_the_same_marks_and_results(course, monkeypatch):
    """nbgrader's own converter with the course's configuration, on a course without a gradebook."""
    course.submit("ada", RIGHT | {"q1-why": "Because."})
    course.submit("ben", {"double": "def double(x): return 3 * x"})
    course.submit("cleo", {}).write_text("{ cut short")
    config = course_config(course.root, course.root)
    stock_fake_grade(monkeypatch)
    convert(Autograde, TINY_NAME, config)
    convert(GenerateFeedback, TINY_NAME, config)
    stock = {s: (marks(course, s), course.result(s)) for s in ("ada", "ben", "cleo")}
    assert not any(
        m.fresh for m in autograde_class(course.tiny, fake_grade_all)
    )  # what stock nbgrader did is finished, too
    assert course.result("cleo").status == "could-not-run"
    autograde_class(course.tiny, fake_grade_all, force=True)
    assert {s: (marks(course, s), course.result(s)) for s in ("ada", "ben", "cleo")} == stock


def test_stock_autograde_grades_a_mangled_notebook(course, monkeypatch):
    """Deleted, duplicated, edited and stripped cells: stock nbgrader raises on several of these."""
    path = course.submit("ada", RIGHT)
    notebook = nbformat.read(path, as_version=4)
    cells = {c.id: c for c in notebook.cells}
    notebook.cells = [cells["title"], cells["double"], cells["double"], cells["setup-imports"]]
    notebook.cells += [nbformat.v4.new_code_cell("raise ValueError('an added cell')")]
    cells["setup-imports"].source = "import os; os._exit(1)"
    nbformat.write(notebook, path)
    config = course_config(course.root, course.root)
    stock_fake_grade(monkeypatch)
    convert(Autograde, TINY_NAME, config)
    assert marks(course, "ada") == {"double-tests": 3, "triple-tests": 0, "q1-why": 0}
    graded = {c.metadata.nbgrader.grade_id: c for c in course.autograded("ada").cells if "nbgrader" in c.metadata}
    assert graded["setup-imports"].source == "import math" and len(graded) == 7


def test_results_are_recorded_in_the_order_in_which_they_come(course):
    """A parallel engine gives them in any order; each is finished before the next is waited for."""
    course.submit("ada", RIGHT)
    course.submit("ben", RIGHT)
    seen: list[bool] = []

    def backwards(paths: list[Path]) -> list[tuple[Path, Graded]]:
        for path in reversed(paths):
            yield path, fake_grade(path)
            seen.append((course.root / "results" / TINY_NAME / f"{path.parent.parent.name}.json").is_file())

    assert [m.student for m in autograde_class(course.tiny, backwards)] == ["ben", "ada"] and seen == [True, True]


def test_changed_graders_make_a_finished_mark_stale(course):
    """A student whose file is the same is graded again when release or hidden tests have changed, and only then."""
    course.submit("ada", RIGHT)
    assert [m.fresh for m in autograde_class(course.tiny, fake_grade_all)] == [True]
    assert [m.fresh for m in autograde_class(course.tiny, fake_grade_all)] == [False]
    course.tiny.graders.mkdir(parents=True, exist_ok=True)
    (course.tiny.graders / "test_new.py").write_text("# another hidden test\n")
    assert [m.fresh for m in autograde_class(course.tiny, fake_grade_all)] == [True]
