"""Arrival times and what lateness costs."""

from datetime import datetime
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde

from autograder.collecting.arrivals import BadArrivals, arrival_times
from autograder.nbgrader_plugin.autograde import autograde_class
from autograder.nbgrader_plugin.gradebook import database_url
from autograder.notebooks.nbgrader_convert import convert, course_config
from tests.nbgrader_course import RIGHT, TINY_NAME, Course, fake_grade_all, scratch_course, stock_fake_grade  # noqa: F401


def arrived(course: Course, student: str) -> datetime | None:
    with Gradebook(database_url(course.root)) as gradebook:
        return gradebook.find_submission(TINY_NAME, student).timestamp


def stock_autograde(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    config = course_config(course.root, course.root)
    stock_fake_grade(monkeypatch)
    config.LateSubmissionPlugin.penalty_method = "zero"
    convert(Autograde, TINY_NAME, config)


@pytest.mark.parametrize("claim", ["2020-01-01 00:00:00 UTC", "not a time", ""])
@pytest.mark.parametrize("how", ["stock", "ours"])
def test_a_time_inside_the_submission_is_not_believed(course, monkeypatch, claim, how):
    """Nor does a damaged one stop the grading, as it does with stock nbgrader."""
    course.submit("ada", RIGHT).with_name("timestamp.txt").write_text(claim)
    course.submit("ben", RIGHT).with_name("timestamp.txt").write_text(claim)
    (course.root / "submitted" / "arrivals.csv").write_text(
        f"student,assignment,time\nada,{TINY_NAME},2026-11-22T18:00:00+01:00\n"
    )
    stock_autograde(course, monkeypatch) if how == "stock" else autograde_class(course.tiny, fake_grade_all)
    assert arrived(course, "ada") == datetime(2026, 11, 22, 17, 0) and arrived(course, "ben") is None


def test_lateness_costs_nothing_at_autograde_time(course, monkeypatch):
    """Stock nbgrader would take all points here; due dates may still move."""
    course.submit("ada", RIGHT)
    (course.root / "submitted" / "arrivals.csv").write_text(
        f"student,assignment,time\nada,{TINY_NAME},2026-11-22T18:00:00\n"
    )
    autograde_class(course.tiny, fake_grade_all)
    with Gradebook(database_url(course.root)) as gradebook:
        gradebook.update_or_create_assignment(TINY_NAME, duedate="2026-11-20 12:00:00 UTC")
    (course.root / "autograded").rename(course.root / "earlier")
    stock_autograde(course, monkeypatch)
    with Gradebook(database_url(course.root)) as gradebook:
        submission = gradebook.find_submission(TINY_NAME, "ada")
        assert submission.total_seconds_late > 0 and submission.late_submission_penalty == 0


@pytest.mark.parametrize("line", ["ada,x,yesterday", "ada,x", "ada"])
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line):
    """With the form that a line should have."""
    (tmp_path / "arrivals.csv").write_text(f"student,assignment,time\nben,x,2026-11-22\n{line}\n")
    with pytest.raises(BadArrivals, match=r"arrivals.csv, line 3: expected student,assignment,time"):
        arrival_times(tmp_path)
