"""Turn an instructor notebook into the release that students get and the solution that staff read."""

import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment, GenerateSolution
from nbgrader.converters.base import BaseConverter

from autograder.course.assignment import Assignment
from autograder.notebooks.execute import fingerprint, solved
from autograder.notebooks.leaks import ReleaseRefused, find_leaks
from autograder.notebooks.nbgrader_convert import convert, course_config
from autograder.notebooks.pairing import sync
from autograder.notebooks.swap import staging, swap

Progress = Callable[[str], object]


def build_release(
    assignment: Assignment, *, progress: Progress = print, before: Callable[[Path], object] = lambda built: None
) -> None:
    """Write release/<name>: built beside the old release, searched for leaks, then put in its place.

    The gradebook is neither read nor changed, so that submissions to an earlier release are no obstacle.
    Raises ReleaseRefused where something leaks or the data are missing, and what `before` raises, which is called with
    the folder that is to be put in place; the old release then stays.
    """
    target = assignment.release.parent
    with staging(target) as stage:
        _lay_out(assignment, stage, progress)
        config = course_config(assignment.root, stage)
        # what nbgrader's --no-db sets: the gradebook is not ours to change
        config.GenerateAssignment.no_database = True
        config.SaveCells.enabled = False
        convert(GenerateAssignment, assignment.name, config)
        built = stage / "release" / assignment.name
        if (target / "data").is_dir() and not (built / "data").is_dir():
            raise ReleaseRefused(f"{assignment.name} would lose its data: source/{assignment.name}/data is missing")
        if leaks := find_leaks(built, assignment):
            raise ReleaseRefused.because_of(leaks, assignment.name)
        before(built)
        same = target.is_dir() and _contents(target) == _contents(built)
        if not same:
            swap(built, target)
    progress(f"release/{assignment.name}: {'up to date' if same else 'built'}, no leaks")


def build_solution(
    assignment: Assignment,
    execute: bool = True,
    *,
    released: Path | None = None,
    progress: Progress = print,
    quiet: bool = False,
) -> None:
    """Write solutions/<name>: the solved notebook, run from top to bottom beside the data in the folder `released`.

    That is the release unless it is given. A solution whose sources did not change since it ran is kept. Raises
    CellFailed; the old solution then stays.
    """
    target, beside = assignment.solution.parent, released or assignment.release.parent
    if execute and not beside.is_dir():
        raise FileNotFoundError(
            f"release/{assignment.name} is missing: the solution runs beside its data; build it first"
        )
    with staging(target) as stage:
        _lay_out(assignment, stage, progress)
        notebook = _converted_solution(assignment, stage)
        if execute:
            if _is_run_of(assignment.solution, notebook, fingerprint(notebook, beside)):
                progress(f"solutions/{assignment.name}: up to date")
                return
            progress(f"solutions/{assignment.name}: running the solved notebook, which takes a few minutes")
            shutil.copytree(beside, stage / "run", ignore=shutil.ignore_patterns("*.ipynb"))
            solved(notebook, stage / "run", assignment.solution.name, assignment.root, quiet)
        built = stage / "built"
        built.mkdir()
        nbformat.write(notebook, built / assignment.solution.name)
        swap(built, target)
    progress(f"solutions/{assignment.name}: built{'' if execute else ', not run'}")


def _lay_out(assignment: Assignment, stage: Path, progress: Progress) -> None:
    """Make `stage` a course directory with the source of the assignment, its two forms in step."""
    for change in sync(assignment.source.parent):
        progress(change)
    (stage / "source").symlink_to(assignment.source.parent.parent)


def _converted_solution(assignment: Assignment, stage: Path) -> NotebookNode:
    """nbgrader's solution of the assignment, not run."""
    config = course_config(assignment.root, stage)
    steps = config.GenerateSolution.preprocessors
    config.GenerateSolution.preprocessors = [s for s in steps if not s.endswith(".ExecuteSolution")]
    del config.GenerateSolution["pre_convert_hook"]
    convert(_SolutionWithoutGradebook, assignment.name, config)
    path = stage / config.CourseDirectory.solution_directory / assignment.name / assignment.solution.name
    return nbformat.read(path, as_version=4)


def _is_run_of(path: Path, notebook: NotebookNode, source: str) -> bool:
    """Whether the file holds the outputs of exactly this notebook with these sources."""
    if not path.is_file():
        return False
    try:
        old = nbformat.read(path, as_version=4)
    except ValueError:  # not a notebook
        return False
    same_text = [c.source for c in old.cells] == [c.source for c in notebook.cells]
    return same_text and old.metadata.get("course", {}).get("source_sha256") == source


def _contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class _SolutionWithoutGradebook(GenerateSolution):
    """nbgrader's own converter, which asks the gradebook only whether it knows the assignment."""

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        BaseConverter.init_assignment(self, assignment_id, student_id)
