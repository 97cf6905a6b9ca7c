"""The notebook of an assignment as students got it, and the points that its cells carry."""

from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.course.assignment import Assignment


def release_notebook(assignment: Assignment) -> NotebookNode:
    """The released notebook. Raises FileNotFoundError where there is none."""
    if not assignment.release.is_file():
        raise FileNotFoundError(
            f"release/{assignment.name}/{assignment.stem}.ipynb is missing: build it with `autograder release`"
        )
    return nbformat.read(assignment.release, as_version=4)


def declared_points(assignment: Assignment) -> dict[str, float]:
    """Points of each solution cell's test cell, from the release."""
    found: dict[str, float] = {}
    for cell in release_notebook(assignment).cells:
        mark: dict[str, Any] = cell.metadata.get("nbgrader", {})
        name = str(mark.get("grade_id", "")).removesuffix("-tests")
        if mark.get("grade") and name in assignment.upstream:
            found[name] = float(mark["points"])
    return found
