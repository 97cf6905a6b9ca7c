"""The hidden tests as a whole: points, titles and roles."""

import ast
import subprocess
import sys

import pytest

from autograder.notebooks.released import declared_points
from tests.this_course import ASSIGNMENTS


def hidden_tests(assignment):
    """Every hidden test: name, docstring, and the points marker's arguments."""
    for path in sorted(assignment.graders.glob("test_*.py")):
        tree = ast.parse(path.read_text())
        constants = {
            n.targets[0].id: n.value.value
            for n in tree.body
            if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name) and isinstance(n.value, ast.Constant)
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                mark = next(d for d in node.decorator_list if isinstance(d, ast.Call) and d.func.attr == "points")
                given = {
                    k.arg: k.value.value if isinstance(k.value, ast.Constant) else constants[k.value.id]
                    for k in mark.keywords
                }
                yield node.name, ast.get_docstring(node), mark.args[0].value, given


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=ASSIGNMENTS)
def test_points_add_up_to_the_cells(assignment):
    """The hidden tests of a cell are worth what the cell in the release is worth."""
    sums = dict.fromkeys(assignment.upstream, 0.0)
    for _, _, points, given in hidden_tests(assignment):
        sums[given["cell"]] += points
    assert sums == pytest.approx(declared_points(assignment))


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=ASSIGNMENTS)
def test_every_test_has_a_title_that_a_student_can_read(assignment):
    """The first line of the docstring is short and free of the graders' own words."""
    names = set()
    for name, title, _, _ in hidden_tests(assignment):
        assert title, name
        line = title.splitlines()[0]
        assert len(line) <= 130, name
        assert not any(word in line.lower() for word in ("fixture", "reference", "student", "driver", "assert")), line
        assert name not in names, f"{name} stands in two files: results would mix them up"
        names.add(name)


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=ASSIGNMENTS)
def test_properties_stand_beside_values(assignment):
    """A cell with a property test has a value test, so that a property alone earns nothing."""
    roles: dict[str, set[str | None]] = {}
    for _, _, _, given in hidden_tests(assignment):
        roles.setdefault(given["cell"], set()).add(given.get("role"))
    assert all("value" in found for found in roles.values() if "property" in found)


def test_drivers_hold_no_course_code():
    """A driver runs beside the student's code: it imports nothing of ours, so nothing of ours goes in with it."""
    for assignment in ASSIGNMENTS.values():
        for path in (assignment.graders / "drivers").glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                modules = (
                    [a.name for a in node.names]
                    if isinstance(node, ast.Import)
                    else [getattr(node, "module", None) or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                assert not any(m.split(".")[0] in ("autograder", "data") for m in modules), path


def test_graders_ask_for_a_notebook():
    """Without --submission the graders stop with one line that says what to pass."""
    graders = next(iter(ASSIGNMENTS.values())).graders
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", str(graders)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--submission FILE.ipynb" in done.stdout + done.stderr
