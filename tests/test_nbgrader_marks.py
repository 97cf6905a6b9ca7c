"""Regrading: what a person decided stays, and only answers that changed are looked at again."""

import pytest
from nbgrader.api import Grade, Gradebook

from autograder.nbgrader_plugin.autograde import autograde_class
from autograder.nbgrader_plugin.gradebook import database_url
from autograder.nbgrader_plugin.marks import Override, overrides
from tests.nbgrader_course import RIGHT, TINY_NAME, TINY_STEM, Course, fake_grade_all, scratch_course  # noqa: F401

ANSWER = {"q1-why": "Because it doubles."}


def grade_again(course: Course, answers: dict[str, str]) -> None:
    course.submit("ada", answers)
    autograde_class(course.tiny, fake_grade_all, force=True)


def set_mark(course: Course, cell: str, mark: float) -> None:
    """What the formgrader does when a person enters a mark."""
    with Gradebook(database_url(course.root)) as gradebook:
        grade = gradebook.find_grade(cell, TINY_STEM, TINY_NAME, "ada")
        grade.manual_score, grade.needs_manual_grade = mark, False
        gradebook.db.commit()


def look(course: Course, cell: str) -> tuple[float | None, bool, float]:
    with Gradebook(database_url(course.root)) as gradebook:
        grade: Grade = gradebook.find_grade(cell, TINY_STEM, TINY_NAME, "ada")
        return grade.manual_score, grade.needs_manual_grade, grade.score


def test_an_answer_is_to_be_marked_until_a_person_has(course):
    """As with stock nbgrader; an answer that is not there is 0 and bothers nobody."""
    grade_again(course, ANSWER)
    assert look(course, "q1-why") == (None, True, 0)
    grade_again(course, {"q1-why": "YOUR ANSWER HERE"})
    assert look(course, "q1-why") == (None, False, 0)
    grade_again(course, {"q1-why": "  "})
    assert look(course, "q1-why") == (None, False, 0)


def test_an_unchanged_answer_keeps_mark_and_flag(course):
    """Stock nbgrader flags every manual mark again at each regrade."""
    grade_again(course, ANSWER)
    set_mark(course, "q1-why", 1.5)
    grade_again(course, ANSWER | RIGHT)
    assert look(course, "q1-why") == (1.5, False, 1.5)


def test_a_changed_answer_keeps_its_mark_as_a_suggestion_and_is_flagged(course):
    """And stays flagged over further regrades, until a person decides."""
    grade_again(course, ANSWER)
    set_mark(course, "q1-why", 1.5)
    grade_again(course, {"q1-why": "Because it triples."})
    assert look(course, "q1-why") == (1.5, True, 1.5)
    grade_again(course, {"q1-why": "Because it triples."})
    assert look(course, "q1-why") == (1.5, True, 1.5)
    set_mark(course, "q1-why", 1.0)
    grade_again(course, {"q1-why": "Because it triples."})
    assert look(course, "q1-why") == (1.0, False, 1.0)


@pytest.mark.parametrize(("code", "flagged"), [("pass", False), (RIGHT["double"], True)], ids=["same", "new"])
def test_an_override_on_an_automatic_cell_stays_and_is_listed(course, code, flagged):
    """It is flagged where the code that it judged has changed."""
    grade_again(course, {"double": "pass"} | ANSWER)
    set_mark(course, "double-tests", 2.0)
    set_mark(course, "q1-why", 1.0)
    grade_again(course, {"double": code} | ANSWER)
    assert look(course, "double-tests") == (2.0, flagged, 2.0)
    with Gradebook(database_url(course.root)) as gradebook:
        listed = overrides(gradebook, TINY_NAME)
    assert listed == [Override("ada", "double-tests", 3.0 if flagged else 0.0, 2.0)]


def test_comments_of_a_person_stay(course):
    """A regrade writes automatic comments only."""
    grade_again(course, ANSWER)
    with Gradebook(database_url(course.root)) as gradebook:
        gradebook.find_comment("q1-why", TINY_STEM, TINY_NAME, "ada").manual_comment = "Well put, *ada*."
        gradebook.db.commit()
    grade_again(course, ANSWER)
    assert "Well put, <em>ada</em>." in course.feedback("ada")
