"""The command line: exit codes, one-line errors, and files that are written whole or not at all."""

import json

import nbformat
import pytest
from typer.testing import CliRunner

from autograder.cli import app
from autograder.sandbox import bubblewrap, landlock
from autograder.sandbox.tiers import NoSandbox, choose
from tests.this_course import COURSE, TRANSFORMER_FUNDAMENTALS
from tests.toy_course import DOUBLE, QUADRUPLE, notebook, toy_course  # noqa: F401

pytestmark = pytest.mark.usefixtures("toy_course")
RIGHT = {"double": DOUBLE, "quadruple": QUADRUPLE}


@pytest.fixture
def grade(tmp_path):
    """Run `autograder grade` on files of the scratch folder; gives exit code, standard error and the output folder."""

    def run(*names, assignment="toy", options=()):
        paths = [str(tmp_path / name) for name in names]
        output = tmp_path / "results"
        done = CliRunner().invoke(app, ["grade", *paths, "--assignment", assignment, "--output", str(output), *options])
        return done.exit_code, done.stderr, output

    return run


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else nbformat.writes(content))


def result(output, stem):
    return json.loads((output / f"{stem}.json").read_text())


@pytest.mark.usefixtures("tier")
def test_several_files_get_a_result_and_a_page_each(grade, tmp_path):
    """Exit code 0, progress on standard error, one JSON and one HTML file a notebook."""
    put(tmp_path, "ada.ipynb", notebook(**RIGHT))
    put(tmp_path, "bob.ipynb", notebook(double=DOUBLE))
    code, said, output = grade("ada.ipynb", "bob.ipynb")
    assert code == 0
    assert "ada.ipynb: 6 of 6" in said
    assert sorted(p.name for p in output.iterdir()) == ["ada.html", "ada.json", "bob.html", "bob.json"]
    assert (result(output, "ada")["score"], result(output, "bob")["score"]) == (6, 3)


@pytest.mark.usefixtures("tier")
def test_quiet_says_nothing(grade, tmp_path):
    """With --quiet a successful run prints nothing."""
    put(tmp_path, "ada.ipynb", notebook(**RIGHT))
    assert grade("ada.ipynb", options=["--quiet"])[:2] == (0, "")


@pytest.mark.usefixtures("tier")
def test_a_missing_file_is_named_and_the_others_are_graded(grade, tmp_path):
    """Exit code 2, and the result of the file that is there."""
    put(tmp_path, "ada.ipynb", notebook(**RIGHT))
    code, said, output = grade("ada.ipynb", "nobody.ipynb")
    assert code == 2
    assert "nobody.ipynb" in said
    assert result(output, "ada")["score"] == 6


def test_two_files_of_one_name_stop_before_anything_is_graded(grade, tmp_path):
    """Their results would overwrite each other."""
    for folder in ("a", "b"):
        put(tmp_path, f"{folder}/ada.ipynb", notebook(**RIGHT))
    code, said, output = grade("a/ada.ipynb", "b/ada.ipynb")
    assert code == 2
    assert "'ada'" in said
    assert not output.exists()


def test_an_unknown_assignment_is_named_with_those_that_exist(grade, tmp_path):
    """Wrong usage: exit code 2, one line."""
    put(tmp_path, "ada.ipynb", notebook(**RIGHT))
    code, said, output = grade("ada.ipynb", assignment="toys")
    assert (code, said.count("\n")) == (2, 1)
    assert "toys" in said
    assert "there are: toy" in said
    assert not output.exists()


@pytest.mark.usefixtures("tier")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        ("{", "not JSON"),
        ("[1]", "no cells"),
        (nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), "not a notebook of toy"),
    ],
)
def test_files_that_are_no_submission_get_a_result_that_says_so(grade, tmp_path, content, reason):
    """could-not-run with one line, exit code 0, and a page to read."""
    put(tmp_path, "ada.ipynb", content)
    code, _, output = grade("ada.ipynb")
    found = result(output, "ada")
    assert (code, found["status"], found["score"]) == (0, "could-not-run", 0)
    assert reason in found["error"]
    assert reason in (output / "ada.html").read_text()


@pytest.mark.usefixtures("tier")
def test_damaged_structure_is_graded_as_it_was_meant(grade, tmp_path):
    """Deleted tests, copied cells and stripped metadata cost nothing."""
    deleted, copied, stripped = (notebook(**RIGHT) for _ in range(3))
    del deleted.cells[2]
    copied.cells.insert(2, copied.cells[1].copy())
    for cell in stripped.cells:
        cell.metadata = {}
    for name, given in (("deleted", deleted), ("copied", copied), ("stripped", stripped)):
        put(tmp_path, f"{name}.ipynb", given)
    code, _, output = grade("deleted.ipynb", "copied.ipynb", "stripped.ipynb")
    assert code == 0
    assert [result(output, n)["score"] for n in ("deleted", "copied", "stripped")] == [6, 6, 6]


def test_without_a_sandbox_grading_refuses(grade, tmp_path, monkeypatch):
    """One line that says what to do, exit code 2, nothing written."""
    monkeypatch.setattr(bubblewrap, "works", lambda: "no permissions to create a new namespace")
    monkeypatch.setattr(landlock, "works", lambda: "the kernel has no Landlock")
    put(tmp_path, "ada.ipynb", notebook(**RIGHT))
    code, said, output = grade("ada.ipynb")
    assert (code, said.count("\n")) == (2, 1)
    assert "--sandbox none" in said
    assert not output.exists()
    with pytest.raises(NoSandbox):
        choose("auto", COURSE.root)


def test_sandbox_none_grades_files_of_ones_own(grade, tmp_path, monkeypatch):
    """The result records that nothing confined the code."""
    monkeypatch.setattr(bubblewrap, "works", lambda: "not here")
    put(tmp_path, "ada.ipynb", notebook(**RIGHT))
    code, _, output = grade("ada.ipynb", options=["--sandbox", "none"])
    assert code == 0
    assert (result(output, "ada")["score"], result(output, "ada")["tier"]) == (6, "none")


def test_an_output_that_is_a_file_is_refused(grade, tmp_path):
    """A file where the folder should be stays as it was."""
    put(tmp_path, "ada.ipynb", notebook(**RIGHT))
    put(tmp_path, "results", "mine")
    code, said, output = grade("ada.ipynb")
    assert code == 2
    assert "not a folder" in said
    assert output.read_text() == "mine"


@pytest.mark.usefixtures("tier")
def test_jobs_do_not_change_marks(tmp_path):
    """Two at a time give what one at a time gives, on the real assignment's blank notebook and a file that is none."""
    from autograder.batch.many import Settings, grade_many

    put(tmp_path, "a.ipynb", "{")
    put(tmp_path, "b.ipynb", "")
    settings = Settings(TRANSFORMER_FUNDAMENTALS)
    paths = [tmp_path / "a.ipynb", tmp_path / "b.ipynb"]
    found = {path.name: graded.result.error for path, graded in grade_many(paths, settings, jobs=2)}
    assert found.keys() == {"a.ipynb", "b.ipynb"}
    assert "not JSON" in found["a.ipynb"]
    assert "empty" in found["b.ipynb"]
