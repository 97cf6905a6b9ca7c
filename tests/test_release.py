"""A release comes whole out of the instructor's notebook, or the old one stays."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.course.assignment import Assignment
from autograder.course.course import VARIABLE, course_at
from autograder.notebooks import swap
from autograder.notebooks.build import build_release
from autograder.notebooks.leaks import ReleaseRefused
from autograder.notebooks.nbgrader_convert import NotConverted
from tests.checkout import ROOT
from tests.small_course import cells, change_text, content, make_course, names, silent
from tests.this_course import ASSIGNMENTS


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Assignment:
    return make_course(tmp_path, monkeypatch)


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=lambda a: a.name)
def test_committed_releases_are_what_the_source_gives(
    assignment: Assignment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody edited a release by hand or forgot to build it; `autograder release` builds it."""
    committed = content(assignment.release.parent)
    shutil.copytree(assignment.source.parent, tmp_path / "source" / assignment.name)
    (tmp_path / "autograder").symlink_to(ROOT / "autograder")
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    copied = course_at(tmp_path).named(assignment.name)
    build_release(copied, progress=silent)
    built = content(copied.release.parent)
    assert sorted(built) == sorted(committed)
    assert [name for name in built if built[name] != committed[name]] == []


def test_a_release_is_built_twice_with_the_same_bytes(course: Assignment) -> None:
    """Same source, same bytes: from nothing, over an old release, and reported as unchanged."""
    said: list[str] = []
    build_release(course, progress=said.append)
    first = content(course.release.parent)
    shutil.rmtree(course.release.parent)
    build_release(course, progress=said.append)
    build_release(course, progress=said.append)
    assert content(course.release.parent) == first
    assert said[1:] == [
        "release/small-course: built, no leaks",
        "release/small-course: built, no leaks",
        "release/small-course: up to date, no leaks",
    ]


def test_a_release_is_complete_and_holds_nothing_else(course: Assignment) -> None:
    """The notebook and its data are there; text twin, caches and hidden files stay with the instructor."""
    source = course.source.parent
    for stray in ("notes.py", ".secret", "__pycache__/x.pyc", ".ipynb_checkpoints/small_course.ipynb", "data/.cache"):
        (source / stray).parent.mkdir(exist_ok=True)
        (source / stray).write_text("stray\n")
    (source / "notes.py").unlink()
    build_release(course, progress=silent)
    names = ["data/movie_snippets/train.tsv", "data/movie_snippets/validation.tsv", "small_course.ipynb"]
    assert sorted(content(course.release.parent)) == names


def test_a_released_notebook_asks_for_the_answers(course: Assignment) -> None:
    """Stubs stand in place of solutions, scaffold and points as in the source, ids are the grade_ids."""
    build_release(course, progress=silent)
    released = cells(course.release)
    stub = "    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert released["double"].source == f'def double(number):\n    """Twice the number."""\n{stub}'
    assert released["q1-why"].source == "YOUR ANSWER HERE"
    assert released["double-tests"].metadata.nbgrader.points == 3
    assert released["double-tests"].metadata.editable is False
    assert released["demo-rows"].metadata.tags == ["demo"]


def test_a_released_notebook_has_one_kernel_and_no_machine(course: Assignment) -> None:
    """Metadata name the kernel and the language, not a version, an editor or a pairing."""
    build_release(course, progress=silent)
    metadata = nbformat.read(course.release, as_version=4).metadata
    assert sorted(metadata) == ["kernelspec", "language_info"]
    assert metadata.kernelspec == {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    assert "version" not in metadata.language_info
    kept = {key for cell in cells(course.release).values() for key in cell.metadata}
    assert kept == {"nbgrader", "tags", "deletable", "editable"}


def test_a_fault_of_the_source_is_one_line_and_the_old_release_stays(course: Assignment) -> None:
    """nbgrader's reason is told without its traceback, and nothing half-made is left."""
    build_release(course, progress=silent)
    before = content(course.release.parent)
    change_text(course, "print(len(ROWS)", "### BEGIN SOLUTION\nprint(len(ROWS)")
    with pytest.raises(
        NotConverted, match=r"^nbgrader cannot convert small-course: RuntimeError: .*solution"
    ) as failed:
        build_release(course, progress=silent)
    assert "\n" not in str(failed.value)
    assert content(course.release.parent) == before
    assert names(course.release.parents[1]) == ["small-course"]


def test_a_release_does_not_lose_its_data(course: Assignment) -> None:
    """Where set-up did not run, a release without data is refused."""
    build_release(course, progress=silent)
    shutil.rmtree(course.source.parent / "data")
    with pytest.raises(ReleaseRefused, match="source/small-course/data is missing"):
        build_release(course, progress=silent)
    assert (course.release.parent / "data").is_dir()


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_submissions_to_an_earlier_release_are_no_obstacle(course: Assignment, tmp_path: Path) -> None:
    """A changed assignment is released though the gradebook knows submissions, and the gradebook stays as it was.

    Stock `generate_assignment --force` deletes the release first and then refuses.
    """
    build_release(course, progress=silent)
    database = tmp_path / "gradebook.db"
    with Gradebook(f"sqlite:///{database}") as gradebook:
        gradebook.add_assignment(course.name)
        gradebook.add_notebook(course.stem, course.name)
        gradebook.add_grade_cell("double-tests", course.stem, course.name, max_score=3, cell_type="code")
        gradebook.add_student("ada")
        gradebook.add_submission(course.name, "ada")
    before = database.read_bytes()
    change_text(course, '"mean-tests"', '"average-tests"')
    build_release(course, progress=silent)
    assert "average-tests" in cells(course.release)
    assert names(course.release.parents[1]) == ["small-course"]
    assert database.read_bytes() == before


def test_an_interrupted_swap_is_put_right(course: Assignment) -> None:
    """Stopped between the two renames, the next build brings the old release back first; leavings go."""
    build_release(course, progress=silent)
    target = course.release.parent
    before = content(target)
    target.rename(target.with_name(".small-course.old"))
    target.with_name(".small-course.new").mkdir()
    with swap.staging(target):
        assert content(target) == before
    assert names(target.parent) == ["small-course"]


def test_a_swap_that_fails_brings_the_old_folder_back(tmp_path: Path) -> None:
    """Where the new folder cannot be put in place, the old one stands there again."""
    target = tmp_path / "release"
    target.mkdir()
    (target / "old").touch()
    with swap.staging(target) as stage, pytest.raises(OSError):
        swap.swap(stage / "not-there", target)
    assert names(target) == ["old"]
    assert names(tmp_path) == ["release"]
