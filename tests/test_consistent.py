"""An author's slip is told by the first command, in one line that says what, where, and what to do."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autograder.cli import app
from autograder.course.assignment import Assignment
from autograder.course.course import this_course
from autograder.course.manifest import MANIFEST, read_manifest
from autograder.datasets import prepare
from autograder.notebooks.build import build_release
from autograder.notebooks.consistent import Inconsistent, refuse_slips, slips
from tests.small_course import MEAN, SMALL_MANIFEST, SMALL_NAME, TEXT, change_text, content, make_course, silent
from tests.this_course import ASSIGNMENTS

TESTS = '''"""Hidden tests."""

import pytest

CELL = "{cell}"


@pytest.mark.points({points}, cell=CELL)
def test_{stem}(student):
    """A title"""
'''


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Assignment:
    """The small course, with the hidden tests that its points ask for, where commands find it."""
    small = make_course(tmp_path, monkeypatch)
    write_tests("double", 3)
    write_tests("mean", 2)
    monkeypatch.setattr(prepare, "prepare", lambda assignments, quiet: None)
    return small


def write_tests(stem: str, points: float, cell: str | None = None) -> None:
    graders = this_course().named(SMALL_NAME).graders
    (graders / f"test_{stem}.py").write_text(TESTS.format(cell=cell or stem, points=points, stem=stem))


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*words, SMALL_NAME, "--quiet"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=ASSIGNMENTS)
def test_the_course_fits_together(assignment: Assignment) -> None:
    """Nothing is said of the assignments as they are."""
    assert list(slips(assignment)) == []


def test_a_right_assignment_is_not_refused(course: Assignment) -> None:
    """The small course is released."""
    assert run("release", "--no-solutions") == (0, "")
    assert course.release.is_file()


EDITED = [
    ('"grade_id": "mean-tests"', '"grade_id": "mean-test"', "'mean' has no test cell 'mean-tests'; rename 'mean-test'"),
    ('"grade_id": "mean-tests"', '"grade_id": "later"', "'mean' has no test cell 'mean-tests'; write it"),
    (MEAN.strip(), "def mean(numbers):\n    return sum(numbers) / len(numbers)", "'mean' needs a line `### BEGIN"),
    ("to_the_left\n    ### END SOLUTION", "to_the_left", "'double' needs a line `### BEGIN SOLUTION` and, below it"),
    ("def mean(", "def average(", "'mean' should define `mean`, which its cell does not"),
    ('"points": 2, "schema_version": 3, "solution": false', '"points": 4, "schema_version": 3, "solution": false',
     "the hidden tests of 'mean' are worth 2 points and its test cell 4"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), EDITED, ids=[new[:30] for _, new, _ in EDITED])
def test_a_slip_in_the_notebook_is_told(course: Assignment, old: str, new: str, said: str) -> None:
    """A test cell under another name, no markers, another name, other points."""
    change_text(course, old, new)
    found = list(slips(course))
    assert len(found) == 1 and said in found[0] and "\n" not in found[0], found


MEAN_TABLE = '[cells.mean]\ndefines = ["mean"]\n'
DOUBLE_TABLE = '[cells.double]\ndefines = ["double"]\n'
TABLED = [
    (MEAN_TABLE, "", ["lacks 'mean', which is a cell to fill in; add it"]),
    ('defines = ["mean"]', "", ["'mean'", "`defines`"]),
    ("[cells.mean]", "[cells.maen]", ["names 'maen', but the notebook has no such cell to fill in; did you mean 'mean'?"]),
    (MEAN_TABLE, MEAN_TABLE + "[cells.x]\n", ["names 'x', but the notebook has no such cell to fill in; add it"]),
    (f"{DOUBLE_TABLE}\n{MEAN_TABLE}", MEAN_TABLE + DOUBLE_TABLE, ["in another order than the notebook"]),
    (MEAN_TABLE, MEAN_TABLE + 'upstream = ["duoble"]\n', ["'mean' rests on 'duoble', but", "did you mean 'double'?"]),
    ('defines = ["double"]', 'defines = ["duoble"]', ["'double' should define `duoble`", "did you mean 'double'?"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), TABLED, ids=[said[-1][-40:] for *_, said in TABLED])
def test_a_slip_in_the_manifest_is_told(course: Assignment, old: str, new: str, said: list[str]) -> None:
    """A forgotten entry, a mistyped one, one too many, the wrong order."""
    assert old in SMALL_MANIFEST
    path = course.graders / MANIFEST
    path.write_text(SMALL_MANIFEST.replace(old, new))
    found = list(slips(read_manifest(path)[1]))
    assert len(found) == 1 and all(words in found[0] for words in ("small_course/assignment.toml", *said)), found


@pytest.mark.parametrize(
    ("cell", "points", "said"),
    [
        ("maen", "2", ["test_mean.py tests 'maen'", "did you mean 'mean'?"]),
        ("mean", "1", ["the hidden tests of 'mean' are worth 1 points and its test cell 2"]),
        ("mean", "POINTS", ["test_mean.py: test_mean does not say its points"]),
    ],
)
def test_a_slip_in_the_hidden_tests_is_told(course: Assignment, cell: str, points: str, said: list[str]) -> None:
    """A mistyped cell, a wrong sum, a marker that says too little."""
    write_tests("mean", points, cell)
    assert all(words in "\n".join(slips(course)) for words in said)


def test_a_hidden_test_that_is_not_python_is_told(course: Assignment) -> None:
    """File, line and what is wrong there."""
    (course.graders / "test_mean.py").write_text("import pytest\ndef test_mean(:\n")
    assert run("release") == (2, "autograder: test_mean.py, line 2: invalid syntax\n")


def test_a_cell_without_hidden_tests_is_told(course: Assignment) -> None:
    """Its points could not be earned."""
    (course.graders / "test_mean.py").unlink()
    assert "the hidden tests of 'mean' are worth 0 points" in "\n".join(slips(course))


def test_experiments_have_no_tests(course: Assignment) -> None:
    """A cell to fill in without points is not a component, and still needs its markers."""
    cell = TEXT[TEXT.index("# %% nbgrader", TEXT.index("def double")) : TEXT.index("assert double")]
    free = cell.replace('"grade": true', '"grade": false').replace('"solution": false', '"solution": true')
    free = (
        free.replace('"double-tests"', '"s1-experiment"').replace(', "points": 3', "").strip() + ' tags=["experiment"]'
    )
    text = course.source.with_suffix(".py")
    text.write_text(f"{TEXT}\n{free}\n### BEGIN SOLUTION\nprint(1)\n### END SOLUTION\n")
    assert list(slips(course)) == []
    text.write_text(f"{TEXT}\n{free}\nprint(1)\n")
    assert ["'s1-experiment' needs a line" in line for line in slips(course)] == [True]


@pytest.mark.parametrize("command", ["release", "verify"])
def test_commands_refuse_at_once(course: Assignment, command: str) -> None:
    """Exit code 2, every slip on a line of its own, and nothing is built."""
    write_tests("double", 1)
    write_tests("mean", 2, "maen")
    code, said = run(command)
    first, *rest = said.splitlines()
    assert code == 2 and first == "autograder: small-course does not fit together:"
    assert len(rest) == 3 and all(line.startswith("  ") for line in rest)
    assert not course.release.exists()
    with pytest.raises(Inconsistent, match="did you mean 'mean'"):
        refuse_slips(course)


def test_a_release_waits_for_its_solution(course: Assignment) -> None:
    """Where the solved notebook fails, the old release and the old solution stay, and the line names the cell."""
    assert run("release")[0] == 0
    before = content(course.release.parent), content(course.solution.parent)
    change_text(course, "assert mean([1, 3]) == 2", "assert mean([1, 3]) == 3")
    code, said = run("release")
    assert code == 2 and said.startswith("autograder: small_course.ipynb, cell mean-tests: AssertionError")
    assert (content(course.release.parent), content(course.solution.parent)) == before
    change_text(course, "assert mean([1, 3]) == 3", "assert mean([1, 5]) == 3")
    assert run("release")[0] == 0
    assert "mean([1, 5])" in course.release.read_text() and "mean([1, 5])" in course.solution.read_text()


def test_a_refused_release_has_no_new_solution(course: Assignment) -> None:
    """Where the release would lose its data, the solved notebook is not run."""
    build_release(course, progress=silent)
    shutil.rmtree(course.source.parent / "data")
    assert run("release")[0] == 2
    assert not course.solution.exists()
