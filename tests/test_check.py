"""`autograder check`: what a student hears before handing in, with a release and nothing of the instructor's."""

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from typer.testing import CliRunner

from autograder.cli import app
from autograder.student_check.missing import is_unfilled
from autograder.student_check.runner_process import Cell, run_cells
from tests.toy_course import DOUBLE, QUADRUPLE, notebook, toy_course  # noqa: F401

SOLVED = {"double": DOUBLE, "quadruple": QUADRUPLE}


def checked(path: Path, given: NotebookNode | None = None, *options: str) -> tuple[int, str]:
    """Exit code and output of `autograder check`."""
    if given is not None:
        nbformat.write(given, path)
    ran = CliRunner().invoke(app, ["check", str(path), *options])
    return ran.exit_code, ran.output


@pytest.mark.usefixtures("toy_course")
def test_a_finished_notebook_passes_and_hears_of_hidden_tests(tmp_path: Path) -> None:
    """Everything filled in and right by the quick checks: exit code 0, and no promise of full marks."""
    code, output = checked(tmp_path / "toy.ipynb", notebook(**SOLVED))
    assert code == 0, output
    assert "nothing is missing" in output
    assert "hidden tests" in output


@pytest.mark.usefixtures("toy_course")
def test_cells_that_are_not_filled_in_are_named(tmp_path: Path) -> None:
    """A blank cell is to do, not wrong; what was filled in is judged all the same."""
    code, output = checked(tmp_path / "toy.ipynb", notebook(double=DOUBLE))
    assert code == 1
    assert "1 cell is not filled in: quadruple" in output
    assert "1 of 2 parts pass" in output


@pytest.mark.usefixtures("toy_course")
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def double(x):\n    return x", "AssertionError (line 1: assert double(1) == 2)"),
        ("def double(x):\n    return 2 * y", "NameError: name 'y' is not defined"),
        ("def double(x)\n    return 2 * x", "The cell double stops: SyntaxError"),
        ("def twice(x):\n    return 2 * x", "The cell double does not define double."),
        ("import os\nos._exit(3)", "The cell double stops: it ended the process"),
    ],
)
def test_a_wrong_cell_hears_what_the_quick_check_says(tmp_path: Path, source: str, said: str) -> None:
    """The message names what went wrong and where; the cells after it are judged on their own."""
    code, output = checked(
        tmp_path / "toy.ipynb", notebook(double=source, quadruple="def quadruple(x):\n    return 4 * x")
    )
    assert code == 1
    assert said in output
    assert "1 of 2 parts pass" in output


@pytest.mark.usefixtures("toy_course")
def test_quick_checks_are_the_released_ones(tmp_path: Path) -> None:
    """A quick check that was edited in the notebook says nothing: the released one is run."""
    given = notebook(double="def double(x):\n    return x", quadruple="def quadruple(x):\n    return 4 * x")
    given.cells[2].source = "assert True"
    code, output = checked(tmp_path / "toy.ipynb", given)
    assert code == 1
    assert "assert double(1) == 2" in output and "1 of 2 parts" in output
    assert "The locked cell double-tests was changed" in output


@pytest.mark.usefixtures("toy_course")
def test_demonstrations_are_not_run(tmp_path: Path) -> None:
    """The check takes seconds because it leaves out what is for the eye."""
    given = notebook(**SOLVED)
    given.cells.insert(4, new_code_cell("assert 'from_demo' not in globals(), 'a demonstration ran'\nfrom_check = 1"))
    given.cells[-2].source = QUADRUPLE + "\nfrom_check"
    assert checked(tmp_path / "toy.ipynb", given)[0] == 0


@pytest.fixture
def written_course(toy_course: Path) -> Path:
    """The toy course with two written answers."""
    path = toy_course / "release/toy/toy.ipynb"
    before = path.read_bytes()
    nbformat.write(_with_answers("YOUR ANSWER HERE", "YOUR ANSWER HERE"), path)
    yield toy_course
    path.write_bytes(before)


def _with_answers(*answers: str, **cells: str) -> NotebookNode:
    given = notebook(**cells)
    mark = {"grade": True, "solution": True, "locked": False, "task": False, "schema_version": 3, "points": 1}
    for i, answer in enumerate(answers):
        metadata = {"nbgrader": mark | {"grade_id": f"q{i}"}}
        given.cells.append(new_markdown_cell(f"Why?\n\n**Your answer:**\n\n{answer}", metadata=metadata))
    return given


@pytest.mark.usefixtures("written_course")
def test_placeholders_are_missing(tmp_path: Path) -> None:
    """A written answer that is still the placeholder stops a notebook that runs."""
    code, output = checked(tmp_path / "toy.ipynb", _with_answers("Because of it.", "YOUR ANSWER HERE", **SOLVED))
    assert code == 1
    assert "1 written answer is still the placeholder: q1" in output
    assert "q0" not in output
    code, output = checked(tmp_path / "toy.ipynb", _with_answers("Because of it.", "So it is.", **SOLVED))
    assert code == 0, output


def test_a_cell_that_hangs_costs_itself(tmp_path: Path) -> None:
    """The next cells run in a new process, with what stands before them."""
    cells = [Cell(0, "x = 1"), Cell(1, "while True: pass", seconds=1.0), Cell(2, "print(x)"), Cell(3, "y", ("z",))]
    ran = run_cells(cells, tmp_path)
    assert ran[1].error == "it did not finish within 1 s"
    assert ran[2].printed == "1\n"
    assert ran[3].error == "NameError: name 'y' is not defined (line 1: y)"
    assert ran[3].undefined == ("z",)


def test_what_a_notebook_prints_past_python_does_no_harm(tmp_path: Path) -> None:
    """Output of subprocesses and of C code does not mix with the answers."""
    ran = run_cells(
        [Cell(0, "import os\nos.write(1, b'{nonsense\\n')\nos.system('echo nonsense')\nprint('fine')")], tmp_path
    )
    assert ran[0].error is None and ran[0].printed == "fine\n"


@pytest.mark.parametrize(
    ("source", "unfilled"),
    [
        ("", True),
        ("def f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()", True),
        ("def f(x)\n    raise NotImplementedError()", True),
        ("def f(x):\n    return x  # raise NotImplementedError()", False),
        ("def f(x):\n    raise NotImplementedError('only for numbers')", False),
    ],
)
def test_only_the_stub_counts_as_not_filled_in(source: str, unfilled: bool) -> None:
    """A comment about the stub, or an error of the student's own, is not the stub."""
    assert is_unfilled(source) is unfilled


@pytest.mark.usefixtures("toy_course")
def test_wrong_usage_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """A missing file, an unknown assignment, a notebook of another course."""
    other = nbformat.v4.new_notebook(cells=[new_code_cell("1")])
    for given, options in ((None, ()), (other, ()), (notebook(), ("--assignment", "nonesuch"))):
        code, output = checked(tmp_path / "mine.ipynb", given, *options)
        assert code == 2
        assert output.startswith("autograder: ") and len(output.splitlines()) == 1
