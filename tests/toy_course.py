"""A course of one tiny assignment with real hidden tests, for everything between a file and its result."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from autograder.course.assignment import ROOMS, Assignment
from autograder.course.course import VARIABLE, course_at
from autograder.course.manifest import MANIFEST
from tests.this_course import COURSE

TOY_NAME = "toy"
TOY_MANIFEST = """\
[cells.double]
defines = ["double"]

[cells.quadruple]
defines = ["quadruple"]
upstream = ["double"]
"""
DOUBLE = "def double(x):\n    return 2 * x"
QUADRUPLE = "def quadruple(x):\n    return double(double(x))"
STAND_INS = "def double(x):\n    return x + x"
TESTS = '''"""Hidden tests of the toy assignment."""

import pytest

from autograder.testing import expect


@pytest.mark.points(2, cell="double", role="value")
def test_double_values(student, reference, draw):
    """Values are doubled."""
    x = draw.normal(3)
    found = student.call("double", x)
    expect.close(found, reference.call("double", x), "The value is wrong.", "Which factor?", detail=f"Yours: {found}.")


@pytest.mark.points(1, cell="double", role="property")
def test_double_is_odd(student, draw):
    """The sign goes through."""
    x = draw.normal(3)
    expect.close(student.call("double", -x), -student.call("double", x), "The sign is lost.")


@pytest.mark.points(3, cell="quadruple", role="value")
def test_quadruple_values(student, reference, draw):
    """Values are quadrupled."""
    x = draw.normal(3)
    expect.close(student.call("quadruple", x), reference.call("quadruple", x), "The value is wrong.", "Count the calls.")
'''


def cell(name: str, source: str, tags: tuple[str, ...] = (), **mark: object) -> NotebookNode:
    base = {"grade": False, "solution": False, "locked": True, "task": False, "schema_version": 3, "grade_id": name}
    made = new_code_cell(source, id=name, metadata={"nbgrader": base | mark})
    if tags:
        made.metadata["tags"] = list(tags)
    return made


def notebook(**sources: str) -> NotebookNode:
    """The toy notebook with these answers; blank ones raise."""
    blank = "# YOUR CODE HERE\nraise NotImplementedError()"
    cells = [
        cell("setup-imports", "import torch", ("setup",)),
        cell("double", sources.get("double", blank), solution=True, locked=False),
        cell("double-tests", "assert double(1) == 2", grade=True, points=3),
        cell("demo-double", "from_demo = 2\nprint('demonstration', double(21))", ("demo",)),
        cell("quadruple", sources.get("quadruple", blank), solution=True, locked=False),
        cell("quadruple-tests", "assert quadruple(1) == 4", grade=True, points=3),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def with_cell(index: int, source: str, **answers: str) -> NotebookNode:
    """A notebook into which the student has put a cell before the place `index`."""
    given = notebook(**({"double": DOUBLE, "quadruple": QUADRUPLE} | answers))
    given.cells.insert(index, new_code_cell(source))
    return given


def lay_out(folder: Path) -> None:
    """Write the toy course into `folder`."""
    graders = folder / ROOMS
    (graders / "toy" / "drivers").mkdir(parents=True)
    for name in ("conftest.py", "pytest.ini"):
        shutil.copy(COURSE.root / ROOMS / name, graders / name)
    (graders / "toy" / MANIFEST).write_text(TOY_MANIFEST)
    (graders / "toy" / "test_toy.py").write_text(TESTS)
    (graders / "toy" / "standins.py").write_text(STAND_INS)
    for place, content in (("release", notebook()), ("source", notebook(double=DOUBLE, quadruple=QUADRUPLE))):
        (folder / place / "toy").mkdir(parents=True)
        nbformat.write(content, folder / place / "toy" / "toy.ipynb")
    jupytext.write(nbformat.read(folder / "source/toy/toy.ipynb", 4), folder / "source/toy/toy.py", fmt="py:percent")


def declare(root: Path, **points: float) -> None:
    """Have the release in `root` say that these components are worth so many points."""
    path = toy_in(root).release
    release = nbformat.read(path, as_version=4)
    for one in release.cells:
        name = one.metadata.nbgrader.grade_id.removesuffix("-tests")
        if one.metadata.nbgrader.grade and name in points:
            one.metadata.nbgrader.points = points[name]
    nbformat.write(release, path)


def toy_in(root: Path) -> Assignment:
    """The toy assignment of the course in the folder `root`."""
    return course_at(root).named(TOY_NAME)


@pytest.fixture(scope="module")
def toy_course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The toy course, and it is the one that commands work on."""
    folder = tmp_path_factory.mktemp("course")
    lay_out(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="module")
def toy(toy_course: Path) -> Assignment:
    return toy_in(toy_course)
