"""The gradebook made from a release, and kept in step with it."""

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ComputeChecksums

from autograder.nbgrader_plugin.autograde import autograde_class
from autograder.nbgrader_plugin.gradebook import GradebookDiffers, database_url, ensure_gradebook
from autograder.notebooks.nbgrader_convert import convert, course_config
from tests.nbgrader_course import RIGHT, TINY_NAME, TINY_STEM, Course, code, fake_grade_all, markdown, scratch_course  # noqa: F401


def recorded(course: Course) -> dict[str, object]:
    """All that nbgrader knows about the released cells."""
    with Gradebook(database_url(course.root)) as gradebook:
        notebook = gradebook.find_notebook(TINY_STEM, TINY_NAME)
        return {
            "grade": {c.name: (c.max_score, c.cell_type) for c in notebook.grade_cells},
            "solution": {c.name for c in notebook.solution_cells},
            "source": {c.name: (c.cell_type, c.locked, c.source, c.checksum) for c in notebook.source_cells},
            "kernel": notebook.kernelspec,
        }


def change_release(course: Course, change: str) -> None:
    release = nbformat.read(course.tiny.release, as_version=4)
    if change == "points":
        release.cells[3].metadata.nbgrader.points = 4
    if change == "source":
        release.cells[3].source += "\nassert double(3) == 6"
    if change == "added":
        release.cells.append(markdown("YOUR ANSWER HERE", "q2-how", grade=True, solution=True, points=1))
        release.cells.append(code("assert True", "extra-tests", grade=True, locked=True, points=1))
    if change == "removed":
        del release.cells[3]
    nbformat.write(ComputeChecksums().preprocess(release, {})[0], course.tiny.release)


def test_a_release_gives_the_gradebook_that_generate_assignment_makes(course):
    """The same cells, points, texts and checksums as nbgrader's own command records."""
    ensure_gradebook(course.tiny, database_url(course.root))
    ours = recorded(course)
    (course.root / "gradebook.db").unlink()
    course.tiny.release.unlink()
    config = course_config(course.root, course.root)
    config.BaseConverter.force = True
    config.ClearSolutions.enforce_metadata = False
    convert(GenerateAssignment, TINY_NAME, config)
    assert recorded(course) == ours


@pytest.mark.parametrize("change", ["points", "source", "added"])
def test_a_changed_release_reaches_the_gradebook_and_keeps_every_mark(course, change):
    """New cells get empty marks in the submissions that are there; all others stay as they were."""
    course.submit("ada", RIGHT | {"q1-why": "Because."})
    autograde_class(course.tiny, fake_grade_all)
    with Gradebook(database_url(course.root)) as gradebook:
        gradebook.find_grade("q1-why", TINY_STEM, TINY_NAME, "ada").manual_score = 1.5
        gradebook.db.commit()
    change_release(course, change)
    ensure_gradebook(course.tiny, database_url(course.root))
    with Gradebook(database_url(course.root)) as gradebook:
        grades = gradebook.find_submission_notebook(TINY_STEM, TINY_NAME, "ada").grades
        kept = {g.name: g.score for g in grades}
        assert {n: kept[n] for n in ("double-tests", "triple-tests", "q1-why")} == {
            "double-tests": 3, "triple-tests": 0.3, "q1-why": 1.5,
        }  # fmt: skip
        assert kept.keys() == recorded(course)["grade"].keys()
        assert recorded(course)["grade"]["double-tests"][0] == (4 if change == "points" else 3)
    autograde_class(course.tiny, fake_grade_all, force=True)  # and grading goes on


def test_a_cell_with_marks_is_not_dropped(course):
    """The refusal names the cell; nothing has changed."""
    course.submit("ada", RIGHT)
    autograde_class(course.tiny, fake_grade_all)
    before = (course.root / "gradebook.db").read_bytes()
    change_release(course, "removed")
    with pytest.raises(GradebookDiffers, match="double-tests"):
        ensure_gradebook(course.tiny, database_url(course.root))
    with pytest.raises(GradebookDiffers):
        autograde_class(course.tiny, lambda paths: pytest.fail("graded first"), force=True)
    assert (course.root / "gradebook.db").read_bytes() == before


def test_without_submissions_a_removed_cell_goes(course):
    """While nobody has been graded, the release alone decides."""
    ensure_gradebook(course.tiny, database_url(course.root))
    change_release(course, "removed")
    ensure_gradebook(course.tiny, database_url(course.root))
    assert "double-tests" not in recorded(course)["grade"] and "double-tests" not in recorded(course)["source"]


def test_a_gradebook_in_step_is_not_written_to(course):
    """The check runs before every student that stock nbgrader grades."""
    ensure_gradebook(course.tiny, database_url(course.root))
    before = (course.root / "gradebook.db").stat().st_mtime_ns
    ensure_gradebook(course.tiny, database_url(course.root))
    assert (course.root / "gradebook.db").stat().st_mtime_ns == before


def test_a_missing_release_is_one_clear_line(course):
    """It names what is missing and the command that makes it."""
    course.tiny.release.unlink()
    with pytest.raises(FileNotFoundError, match="release/tiny-course is missing: build it with `autograder release`"):
        ensure_gradebook(course.tiny, database_url(course.root))
