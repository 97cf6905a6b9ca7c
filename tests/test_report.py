"""The class at a glance: right numbers, nobody's markup, and nobody's name where none is wanted."""

import base64
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autograder.bank.versions import wrong_versions
from autograder.cli import app
from autograder.course.course import VARIABLE
from autograder.notebooks.released import declared_points
from autograder.reporting.figures import COLOURS
from autograder.reporting.gather import KINDS, gather, kind_of
from autograder.reporting.report_page import report_page
from autograder.results.result import CellOutcome, Result
from autograder.results.result import TestOutcome as Outcome
from tests.class_of_sixty import students, write_class
from tests.nbgrader_course import RIGHT, TINY_NAME, TINY_STEM, Course, fake_grade_all, scratch_course  # noqa: F401
from tests.this_course import COURSE, TRANSFORMER_FUNDAMENTALS

TF = TRANSFORMER_FUNDAMENTALS
NOW = datetime(2026, 11, 22, 12, 0)


@pytest.fixture(scope="module", autouse=True)
def graders_can_be_imported(pytestconfig):
    """Their marker is unknown to the course's own tests, which are strict about markers."""
    pytestconfig.addinivalue_line("markers", "points: of a hidden test")


@pytest.fixture(scope="module")
def sixty(tmp_path_factory) -> Path:
    """A course folder with sixty results."""
    folder = tmp_path_factory.mktemp("sixty")
    write_class(TF, folder)
    return folder


class Page(HTMLParser):
    """Tags, attributes and text of a page, with the text of its pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        images = [a["src"] or "" for tag, a in self.tags if tag == "img"]
        self.pictures = [base64.b64decode(src.split(",")[1]).decode() for src in images]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def page_of(course: Path, **options) -> Page:
    names = dict(students())
    return Page(report_page(gather(TF, course), names, made=NOW, **({"anonymous": False} | options)))


def test_the_page_shows_what_the_results_say(sixty):
    """Counts, median, the commonest mistake with its hint, and who needs a look."""
    results = gather(TF, sixty)
    page = page_of(sixty)
    scores = sorted(r.score for r in results.graded.values())
    assert len(scores) == 58
    middle = (scores[28] + scores[29]) / 2
    assert f"{middle:g}median, of {sum(declared_points(TF).values()):g} automatic points" in page.text
    assert "2could not be graded" in page.text
    first = results.mistakes[0]
    assert len(first.students) == max(len(m.students) for m in results.mistakes)
    known = next(w for w in wrong_versions(TF) if w.id == first.id)
    assert known.mistake in page.text and f"Hint: {known.hint}" in page.text
    slow = [name for student, name in students() if student in ("s005", "s023", "s044")]
    assert all(f"{name} (" in page.text for name in slow) and list(results.slow) != []
    assert "not a notebook: the file is not JSON" in page.text


def test_every_result_is_counted_once_for_each_test(sixty):
    """What the bars stack up to is the number of graded submissions, and earned points are what results say."""
    results = gather(TF, sixty)
    assert {t.kinds.total() for t in results.tests} == {58}
    for test in results.tests:
        outcomes = [
            t for r in results.graded.values() for t in r.cells[f"{test.cell}-tests"].tests if t.name == test.name
        ]
        assert test.rate == pytest.approx(sum(t.earned > 0 for t in outcomes) / 58)
        assert len(test.not_passed) == sum(t.status != "passed" for t in outcomes)


def test_pictures_come_first_and_say_in_words_what_they_show(sixty):
    """Each has an alternative text with numbers; the first stands before any table."""
    page = page_of(sixty)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 5
    assert all(re.search(r"\d", image["alt"]) and len(image["alt"]) > 60 for image in images)
    order = [tag for tag, _ in page.tags if tag in ("img", "table", "ol")]
    assert order[:2] == ["img", "img"]


def test_the_page_needs_nothing_else_and_runs_nothing(sixty):
    """No script, no link, no address outside; a policy that would stop one."""
    page = report_page(gather(TF, sixty), {}, anonymous=False, made=NOW)
    found = Page(page)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in found.tags}
    sources = [v for _, a in found.tags for k, v in a.items() if k in ("src", "href", "action", "data")]
    assert all(v.startswith("data:image/svg+xml;base64,") for v in sources)
    assert "default-src 'none'" in page
    assert not any("<script" in svg or 'href="http' in svg for svg in found.pictures)


def test_what_comes_from_students_is_escaped(sixty, tmp_path):
    """Names, reasons and tests' texts from a result file are text, wherever they stand."""
    attack = "\"><img src=x onerror=alert(1)>'&"
    outcome = Outcome("test_<b>", attack, "could-not-run", 1, 0, f"Your code raised {attack}", attack)
    cells = {"sdpa-tests": CellOutcome(0, 1, (outcome,))}
    Result(TF.name, "x", "graded", 0, 1, 999, cells).write(tmp_path / "results" / TF.name / "a.json")
    Result(TF.name, "x", "could-not-run", 0, 1, 1, {}, error=attack).write(tmp_path / "results" / TF.name / "b.json")
    page = Page(report_page(gather(TF, tmp_path), {"a": attack, "b": attack}, anonymous=False, made=NOW))
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert not any(tag == "b" and "test_" in str(a) for tag, a in page.tags)
    assert page.text.count(attack) >= 4
    assert not any("<img" in svg for svg in page.pictures)
    assert not any(tag == "script" for tag, _ in page_of(sixty).tags)


def test_anonymous_pages_hold_no_name_anywhere(sixty):
    """Neither names nor ids: not in text, attributes, pictures or file names; the numbers stay."""
    page = report_page(gather(TF, sixty), dict(students()), anonymous=True, made=NOW)
    found = Page(page)
    everything = page + "".join(found.pictures)
    told = [part for student, name in students() for part in (student, name) if part in everything]
    assert told == []
    assert "not a notebook" not in everything  # a reason can hold the name of a file
    assert "2could not be graded" in found.text
    assert any(
        name in report_page(gather(TF, sixty), dict(students()), anonymous=False, made=NOW) for _, name in students()
    )


def test_colours_are_told_apart_without_colour_vision():
    """Each two outcomes differ enough for the three kinds of dichromats, by the simulation of Machado et al. (2009)."""
    import itertools

    import numpy as np

    simulated = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        "none": np.eye(3),
        "all": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),
    }
    rgb = {k: np.array([int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)]) for k, c in COLOURS.items()}
    linear = {k: np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) for k, v in rgb.items()}
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

    def lab(colour):
        x = to_xyz @ np.clip(colour, 0, 1) / [0.9505, 1.0, 1.089]
        f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    assert COLOURS.keys() == KINDS.keys()
    for kind, matrix in simulated.items():
        seen = {k: lab(np.array(matrix) @ v) for k, v in linear.items()}
        near = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in itertools.pairwise(COLOURS)}
        least = 7 if kind == "all" else 15  # neighbours on a bar; without any colour, shades of grey
        assert min(near.values()) > least, (kind, near)


@pytest.mark.parametrize(
    ("status", "message", "through", "kind"),
    [
        ("passed", "", False, "passed"),
        ("passed", "This holds with a working ...", True, "through"),
        ("failed", "The value is wrong.", False, "wrong"),
        ("could-not-run", "Your code raised TypeError.", False, "error"),
        ("could-not-run", "Not filled in yet in the cell sdpa, line 3.", False, "blank"),
    ],
)
def test_outcomes_are_sorted_into_what_a_teacher_wants_to_know(status, message, through, kind):
    """Wrong, broken and blank are three different things to talk about."""
    assert kind_of(Outcome("t", "T", status, 1, 0, message, None, through)) == kind


def test_stopped_tests_are_told_and_a_student_cannot_pretend(tmp_path):
    """By the fixed texts of the grader; an error text of the student's stands behind other words."""
    tests = (
        Outcome("test_a", "A", "could-not-run", 1, 0, "The code of the cell sdpa did not finish within 10 s."),
        Outcome("test_b", "B", "could-not-run", 1, 0, "Your code raised E: The process ended while"),
    )
    Result(TF.name, "x", "graded", 0, 2, 1, {"sdpa-tests": CellOutcome(0, 2, tests)}).write(
        tmp_path / "results" / TF.name / "a.json"
    )
    assert gather(TF, tmp_path).stopped == {"a": ("test_a",)}


def test_a_damaged_result_is_named_and_the_others_are_shown(tmp_path):
    """Half a file, no JSON, another JSON."""
    write_class(TF, tmp_path, 5)
    folder = tmp_path / "results" / TF.name
    for name, text in (("x", "{"), ("y", "[]"), ("z", '{"cells": {}}')):
        (folder / f"{name}.json").write_text(text)
    found = gather(TF, tmp_path)
    assert list(found.unreadable) == ["x", "y", "z"] and len(found.results) == 5
    assert "the result file is damaged" in report_page(found, {}, anonymous=False, made=NOW)


def test_written_answers_that_wait_are_listed(course: Course):
    """From the gradebook: those without a mark, with their students; marked ones are gone from the list."""
    from nbgrader.api import Gradebook

    from autograder.nbgrader_plugin.autograde import autograde_class
    from autograder.nbgrader_plugin.gradebook import database_url

    for student in ("ada", "ben"):
        course.submit(student, RIGHT | {"q1-why": f"Because, says {student}."})
    autograde_class(course.tiny, fake_grade_all)
    assert [(m.cell, m.students) for m in gather(course.tiny, course.root).to_mark] == [("q1-why", ("ada", "ben"))]
    with Gradebook(database_url(course.root)) as gradebook:
        grade = gradebook.find_grade("q1-why", TINY_STEM, TINY_NAME, "ada")
        grade.manual_score, grade.needs_manual_grade = 1.5, False
        gradebook.db.commit()
    assert [(m.cell, m.students) for m in gather(course.tiny, course.root).to_mark] == [("q1-why", ("ben",))]
    done = CliRunner().invoke(app, ["report", TINY_NAME])
    assert done.exit_code == 0, done.output
    text = Page((course.root / "results" / "report" / f"{TINY_NAME}.html").read_text()).text
    assert "1written answers to mark" in text and "No mistake could be named." in text


def test_the_command_writes_where_it_is_told(sixty, monkeypatch, tmp_path):
    """With names from the roster, or without any."""
    monkeypatch.setenv(VARIABLE, str(sixty))
    for name in ("autograder", "source", "release"):
        (sixty / name).symlink_to(COURSE.root / name)
    for options, named in (([], True), (["--anonymous"], False)):
        path = tmp_path / "out" / "class.html"
        done = CliRunner().invoke(app, ["report", TF.name, "--output", str(path), "--quiet", *options])
        assert (done.exit_code, done.output) == (0, "")
        assert ("Chloé" in path.read_text()) == named


@pytest.mark.parametrize("name", ["tiny-course", "nothing"])
def test_nothing_to_report_is_one_line(course, name):
    """No results yet, and no such assignment."""
    done = CliRunner().invoke(app, ["report", name])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1


def test_a_class_of_one_and_a_class_that_could_not_be_graded(tmp_path):
    """The smallest cases have a page, too."""
    write_class(TF, tmp_path, 1)
    assert "1submissions" in page_of(tmp_path).text
    folder = tmp_path / "results" / TF.name
    (folder / "s000.json").unlink()
    Result(TF.name, "x", "could-not-run", 0, 80, 0, {}, error="no").write(folder / "a.json")
    assert "No submission could be graded." in page_of(tmp_path).text
