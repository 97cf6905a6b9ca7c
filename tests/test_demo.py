"""The whole course on sample submissions: the marks are those that each story deserves, by either way of grading."""

import csv
import json
import re

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.demo.submissions import samples_of
from autograder.notebooks.released import declared_points
from autograder.results.result import Result
from tests.checkout import copy_checkout, run_in
from tests.this_course import ASSIGNMENTS
from tests.this_course import TRANSFORMER_FUNDAMENTALS as ASSIGNMENT

NAME, STEM = ASSIGNMENT.name, ASSIGNMENT.stem
STORIES = {name: samples_of(assignment) for name, assignment in ASSIGNMENTS.items()}
SAMPLES = STORIES[NAME]
MOST = {name: sum(declared_points(ASSIGNMENTS[name]).values()) for name in STORIES}

pytestmark = pytest.mark.usefixtures("tier")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of this checkout in which `autograder demo` has run."""
    root = copy_checkout(tmp_path_factory.mktemp("demo"))
    done = run_in(root, "autograder", "demo", "--jobs", "2", timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    (root / "demo.txt").write_text(done.stdout)
    return root


def result(course, student, name=NAME):
    return Result.from_json((course / "results" / name / f"{student}.json").read_text())


@pytest.mark.parametrize(
    ("name", "sample"),
    [(n, s) for n, samples in STORIES.items() for s in samples],
    ids=lambda v: getattr(v, "student", v),
)
def test_every_story_gets_its_marks(course, name, sample):
    """The perfect one has all points, the blank one none, and one mistake costs points in its own cell alone."""
    found, cells = result(course, sample.student, name), set(ASSIGNMENTS[name].upstream)
    lost = {c for c in cells if found.cells[f"{c}-tests"].score < found.cells[f"{c}-tests"].max_score}
    assert found.status == "graded"
    assert found.max_score == pytest.approx(MOST[name])
    assert lost == (cells if sample.blank else set(sample.loses))
    if sample.blank:
        assert found.score == 0


def test_time_limits_name_their_cell(course):
    """The loop that never ends is told as such, with its cell."""
    tests = result(course, "ivan").cells["simple-tokenizer-tests"].tests
    assert any("simple-tokenizer did not finish" in t.message for t in tests)


def test_the_table_shows_everyone(course):
    """The command ends with a table of all students and the paths to open."""
    said = (course / "demo.txt").read_text()
    assert all(re.search(rf"┃.*\b{s.student}\b", said) for s in SAMPLES)
    totals = re.search(rf"total, of {MOST[NAME]:g}(.*)", said)[1]
    assert [float(n) for n in re.findall(r"[\d.]+", totals)] == [result(course, s.student).score for s in SAMPLES]
    shown = re.search(r"feedback/\S+\.html", said)
    assert shown
    assert (course / shown[0]).is_file()


def test_result_files_are_as_contracted(course):
    """Every result file has the fixed keys, all cells, and sums that add up."""
    for sample in SAMPLES:
        raw = json.loads((course / "results" / NAME / f"{sample.student}.json").read_text())
        assert {"assignment", "notebook", "status", "score", "max_score", "seconds", "cells"} <= raw.keys()
        assert set(raw["cells"]) == {f"{c}-tests" for c in ASSIGNMENT.upstream}
        for cell in raw["cells"].values():
            assert cell["score"] == pytest.approx(sum(t["earned"] for t in cell["tests"]))
            assert cell["max_score"] == pytest.approx(sum(t["points"] for t in cell["tests"]))
        assert raw["score"] == pytest.approx(sum(c["score"] for c in raw["cells"].values()))


def test_the_gradebook_holds_the_same_marks(course):
    """nbgrader's gradebook agrees with the result files to the point, and waits for the written answers."""
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        for sample in SAMPLES:
            submission = gradebook.find_submission(NAME, sample.student)
            assert submission.score == pytest.approx(result(course, sample.student).score)
            assert submission.needs_manual_grade != sample.blank  # an answer that was left empty needs no reader


def test_feedback_names_tests_and_hides_what_is_hidden(course):
    """A page shows each test's title, outcome and message; no source of a hidden test and no machine path."""
    page = (course / "feedback" / "ben" / NAME / f"{STEM}.html").read_text()
    for outcome in result(course, "ben").cells["sdpa-tests"].tests:
        assert outcome.title.split(" ", 1)[0] in page
    for secret in ("student.call", "reference.", "def test_", str(course), "site-packages"):
        assert secret not in page


@pytest.mark.parametrize("name", STORIES)
def test_nbgrader_autograde_gives_the_same_marks(course, name):
    """The stock command grades in the same sandbox and agrees to the point for every sample."""
    ours = {s.student: result(course, s.student, name).score for s in STORIES[name]}
    stock = run_in(course, "nbgrader", "autograde", name, "--force", timeout=1500)
    assert stock.returncode == 0, stock.stderr[-3000:]
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        theirs = {s: gradebook.find_submission(name, s).score for s in ours}
    assert theirs == pytest.approx(ours)


def test_stock_feedback_and_export_work(course):
    """`nbgrader generate_feedback` and `nbgrader export` do their work on what was graded, and so does ours."""
    for command in (("nbgrader", "generate_feedback", NAME, "--force"), ("nbgrader", "export"),
                    ("autograder", "export", "--output", "marks.csv")):  # fmt: skip
        done = run_in(course, *command)
        assert done.returncode == 0, done.stderr[-2000:]
    assert (course / "feedback" / "ada" / NAME / f"{STEM}.html").is_file()
    with (course / "marks.csv").open() as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert float(rows["ada"]["automatic"]) == MOST[NAME]


def test_the_demonstration_spares_real_submissions(course):
    """What is no sample is not overwritten."""
    target = course / "submitted" / "ada" / NAME / f"{STEM}.ipynb"
    kept = target.read_text()
    own = nbformat.from_dict(json.loads(kept))
    own.metadata.pop("title")
    target.write_text(nbformat.writes(own))
    done = run_in(course, "autograder", "demo")
    assert done.returncode == 2
    assert "not a sample" in done.stderr
    assert target.read_text() == nbformat.writes(own)
    target.write_text(kept)


def test_the_graders_run_as_plain_pytest(course, tmp_path):
    """The solved notebook passes; a broken copy fails in the right test."""
    graders = "autograder/graders/transformer_fundamentals"
    passed = run_in(course, "pytest", graders, "-q", "--submission", str(ASSIGNMENT.solution))
    assert passed.returncode == 0, passed.stdout[-3000:]
    broken = course / "submitted" / "chloe" / NAME / f"{STEM}.ipynb"
    failed = run_in(course, "pytest", f"{graders}/test_positional_encoding.py", "-q", "--submission", str(broken))
    assert failed.returncode == 1
    assert "FAILED" in failed.stdout
    assert "test_position_values" in failed.stdout
