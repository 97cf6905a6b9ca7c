"""Grading a class can be ended at any moment, by any means, and run again: nothing is lost, doubled or half there."""

import itertools
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from autograder.files import write_whole
from autograder.grading.graded_submission import Graded
from autograder.nbgrader_plugin import record as recording
from autograder.nbgrader_plugin.autograde import NotSaved, autograde_class
from autograder.nbgrader_plugin.gradebook import before_autograde, database_url
from autograder.nbgrader_plugin.lock import only_grader
from autograder.nbgrader_plugin.marks import SaveMarks
from autograder.results.result import Result
from tests.nbgrader_course import RIGHT, TINY_NAME, TINY_STEM, Course, fake_grade, fake_grade_all, scratch_course  # noqa: F401

STUDENTS = ("ada", "ben", "cleo", "dan")
OLD = {"double": RIGHT["double"], "q1-why": "Because it doubles."}  # 3 points
NEW = RIGHT | {"q1-why": "Because it doubles."}  # 3.3 points
KILLS = 20


def graded_class(course: Course, answers: dict[str, str] = OLD) -> None:
    for student in STUDENTS:
        course.submit(student, answers)
    autograde_class(course.tiny, fake_grade_all)


def in_child(work: object, *arguments: object) -> int:
    """Run `work` in a process of its own; gives the process's id."""
    child = os.fork()
    if child == 0:
        try:
            work(*arguments)  # type: ignore[operator]
            os._exit(0)
        except BaseException:
            os._exit(1)
    return child


def person_marks(course: Course) -> None:
    """What a marker enters in the formgrader: a mark, a comment, and an override of an automatic mark."""
    with Gradebook(database_url(course.root)) as gradebook:
        for student in STUDENTS:
            answer = gradebook.find_grade("q1-why", TINY_STEM, TINY_NAME, student)
            answer.manual_score, answer.needs_manual_grade = 1.5, False
            gradebook.find_comment("q1-why", TINY_STEM, TINY_NAME, student).manual_comment = f"Well put, {student}."
            gradebook.find_grade("double-tests", TINY_STEM, TINY_NAME, student).extra_credit = 0.25
        gradebook.db.commit()


def rows(course: Course) -> dict[str, dict[str, tuple[float | None, float | None, float | None]]]:
    """Automatic mark, manual mark and extra credit by student and cell; every submission exactly once."""
    with Gradebook(database_url(course.root)) as gradebook:
        submissions = gradebook.assignment_submissions(TINY_NAME)
        assert len({s.student.id for s in submissions}) == len(submissions)
        found = {}
        for submission in submissions:
            grades = submission.notebooks[0].grades
            assert len({g.name for g in grades}) == len(grades) == 3 and len(submission.notebooks) == 1
            found[submission.student.id] = {g.name: (g.auto_score, g.manual_score, g.extra_credit) for g in grades}
        return found


def assert_sound(course: Course) -> None:
    """The gradebook's file is whole, each student's automatic marks are all old or all new, and no file is half there."""
    with sqlite3.connect(course.root / "gradebook.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    for marks in rows(course).values():
        assert tuple(marks[cell][0] for cell in ("double-tests", "triple-tests")) in ((3, 0), (3, 0.3), (None, None))
    for path in (course.root / "results").rglob("*.json"):
        Result.from_json(path.read_text())
    for path in (course.root / "autograded").rglob("*.ipynb"):
        if not path.name.startswith("."):
            assert len(course.autograded(path.parent.parent.name).cells) == 9
    for path in (course.root / "feedback").rglob("*.html"):
        assert path.read_text().rstrip().endswith("</html>")


def assert_finished(course: Course) -> None:
    """Everything is as if nothing had ever been killed."""
    assert rows(course) == {
        s: {"double-tests": (3, None, 0.25), "triple-tests": (0.3, None, None), "q1-why": (None, 1.5, None)}
        for s in STUDENTS
    }
    for student in STUDENTS:
        assert course.result(student).score == 3.3
        page = course.feedback(student)
        assert "3.3 of 3.3 points" in page and f"Well put, {student}." in page
    left = [p for step in ("results", "autograded", "feedback") for p in (course.root / step).rglob(".unfinished*")]
    assert left == []


def test_killed_at_random_moments_and_run_again(course):
    """SIGKILL after random times, again and again: always sound, finished work stays, the end is as without a kill."""
    graded_class(course)
    person_marks(course)
    for student in STUDENTS:
        course.submit(student, NEW)
    chance = random.Random(7)
    finished: set[str] = set()
    killed = 0
    for _ in range(KILLS):
        child = in_child(autograde_class, course.tiny, fake_grade_all)
        time.sleep(chance.uniform(0.02, 0.2))
        os.kill(child, signal.SIGKILL)
        killed += os.waitpid(child, 0)[1] == signal.SIGKILL
        assert_sound(course)
        now = {p.stem for p in (course.root / "results").rglob("*.json") if course.result(p.stem).score == 3.3}
        assert finished <= now
        finished = now
        if finished == set(STUDENTS):
            break
    assert killed >= 3
    last = {marked.student: marked.fresh for marked in autograde_class(course.tiny, fake_grade_all)}
    assert {student for student, fresh in last.items() if not fresh} == finished
    assert_finished(course)


@pytest.mark.parametrize("call", [2, 3])
def test_the_marks_of_a_submission_are_all_old_or_all_new(course, monkeypatch, call):
    """Killed between two marks of one submission: whoever looks before the next run finds the old ones."""
    graded_class(course, {})
    course.submit("ada", NEW)
    original, calls = SaveMarks._add_score, itertools.count(1)

    def deadly(*arguments: object) -> None:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        original(*arguments)

    monkeypatch.setattr(SaveMarks, "_add_score", deadly)
    os.waitpid(in_child(autograde_class, course.tiny, fake_grade_all), 0)
    assert [rows(course)["ada"][cell][0] for cell in ("double-tests", "triple-tests", "q1-why")] == [0, 0, 0]
    with Gradebook(database_url(course.root)) as gradebook:
        assert gradebook.find_comment("double", TINY_STEM, TINY_NAME, "ada").auto_comment == "No response."


def test_a_first_run_that_is_killed_leaves_a_gradebook_that_the_next_can_use(course):
    """Also while the gradebook is being made."""
    for student in STUDENTS:
        course.submit(student, NEW)
    for seconds in (0.02, 0.05, 0.1, 0.2, 0.4):
        child = in_child(autograde_class, course.tiny, fake_grade_all)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    autograde_class(course.tiny, fake_grade_all)
    person_marks(course)
    autograde_class(course.tiny, fake_grade_all, force=True)
    assert_finished(course)


def full_disk(path: Path, content: str | bytes) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_the_old_files_whole_and_is_told_in_one_line(course, monkeypatch):
    """Old notebook, page and marks of a person stay; with room again the next run finishes."""
    graded_class(course)
    person_marks(course)
    before = {p: p.read_bytes() for step in ("autograded", "feedback") for p in (course.root / step).rglob("*.*")}
    for student in STUDENTS:
        course.submit(student, NEW)
    with monkeypatch.context() as patch, pytest.raises(NotSaved, match=r"ada \(OSError: No space left") as told:
        patch.setattr(recording, "write_whole", full_disk)
        autograde_class(course.tiny, fake_grade_all)
    assert str(told.value).isprintable() and all(student in str(told.value) for student in STUDENTS)
    assert {p: p.read_bytes() for p in before} == before
    assert_sound(course)
    autograde_class(course.tiny, fake_grade_all)
    assert_finished(course)


def limited(course: Course, size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        autograde_class(course.tiny, fake_grade_all)
    except NotSaved as told:
        os._exit(7 if str(told).isprintable() else 8)


@pytest.mark.parametrize("size", [500, 20_000, 150_000])
def test_a_disk_that_the_system_calls_full_harms_nothing(course, size):
    """A real limit on file size, met while writing a result, a page or the gradebook itself."""
    graded_class(course)
    person_marks(course)
    for student in STUDENTS:
        course.submit(student, NEW)
    child = in_child(limited, course, size)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert_sound(course)
    autograde_class(course.tiny, fake_grade_all)
    assert_finished(course)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    """A write that fails half way leaves the old content, and nothing beside it."""
    path = tmp_path / "one.json"
    write_whole(path, "old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: full_disk(path, ""))
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_write_left_is_cleared_away(course):
    """By the next run that records the same student."""
    graded_class(course)
    folders = [course.root / "results" / TINY_NAME]
    folders += [course.root / step / "ada" / TINY_NAME for step in ("autograded", "feedback")]
    for folder in folders:
        (folder / ".unfinished-abc").write_text("half of a fi")
    course.submit("ada", NEW)
    autograde_class(course.tiny, fake_grade_all)
    assert not any(path.name.startswith(".unfinished") for folder in folders for path in folder.iterdir())


def slowly(paths: list[Path]) -> Iterator[tuple[Path, Graded]]:
    for path in paths:
        (path.parents[3] / "begun").touch()
        time.sleep(1.0)
        yield path, fake_grade(path)


def test_a_second_grader_is_turned_away_and_the_first_is_not_disturbed(course, monkeypatch):
    """One line that names the process; stock nbgrader is turned away, too; a killed holder lets go by itself."""
    for student in STUDENTS[:2]:
        course.submit(student, NEW)
    first = in_child(autograde_class, course.tiny, slowly)
    while not (course.root / "begun").exists():
        time.sleep(0.02)
    with pytest.raises(NotSaved, match=f"another command is writing to this course .process {first}."):
        autograde_class(course.tiny, fake_grade_all)
    monkeypatch.chdir(course.root)
    with pytest.raises(SystemExit, match="another command is writing to this course"):
        before_autograde(TINY_NAME, "ada", [])
    assert os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) == 0
    assert [marked.fresh for marked in autograde_class(course.tiny, fake_grade_all)] == [False, False]
    holder = in_child(autograde_class, course.tiny, slowly, ["ada"])
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    with only_grader(course.root):
        pass


CLASS = """
import sys
from pathlib import Path
from autograder.batch import grade_many as many
from tests import deadly_grader

many.grade_one = deadly_grader.grade
list(many._in_processes([Path(sys.argv[1]), Path("ben.ipynb")], None, 1))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes elsewhere end when they next speak to their parent")
def test_a_killed_grader_leaves_no_process_behind(tmp_path):
    """Its helpers, and what they were forked from, end with it, instead of waiting for ever with a gigabyte each."""
    told = tmp_path / "slow.ipynb"
    grader = subprocess.Popen([sys.executable, "-c", CLASS, str(told)], cwd=Path(__file__).parent.parent)
    deadline = time.monotonic() + 60
    while not (told.exists() and told.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    helper = Path("/proc") / told.read_text()
    origin = Path("/proc") / (helper / "stat").read_text().rpartition(")")[2].split()[1]
    assert origin.name != str(grader.pid)
    grader.kill()
    grader.wait()
    time.sleep(1)
    assert [p for p in (helper, origin) if p.exists() and ") Z " not in (p / "stat").read_text()] == []


def test_a_resubmission_replaces_its_own_and_nothing_else(course):
    """Marks, page and result of one student change; every byte of the others stays."""
    graded_class(course)
    person_marks(course)
    others = {
        p: p.read_bytes()
        for step in ("autograded", "feedback", "results")
        for p in (course.root / step).rglob("*.*")
        if "ben" not in str(p) and p.is_file() and not p.name.startswith(".")
    }
    marks = rows(course)
    course.submit("ben", NEW)
    done = {marked.student: marked.fresh for marked in autograde_class(course.tiny, fake_grade_all)}
    assert done == {"ada": False, "ben": True, "cleo": False, "dan": False}
    assert {p: p.read_bytes() for p in others} == others
    after = rows(course)
    assert after.pop("ben")["triple-tests"] == (0.3, None, None)
    assert after == {student: row for student, row in marks.items() if student != "ben"}


def test_a_gradebook_from_a_backup_gets_the_marks_again(course):
    """Results that the gradebook does not show are not finished."""
    graded_class(course)
    backup = (course.root / "gradebook.db").read_bytes()
    for student in STUDENTS:
        course.submit(student, NEW)
    autograde_class(course.tiny, fake_grade_all)
    (course.root / "gradebook.db").write_bytes(backup)
    assert all(marked.fresh for marked in autograde_class(course.tiny, fake_grade_all))
    assert all(row["triple-tests"][0] == 0.3 for row in rows(course).values())


def test_a_damaged_gradebook_is_told_in_one_line(course):
    """And left as it is, for a person to look at."""
    graded_class(course)
    (course.root / "gradebook.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(NotSaved, match=r"gradebook.db cannot be used") as told:
        autograde_class(course.tiny, fake_grade_all)
    assert str(told.value).isprintable()
    assert (course.root / "gradebook.db").read_bytes().startswith(b"not a database")


def test_an_arrival_that_is_recorded_later_reaches_what_is_graded_already(course):
    """The collector's list may come after the first run; no mark is touched."""
    graded_class(course)
    (course.root / "submitted" / "arrivals.csv").write_text(
        f"student,assignment,time\nada,{TINY_NAME},2026-11-22T18:00:00+01:00\n"
    )
    assert not any(marked.fresh for marked in autograde_class(course.tiny, fake_grade_all))
    with Gradebook(database_url(course.root)) as gradebook:
        assert str(gradebook.find_submission(TINY_NAME, "ada").timestamp) == "2026-11-22 17:00:00"
