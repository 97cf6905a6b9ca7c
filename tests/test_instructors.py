"""The instructors' page is true, and editing one exercise changes that exercise alone."""

import re
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.collecting.arrivals import extensions
from autograder.collecting.roster import read_roster
from autograder.course.assignment import Assignment
from autograder.nbgrader_plugin.gradebook import GradebookDiffers, database_url, ensure_gradebook
from autograder.notebooks.build import build_release, build_solution
from tests.checkout import ROOT
from tests.small_course import CELLS, change_text, make_course, silent

PAGE = (ROOT / "docs" / "instructors.md").read_text()
BLOCKS = [block.strip("\n") for block in re.findall(r"(?:^    .+\n)+", PAGE, re.M)]
COMMANDS = [line.strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS += re.findall(r"`(\.venv/bin/[^`]+)`", PAGE)


def test_other_commands_of_the_page_exist():
    """make's targets and the programs of the environment."""
    targets = set(re.findall(r"`make (\w+)`", PAGE))
    assert targets == {"demo", "test"}
    for target in targets:
        assert subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True).returncode == 0
    others = {c.split()[0] for c in COMMANDS if c.startswith(".venv/bin/")} - {".venv/bin/autograder"}
    assert others == {".venv/bin/jupyter"}
    assert {c.split()[0] for c in COMMANDS if c.startswith("git")} == {"git"}


def test_every_command_of_the_cycle_is_on_the_page():
    """One for each step, in the order of a term."""
    steps = ["release", "publish", "collect", "autograde", "report", "explain", "export"]
    first = [min(i for i, c in enumerate(COMMANDS) if c.startswith(f".venv/bin/autograder {step}")) for step in steps]
    dry_run = first.pop(3)
    assert first == sorted(first) and dry_run < first[-1]


def test_files_that_the_page_shows_are_read(tmp_path):
    """The roster, the extensions and the configuration, as they stand there."""
    by_first_line = {block.splitlines()[0].strip(): block.replace("    ", "") for block in BLOCKS}
    (tmp_path / "roster.csv").write_text(by_first_line["id,name,canvas_id,email"])
    (student,) = read_roster(tmp_path / "roster.csv").students
    assert (student.id, student.name, student.canvas_id) == ("ada", "Lovelace, Ada", "12345")
    (tmp_path / "extensions.csv").write_text(by_first_line["student,assignment,until"])
    assert ("ben", "transformer-fundamentals") in extensions(tmp_path)
    plugin = re.search(r'plugin_class = "([\w.]+)\.(\w+)"', PAGE)
    assert hasattr(__import__(plugin[1], fromlist=[plugin[2]]), plugin[2])


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Assignment:
    """The assignment of a small course, released and solved."""
    small = make_course(tmp_path, monkeypatch)
    rebuild(small)
    return small


def rebuild(course: Assignment) -> None:
    build_release(course, progress=silent)
    build_solution(course, execute=False, progress=silent)


def cells(path: Path) -> dict[str, str]:
    return {cell.id: cell.source for cell in nbformat.read(path, 4).cells}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert list(before) == list(after)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize("submitted", [False, True], ids=["before", "after submissions"])
def test_editing_one_exercise_changes_that_exercise_alone(course, submitted):
    """Task and solution, then its quick check: the same cells change in release and solution, and nothing beside."""
    if submitted:
        submit(course)
    before, solved = cells(course.release), cells(course.solution)
    others = {p: p.read_bytes() for p in course.release.parent.rglob("*") if p.is_file() and p != course.release}
    change_text(course, '"""The arithmetic mean."""', '"""The arithmetic mean, nan for no numbers."""')
    change_text(course, "return total / len(numbers)", "return total / len(numbers) if numbers else float('nan')")
    rebuild(course)
    after, solved_after = cells(course.release), cells(course.solution)
    assert changed(before, after) == changed(solved, solved_after) == {"mean"}
    assert "nan for no numbers" in after["mean"] and "float('nan')" not in after["mean"]
    assert "float('nan')" in solved_after["mean"]
    change_text(course, "assert mean([1, 3]) == 2", "assert mean([1, 5]) == 3")
    rebuild(course)
    assert changed(after, cells(course.release)) == changed(solved_after, cells(course.solution)) == {"mean-tests"}
    assert {
        p: p.read_bytes() for p in course.release.parent.rglob("*") if p.is_file() and p != course.release
    } == others
    if submitted:
        ensure_gradebook(course, database_url(course.root))
        assert marks(course) == {"double-tests": (3.0, 1.0), "mean-tests": (2.0, None), "q1-why": (2.0, 1.5)}


def submit(course: Assignment) -> None:
    """A submission in the gradebook, with two marks of a person."""
    ensure_gradebook(course, database_url(course.root))
    with Gradebook(database_url(course.root)) as gradebook:
        gradebook.add_student("ada")
        gradebook.add_submission(course.name, "ada")
        for cell, mark in (("double-tests", 1.0), ("q1-why", 1.5)):
            gradebook.find_grade(cell, course.stem, course.name, "ada").manual_score = mark
        gradebook.db.commit()


def marks(course: Assignment) -> dict[str, tuple[float, float | None]]:
    """Points of each cell, and the mark that a person gave."""
    with Gradebook(database_url(course.root)) as gradebook:
        grades = gradebook.find_submission_notebook(course.stem, course.name, "ada").grades
        return {grade.name: (grade.max_score, grade.manual_score) for grade in grades}


def test_new_points_reach_the_gradebook_and_marks_stay(course):
    """Also after submissions have come in."""
    submit(course)
    cell = next(c for c in CELLS if "double-tests" in c)
    change_text(course, cell, cell.replace('"points": 3', '"points": 4'))
    rebuild(course)
    ensure_gradebook(course, database_url(course.root))
    assert marks(course)["double-tests"] == (4.0, 1.0)


def test_a_cell_with_marks_cannot_go(course):
    """One line, and the gradebook stays as it was."""
    submit(course)
    before = marks(course)
    change_text(course, '"grade_id": "q1-why"', '"grade_id": "q1-because"')
    rebuild(course)
    with pytest.raises(GradebookDiffers, match="q1-why"):
        ensure_gradebook(course, database_url(course.root))
    assert marks(course) == before
