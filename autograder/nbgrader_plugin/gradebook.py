"""Make nbgrader's gradebook from a release, or bring it up to date, without dropping a mark."""

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader import api
from nbgrader.api import Comment, Grade, Gradebook, GradeCell, MissingEntry, Notebook, SolutionCell, SourceCell
from nbgrader.utils import compute_checksum

from autograder.course.assignment import Assignment
from autograder.course.course import course_at
from autograder.faults import Fault
from autograder.nbgrader_plugin.beside import copy_ordinary_files_only
from autograder.nbgrader_plugin.lock import CourseBusy, only_grader


class GradebookDiffers(Fault):
    """The gradebook has marks for cells that the release no longer has; one line."""


# nbgrader makes an engine whenever it looks into its database, and each would compile all statements again
api.create_engine = functools.cache(api.create_engine)


def database_url(course: Path) -> str:
    return f"sqlite:///{course / 'gradebook.db'}"


def open_gradebook(db_url: str) -> Gradebook:
    """nbgrader's gradebook, made where it is missing: for that nbgrader starts `alembic` by name."""
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join((programs, os.environ.get("PATH", os.defpath)))
    return Gradebook(db_url)


def ensure_gradebook(assignment: Assignment, db_url: str | None = None) -> None:
    """Make the gradebook know the assignment exactly as released. Existing submissions keep every mark and comment.

    Raises FileNotFoundError without a release, and GradebookDiffers where a cell with marks is gone.
    """
    if not assignment.release.is_file():
        raise FileNotFoundError(f"release/{assignment.name} is missing: build it with `autograder release`")
    release = nbformat.read(assignment.release, as_version=4)
    with open_gradebook(db_url or database_url(assignment.root)) as gradebook:
        _bring_up_to_date(gradebook, _notebook(gradebook, assignment, release), _wanted_cells(release))


def before_autograde(assignment: str, student: str, notebooks: list[str]) -> None:
    """nbgrader's `pre_convert_hook`: stock `nbgrader autograde` stops where no gradebook knows the assignment."""
    course = Path.cwd()  # nbgrader works in the course's root
    known = course_at(course).assignments.get(assignment)
    if known is None:
        return
    copy_ordinary_files_only()
    try:
        with only_grader(course):  # stock nbgrader holds no lock, but does not start beside our own grading
            ensure_gradebook(known, database_url(course))
    except (FileNotFoundError, GradebookDiffers, CourseBusy) as error:
        raise SystemExit(str(error)) from None  # nbgrader swallows every other error of a hook


Cells = dict[str, dict[str, dict[str, Any]]]
KINDS = {"grade": GradeCell, "solution": SolutionCell, "source": SourceCell}


def _wanted_cells(release: NotebookNode) -> Cells:
    """What nbgrader's SaveCells records, by kind of record and grade id."""
    cells: Cells = {kind: {} for kind in KINDS}
    for cell in release.cells:
        mark = cell.metadata.get("nbgrader")
        if not mark:
            continue
        name = mark["grade_id"]
        if mark.get("grade"):
            cells["grade"][name] = {"max_score": float(mark["points"]), "cell_type": cell.cell_type}
        if mark.get("solution"):
            cells["solution"][name] = {}
        cells["source"][name] = {
            "cell_type": cell.cell_type,
            "locked": not mark.get("solution") and bool(mark.get("grade") or mark.get("locked")),
            "source": cell.source,
            "checksum": compute_checksum(cell),
        }
    return cells


def _notebook(gradebook: Gradebook, assignment: Assignment, release: NotebookNode) -> Notebook:
    try:
        gradebook.find_assignment(assignment.name)
    except MissingEntry:
        gradebook.add_assignment(assignment.name)
    try:
        return gradebook.find_notebook(assignment.stem, assignment.name)
    except MissingEntry:
        kernel = json.dumps(release.metadata.get("kernelspec", {}))
        return gradebook.add_notebook(assignment.stem, assignment.name, kernelspec=kernel)


def _bring_up_to_date(gradebook: Gradebook, notebook: Notebook, wanted: Cells) -> None:
    """All in one transaction, so that a crash leaves the gradebook as it was."""
    recorded = {
        "grade": {c.name: c for c in notebook.grade_cells},
        "solution": {c.name: c for c in notebook.solution_cells},
        "source": {c.name: c for c in notebook.source_cells},
    }
    gone = sorted(name for kind in ("grade", "solution") for name in recorded[kind].keys() - wanted[kind].keys())
    if gone and notebook.submissions:
        raise GradebookDiffers(
            f"gradebook.db has submissions with the cells {', '.join(gone)}, which the release no longer has: "
            "put the cells back, or move gradebook.db away and grade again"
        )
    for kind, cells in wanted.items():
        for name in recorded[kind].keys() - cells.keys():
            gradebook.db.delete(recorded[kind][name])
        for name, info in cells.items():
            if (record := recorded[kind].get(name)) is not None:
                for key, value in info.items():
                    setattr(record, key, value)
                continue
            record = KINDS[kind](name=name, notebook=notebook, **info)
            gradebook.db.add(record)
            gradebook.db.flush()
            for submitted in notebook.submissions:
                if kind == "grade":
                    gradebook.db.add(Grade(cell_id=record.id, notebook=submitted))
                elif kind == "solution":
                    gradebook.db.add(Comment(cell_id=record.id, notebook=submitted))
    gradebook.db.commit()
