"""A solution is the solved notebook, run; nbgrader's stock commands make the same of a source as ours."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from small_course import DOUBLE, cells, change_text, content, make_course, names, silent

from autograder.course.assignment import Assignment
from autograder.notebooks import build
from autograder.notebooks.build import build_release, build_solution
from autograder.notebooks.execute import SECONDS_A_CELL, CellFailed
from autograder.notebooks.machine_paths import find_paths
from autograder.notebooks.nbgrader_convert import course_config
from tests.checkout import ROOT


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Assignment:
    return make_course(tmp_path, monkeypatch)


def solve(course: Assignment) -> list[str]:
    said: list[str] = []
    build_solution(course, progress=said.append, quiet=True)
    return said


def refused_solution(*_: object) -> None:
    raise AssertionError("the solution was run")


def test_a_solution_is_run_beside_the_data_and_tells_nothing_of_the_machine(
    course: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs are stored, with plain words for paths and no times, and one thread computed them."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    change_text(course, "print(len(ROWS)", 'import os\nprint(os.environ["OMP_NUM_THREADS"], len(ROWS)')
    build_release(course, progress=silent)
    solve(course)
    text = course.solution.read_text()
    solved = cells(course.solution)
    assert solved["demo-rows"].outputs[0].text == "1 3 <here> <environment>\n"
    assert solved["double"].source.count("SOLUTION") == 2
    assert find_paths(text, course.root) == []
    assert "execution" not in solved["demo-rows"].metadata
    assert "version" not in nbformat.read(course.solution, as_version=4).metadata.language_info
    assert sorted(content(course.solution.parent)) == ["small_course.ipynb"]


def test_a_solution_runs_again_only_when_its_sources_change(
    course: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A solution in step is kept; a changed cell, changed data or an edited solution make it run again."""
    build_release(course, progress=silent)
    assert solve(course)[-1] == "solutions/small-course: built"
    run = build.solved
    monkeypatch.setattr(build, "solved", refused_solution)
    assert solve(course) == ["solutions/small-course: up to date"]
    table = course.release.parent / "data" / "movie_snippets" / "train.tsv"
    rows = table.read_text()
    table.write_text(rows + "1\tAnother row.\n")
    with pytest.raises(AssertionError, match="was run"):
        solve(course)
    table.write_text(rows)
    course.solution.write_text(course.solution.read_text().replace("number << 1", "number << 2"))
    with pytest.raises(AssertionError, match="was run"):
        solve(course)
    monkeypatch.setattr(build, "solved", run)
    change_text(course, "number << 1  # one place to the left", "number + number")
    assert solve(course)[-1] == "solutions/small-course: built"
    assert "number + number" in cells(course.solution)["double"].source


def test_a_cell_that_fails_is_named_and_the_old_solution_stays(course: Assignment) -> None:
    """The error is one line with notebook, cell and exception."""
    build_release(course, progress=silent)
    course.solution.parent.mkdir(parents=True)
    course.solution.write_text("old\n")
    change_text(course, DOUBLE.split("\n")[4].strip(), "shifted_to_the_left = number")
    with pytest.raises(CellFailed, match=r"^small_course\.ipynb, cell double-tests: AssertionError: *$"):
        solve(course)
    assert course.solution.read_text() == "old\n"
    assert names(course.solution.parents[1]) == ["small-course"]


def test_a_solution_without_a_run_is_not_taken_for_one_with(course: Assignment) -> None:
    """`execute=False` writes the solved notebook without outputs; the next build runs it."""
    build_release(course, progress=silent)
    build_solution(course, execute=False, progress=silent)
    assert cells(course.solution)["demo-rows"].outputs == []
    assert solve(course)[-1] == "solutions/small-course: built"


def test_stock_commands_give_the_same(course: Assignment, tmp_path: Path) -> None:
    """`nbgrader generate_assignment`, `generate_solution` and `validate` in a course's root, without a gradebook.

    The release is the same to the byte, so is the solution, which then counts as up to date; validation fails on the
    release and passes on the solution. No environment is activated: nbgrader's own programs are found all the same.
    """
    build_release(course, progress=silent)
    solve(course)
    ours = content(course.release.parent) | content(course.solution.parent)
    shutil.rmtree(tmp_path / "release")
    shutil.rmtree(tmp_path / "solutions")
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    environment = {**os.environ, "PATH": os.defpath, "PYTHONPATH": str(ROOT)}

    def nbgrader(*arguments: str) -> str:
        command = [sys.executable, "-m", "nbgrader", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    nbgrader("generate_solution", course.name)
    nbgrader("generate_assignment", course.name)
    assert content(course.release.parent).keys() | {"small_course.ipynb"} == ours.keys()
    stock = content(course.release.parent) | {"small_course.ipynb": course.solution.read_bytes()}
    assert json.loads(stock["small_course.ipynb"])["metadata"] == json.loads(ours["small_course.ipynb"])["metadata"]
    assert solve(course) == ["solutions/small-course: up to date"]
    on_release, _, on_solution = nbgrader("validate", str(course.release), str(course.solution)).rpartition("Success!")
    assert "VALIDATION FAILED ON 3 CELL(S)" in on_release
    assert on_solution == " Your notebook passes all the tests.\n"


def test_validate_waits_for_training() -> None:
    """A cell of the solved notebook may train for as long under `nbgrader validate` as when the solution is built."""
    assert course_config(ROOT, ROOT).Execute.timeout >= SECONDS_A_CELL
