"""A course in a scratch folder: one tiny assignment, its release, and graders that look at the text of an answer."""

import functools
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbgrader import api
from nbgrader.preprocessors import ComputeChecksums

from autograder.batch import many
from autograder.course.assignment import ROOMS, Assignment
from autograder.course.course import VARIABLE, course_at
from autograder.course.manifest import MANIFEST
from autograder.grading.graded import Graded
from autograder.notebooks.read_submission import Unreadable, read_submission
from autograder.notebooks.rebuild import WrongNotebook, rebuild
from autograder.results.result import CellOutcome, Result
from autograder.results.result import TestOutcome as Outcome

TINY_NAME, TINY_STEM = "tiny-course", "tiny_course"
TINY_MANIFEST = """\
[cells.double]
defines = ["double"]

[cells.triple]
defines = ["triple"]
upstream = ["double"]
"""
alembic_version = functools.cache(api.get_alembic_version)  # nbgrader starts a program to ask for it
POINTS = {"double-tests": 3.0, "triple-tests": 0.3}
RIGHT = {"double": "def double(x):\n    return 2 * x", "triple": "def triple(x):\n    return double(x) + x"}


def code(source: str, grade_id: str, **kind: object) -> NotebookNode:
    return _marked(nbformat.v4.new_code_cell(source, id=grade_id), grade_id, kind)


def markdown(source: str, grade_id: str, **kind: object) -> NotebookNode:
    return _marked(nbformat.v4.new_markdown_cell(source, id=grade_id), grade_id, kind)


def _marked(cell: NotebookNode, grade_id: str, kind: dict[str, object]) -> NotebookNode:
    mark = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3, **kind}
    cell.metadata.nbgrader = nbformat.from_dict(mark | {"grade_id": grade_id, "cell_type": cell.cell_type})
    return cell


def tiny_release() -> NotebookNode:
    """Two components of 3 and 0.3 points, a demonstration, and a written answer of 2 points."""
    cells = [
        nbformat.v4.new_markdown_cell("# Tiny course", id="title"),
        code("import math", "setup-imports", locked=True),
        code("# YOUR CODE HERE\nraise NotImplementedError()", "double", solution=True),
        code("assert double(2) == 4", "double-tests", grade=True, locked=True, points=3),
        code("# YOUR CODE HERE\nraise NotImplementedError()", "triple", solution=True),
        code("assert triple(2) == 6", "triple-tests", grade=True, locked=True, points=0.3),
        code("print(double(1))", "demo-double", locked=True),
        markdown("YOUR ANSWER HERE", "q1-why", grade=True, solution=True, points=2),
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    release = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    return ComputeChecksums().preprocess(release, {})[0]


def tiny_in(root: Path) -> Assignment:
    """The tiny assignment of the course in the folder `root`."""
    return course_at(root).named(TINY_NAME)


def fake_grade(path: Path) -> Graded:
    """Full marks for each component whose answer is the right text, as `grade_notebook` would give them.

    The file lies in the `submitted/` of its course.
    """
    assignment = tiny_in(path.parents[3])
    release = nbformat.read(assignment.release, as_version=4)
    try:
        rebuilt = rebuild(release, read_submission(path), assignment)
    except (Unreadable, WrongNotebook) as error:
        empty = {cell: CellOutcome(0.0, points) for cell, points in POINTS.items()}
        failed = Result(assignment.name, path.name, "could-not-run", 0.0, 3.3, 0.1, empty, error=str(error))
        return Graded(failed, release)
    answers = {c.metadata.nbgrader.grade_id: c.source for c in rebuilt.notebook.cells if "nbgrader" in c.metadata}
    cells = {}
    for cell, points in POINTS.items():
        right = answers[cell.removesuffix("-tests")] == RIGHT[cell.removesuffix("-tests")]
        title, earned = f"The value of {cell.removesuffix('-tests')} is right", points if right else 0.0
        message = "" if right else "The value is wrong.\nLikely cause: the factor."
        outcome = Outcome("test_value", title, "passed" if right else "failed", points, earned, message)
        cells[cell] = CellOutcome(earned, points, (outcome,))
    score = sum(outcome.score for outcome in cells.values())
    result = Result(assignment.name, path.name, "graded", score, 3.3, 0.1, cells, notes=rebuilt.notes)
    return Graded(result, rebuilt.notebook)


def fake_grade_all(paths: Sequence[Path]) -> Iterable[tuple[Path, Graded]]:
    return ((path, fake_grade(path)) for path in paths)


def stock_fake_grade(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stock `nbgrader autograde`, which grades one file after another, do it as `fake_grade` does."""
    monkeypatch.setattr(many, "grade_one", lambda path, settings: fake_grade(path))


@dataclass(frozen=True)
class Course:
    """The scratch course's folder, its one assignment, and what a student would do in it."""

    root: Path
    tiny: Assignment

    def submission(self, student: str) -> Path:
        return self.root / "submitted" / student / TINY_NAME / f"{TINY_STEM}.ipynb"

    def submit(self, student: str, answers: dict[str, str]) -> Path:
        """Hand in the release with these cells filled in."""
        notebook = nbformat.read(self.tiny.release, as_version=4)
        for cell in notebook.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.source = answers.get(name, cell.source)
        path = self.submission(student)
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path

    def result(self, student: str) -> Result:
        return Result.from_json((self.root / "results" / TINY_NAME / f"{student}.json").read_text())

    def autograded(self, student: str) -> NotebookNode:
        return nbformat.read(self.root / "autograded" / student / TINY_NAME / f"{TINY_STEM}.ipynb", as_version=4)

    def feedback(self, student: str) -> str:
        return (self.root / "feedback" / student / TINY_NAME / f"{TINY_STEM}.html").read_text()


@pytest.fixture(name="course")
def scratch_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A released course, which commands work on."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(api, "get_alembic_version", alembic_version)
    manifest = tmp_path / ROOMS / TINY_STEM / MANIFEST
    manifest.parent.mkdir(parents=True)
    manifest.write_text(TINY_MANIFEST)
    tiny = tiny_in(tmp_path)
    tiny.release.parent.mkdir(parents=True)
    nbformat.write(tiny_release(), tiny.release)
    tiny.source.parent.mkdir(parents=True)
    shutil.copy(tiny.release, tiny.source)
    shutil.copy(Path(__file__).parent.parent / "nbgrader_config.py", tmp_path)
    return Course(tmp_path, tiny)
