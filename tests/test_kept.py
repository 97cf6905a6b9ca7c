"""What is graded is not graded again, until something that its mark depends on has changed."""

import json
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from autograder.batch import digest
from autograder.batch.digest import course_digest, grading_digest, submission_digest
from autograder.batch.many import Settings, grade_one
from autograder.batch.unchanged import earlier_result, longest_first, still_holds
from autograder.cli import app
from autograder.course.course import VARIABLE
from autograder.results.result import CellOutcome, Result
from tests.toy_course import DOUBLE, QUADRUPLE, lay_out, notebook, toy_in

PLAIN = Result("toy", "ada.ipynb", "graded", 3.0, 6.0, 1.5, {"double-tests": CellOutcome(3.0, 3.0)}, tier="landlock")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A toy course that a test may change, with a secret of its own."""
    lay_out(tmp_path / "course")
    monkeypatch.setenv("COURSE_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "course"))
    return tmp_path / "course"


@pytest.fixture
def toy(course):
    return toy_in(course)


@pytest.fixture
def grade(course, tmp_path):
    """Grade ada.ipynb from the command line; gives what was said."""

    def run(*options):
        line = ["grade", str(tmp_path / "ada.ipynb"), "--assignment", "toy", "--output", str(tmp_path / "out")]
        done = CliRunner().invoke(app, [*line, *options])
        assert done.exit_code == 0
        return done.stderr

    nbformat.write(notebook(double=DOUBLE, quadruple=QUADRUPLE), tmp_path / "ada.ipynb")
    return run


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


CHANGES = {
    "hidden tests": lambda course: put(course / "autograder/graders/toy/test_toy.py", "# other"),
    "targets": lambda course: put(course / "autograder/graders/toy/targets.json", "{}"),
    "graders' settings": lambda course: put(course / "autograder/graders/pytest.ini", "[pytest]"),
    "release": lambda course: put(course / "release/toy/toy.ipynb", "{}"),
    "release's data": lambda course: put(course / "release/toy/data/rows.tsv", "1"),
    "reference": lambda course: put(course / "source/toy/toy.py", "# other"),
    "assignment's manifest": lambda course: put(course / "autograder/graders/toy/assignment.toml", "paragraphs = 2"),
    "shared oracles": lambda course: put(course / "autograder/graders/oracles/drivers/gradients.py", "# other"),
    "shared data sets": lambda course: put(course / "autograder/graders/data_sets/rows.py", "# other"),
    "lock": lambda course: put(course / "requirements.lock", "torch==9"),
    "bank": lambda course: put(course / "autograder/graders/toy/bank/double.toml", "[a]"),
    "fingerprints": lambda course: put(course / "autograder/graders/toy/bank/fingerprints.json", "{}"),
    "grading code": lambda course: put(course / "package/grading/grade.py", "# other"),
    "code that runs tests": lambda course: put(course / "package/testing/expect.py", "# other"),
    "page code": lambda course: put(course / "package/feedback/clean.py", "# other"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_version_of_the_course_changes_with_everything_that_marks_depend_on(course, toy, monkeypatch, change):
    """Each kind of file once; and it stays where nothing has changed."""
    monkeypatch.setattr(digest, "PACKAGE", course / "package")
    before = course_digest(toy)
    assert course_digest(toy) == before
    change(course)
    assert course_digest(toy) != before


def test_the_version_of_the_course_changes_with_the_manifest_and_with_python_and_torch(toy, tmp_path, monkeypatch):
    """Data are pinned by the manifest; another torch rounds in another way."""
    found = {course_digest(toy)}
    monkeypatch.setattr(digest, "FILES", (*digest.FILES[:-1], tmp_path / "secret-manifest"))
    put(tmp_path / "secret-manifest", "[other]")
    found.add(course_digest(toy))
    monkeypatch.setattr(digest.platform, "python_version", lambda: "3.99")
    found.add(course_digest(toy))
    monkeypatch.setattr(digest, "version", lambda package: f"{package} 99")
    assert len(found | {course_digest(toy)}) == 4


def test_the_rest_of_grading_is_secret_mode_and_model(course, toy, tmp_path, monkeypatch):
    """Another secret draws other hidden inputs; what stands beside the course changes nothing."""
    found = {grading_digest(toy, "definitions")}
    put(course / "README.md", "other words")
    assert grading_digest(toy, "definitions") in found
    found.add(grading_digest(toy, "all"))
    monkeypatch.setenv("COURSE_MODEL", "another")
    found.add(grading_digest(toy, "definitions"))
    (tmp_path / "secret").write_text("0" * 64)
    assert len(found | {grading_digest(toy, "definitions")}) == 4


def test_a_submission_is_its_bytes_its_name_and_what_it_is_graded_with(tmp_path, monkeypatch):
    """A link or a missing file is no file with content; one that cannot be read is never taken for graded."""
    names = ("ada", "bob", "copy")
    for name, text in zip(names, ("one", "two", "one"), strict=True):
        put(tmp_path / f"{name}.ipynb", text)
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "ada.ipynb")
    found = [submission_digest(tmp_path / f"{name}.ipynb", "x") for name in (*names, "link", "nobody")]
    assert len({*found, submission_digest(tmp_path / "ada.ipynb", "y")}) == 6 and "" not in found
    (tmp_path / "moved").mkdir()
    shutil.copy(tmp_path / "ada.ipynb", tmp_path / "moved")
    assert submission_digest(tmp_path / "moved" / "ada.ipynb", "x") == found[0]
    monkeypatch.setattr(Path, "open", lambda path, mode: os.open(path / "below", os.O_RDONLY))
    assert submission_digest(tmp_path / "ada.ipynb", "x") == ""


@pytest.mark.usefixtures("tier")
def test_a_second_run_keeps_what_still_holds(grade, tmp_path):
    """The same file is not graded again but with --force; a new one, a lost page and another mode are."""
    assert "unchanged" not in grade()
    first = (tmp_path / "out" / "ada.json").read_bytes()
    assert "ada.ipynb: 6 of 6" in (again := grade()) and "(unchanged)" in again
    assert (tmp_path / "out" / "ada.json").read_bytes() == first
    assert "unchanged" not in grade("--force")
    assert "unchanged" in grade()
    assert "unchanged" not in grade("--execute", "all")
    assert "unchanged" not in grade()
    (tmp_path / "out" / "ada.html").unlink()
    assert "unchanged" not in grade()
    nbformat.write(notebook(double=DOUBLE), tmp_path / "ada.ipynb")
    assert "3 of 6" in (new := grade()) and "unchanged" not in new
    (tmp_path / "secret").write_text("0" * 64)
    assert "unchanged" not in grade()


@pytest.mark.usefixtures("tier")
def test_a_refused_file_is_kept_and_a_grader_at_fault_is_not(course, grade, tmp_path, monkeypatch):
    """What the file alone decides stays; what may have been the machine's doing is tried again."""
    (tmp_path / "ada.ipynb").write_text("{ cut short")
    assert "unchanged" not in grade()
    assert "not JSON" in (again := grade()) and "(unchanged)" in again
    with monkeypatch.context() as patch:
        patch.setattr("autograder.grading.grade.grade_notebook", lambda *_, **how: 1 / 0)
        assert "ZeroDivisionError" in grade("--force")
        assert not grade_one(tmp_path / "ada.ipynb", Settings(toy_in(course))).lasting
    assert "not JSON" in (now := grade()) and "unchanged" not in now


@pytest.mark.usefixtures("tier")
@pytest.mark.parametrize(
    "change",
    [
        lambda kept: "",
        lambda kept: "[]",
        lambda kept: "[" * 100_000,
        lambda kept: json.dumps(kept | {"score": "<b>6</b>"}),
        lambda kept: json.dumps(kept | {"seconds": float("nan")}),
        lambda kept: json.dumps(kept | {"seconds": 10**400}),
        lambda kept: json.dumps(kept | {"error": ["a\nb"]}),
        lambda kept: json.dumps(kept | {"status": "excellent"}),
        lambda kept: json.dumps(kept | {"tier": "none"}),
        lambda kept: json.dumps(kept | {"cells": [1]}),
        lambda kept: json.dumps(kept | {"digest": ""}),
        lambda kept: json.dumps({k: v for k, v in kept.items() if k != "digest"}),
        lambda kept: json.dumps(kept | {"points": 3}),
    ],
)
def test_a_result_that_is_none_is_ignored(grade, tmp_path, change):
    """Whatever stands in the output folder under the result's name, the file is graded."""
    grade()
    path = tmp_path / "out" / "ada.json"
    path.write_text(change(json.loads(path.read_text())))
    assert "unchanged" not in grade() and earlier_result(path).score == 6


def test_what_is_no_ordinary_file_is_no_result(tmp_path):
    """A pipe is not waited for, and what is far too large is not read."""
    os.mkfifo(tmp_path / "pipe.json")
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(2**34)
    assert [earlier_result(tmp_path / f"{name}.json") for name in ("pipe", "large", "none")] == [None, None, None]


def test_a_result_holds_where_digest_and_tier_are_the_same():
    """Without a digest nothing holds; a refused file is refused in every tier."""
    graded = Result(**vars(PLAIN) | {"digest": "x"})
    refused = Result(**vars(graded) | {"status": "could-not-run", "tier": "none"})
    assert still_holds(graded, "x") and still_holds(graded, "x", ("landlock",)) and still_holds(refused, "x", ())
    assert not any([still_holds(graded, "y"), still_holds(graded, "x", ("namespaces",)), still_holds(PLAIN, "")])


def test_the_longest_are_graded_first(tmp_path):
    """Those that nobody knows before those that took long, large before small."""
    seconds = {"quick": 1.0, "slow": 9.0}
    paths = [tmp_path / f"{name}.ipynb" for name in ("quick", "small", "slow", "gone", "large")]
    put(tmp_path / "small.ipynb", "1")
    put(tmp_path / "large.ipynb", "1234")

    def last(path):
        return Result(**vars(PLAIN) | {"seconds": seconds[path.stem]}) if path.stem in seconds else None

    assert [path.stem for path in longest_first(paths, last)] == ["large", "small", "gone", "slow", "quick"]
