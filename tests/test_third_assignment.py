"""An assignment with a data set of its own is added by adding two folders: every command then knows it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.checkout import copy_checkout, run_in

GIVEN = Path(__file__).with_name("third_assignment")
NAME, STEM = "word-counts", "word_counts"
Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory, tier: str) -> Path:
    """A copy of this checkout with a third assignment: two folders more, and nothing else."""
    root = copy_checkout(tmp_path_factory.mktemp("third"))
    shutil.copytree(GIVEN / "source", root / "source" / NAME)
    shutil.copytree(GIVEN / "graders", root / "autograder" / "graders" / STEM)
    return root


@pytest.fixture(scope="module")
def run(course: Path) -> Run:
    """Run a command of the copy; its output where it ends as it should."""

    def command(*words: str, code: int = 0) -> CompletedProcess[str]:
        done = run_in(course, "python", "-m", "autograder", *words)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return command


@pytest.fixture(scope="module")
def demonstrated(course: Path, run: Run) -> Path:
    """The copy after its demonstration: data, release, solution, samples, grades."""
    run("demo", NAME, "--jobs", "2", "--quiet")
    return course


def result(course: Path, student: str) -> dict:
    return json.loads((course / "results" / NAME / f"{student}.json").read_text())


def test_demo_releases_solves_and_grades_it(demonstrated: Path) -> None:
    """The release has the public rows and no solution; the right sample has full points, the wrong one loses its own."""
    released = demonstrated / "release" / NAME
    assert (released / "data" / "word_rows" / "train.tsv").read_text().count("\n") == 21
    text = (released / f"{STEM}.ipynb").read_text()
    assert "NotImplementedError" in text and "counted_so_far" not in text
    assert "counted_so_far" in (demonstrated / "solutions" / NAME / f"{STEM}.ipynb").read_text()
    scores = {student: result(demonstrated, student)["score"] for student in ("ada", "ben")}
    assert scores == {"ada": 3.0, "ben": 1.0}  # most-frequent is tried on a working count_words
    assert result(demonstrated, "ben")["cells"]["most-frequent-tests"]["tests"][0]["follow_through"] is True


def test_a_hidden_row_beside_its_notebook_is_a_leak(demonstrated: Path, run: Run) -> None:
    """The data set says how its rows are recognised, and `release` asks it."""
    notes = demonstrated / "source" / NAME / "notes.md"
    notes.write_text("An example: hid zum zum zol zab.\n")
    try:
        assert "like the hidden ones of word_rows" in run("release", NAME, "--quiet", code=2).stderr
    finally:
        notes.unlink()


def test_verify_proves_its_graders(demonstrated: Path, run: Run) -> None:
    """Both wrong versions are caught, the correct one is not refused, and fingerprints are kept in its own folder."""
    told = run("verify", NAME, "--output", str(demonstrated / "proof")).stdout
    assert "2 of 2" in told and (demonstrated / "proof" / f"{NAME}.html").is_file()
    kept = json.loads((demonstrated / "autograder" / "graders" / STEM / "bank" / "fingerprints.json").read_text())
    assert kept["count-words"]["versions"].keys() == {"count-words-once"}


def test_grade_names_its_mistake_afterwards(demonstrated: Path, run: Run, tmp_path: Path) -> None:
    """What `verify` has kept names the mistake of the sample."""
    if not (demonstrated / "autograder" / "graders" / STEM / "bank" / "fingerprints.json").is_file():
        run("verify", NAME, "--output", str(demonstrated / "proof"))
    notebook = demonstrated / "submitted" / "ben" / NAME / f"{STEM}.ipynb"
    run("grade", str(notebook), "--assignment", NAME, "--output", str(tmp_path), "--quiet")
    cells = json.loads((tmp_path / f"{STEM}.json").read_text())["cells"]
    assert [t["misconception"] for t in cells["count-words-tests"]["tests"]] == ["count-words-once"]


def test_its_hidden_tests_run_by_hand(demonstrated: Path) -> None:
    """`pytest autograder/graders/NAME_ --submission FILE`, as for every assignment."""
    notebook = f"submitted/ben/{NAME}/{STEM}.ipynb"
    done = run_in(demonstrated, "python", "-m", "pytest", f"autograder/graders/{STEM}", "--submission", notebook)
    assert "2 failed" in done.stdout, done.stdout + done.stderr


def test_report_and_export_know_it(demonstrated: Path, run: Run, tmp_path: Path) -> None:
    """The class at a glance, and its marks."""
    run("report", NAME, "--output", str(tmp_path / "report.html"), "--quiet")
    assert "Each word of a text is counted" in (tmp_path / "report.html").read_text()
    run("export", "--output", str(tmp_path / "marks.csv"), "--quiet")
    assert sum(line.startswith(f"{NAME},") for line in (tmp_path / "marks.csv").read_text().splitlines()) == 2


def test_students_get_it_and_can_check_it(demonstrated: Path, run: Run, tmp_path: Path) -> None:
    """The published folder stands alone: its own program checks the notebook that was handed out."""
    run("publish", str(tmp_path / "students"), "--assignment", NAME, "--quiet")
    published = {path.name for path in (tmp_path / "students").rglob("*")}
    assert "train.tsv" in published and not {"bank", "samples", "test_words.py", "standins.py"} & published
    folder = tmp_path / "students"
    done = run_in(folder, "python", "-m", "autograder", "check", f"{NAME}/{STEM}.ipynb")
    assert done.returncode == 1 and "2 cells are not filled in" in done.stdout, done.stdout + done.stderr
