"""The reference: the solution cells of the instructor's notebook, the one place where the answers are written."""

from functools import cache
from typing import Any

import jupytext

from autograder.assignments import Assignment
from autograder.grading.subject import Reference
from autograder.notebooks.rebuild import grade_id


@cache
def _names(assignment: Assignment) -> dict[str, Any]:
    notebook = jupytext.read(assignment.source.with_suffix(".py"))
    names: dict[str, Any] = {"__name__": f"reference_{assignment.stem}"}
    for cell in notebook.cells:
        name = grade_id(cell)
        if cell.cell_type == "code" and (name == "setup-imports" or name in assignment.upstream):
            exec(compile(cell.source, f"<reference {name}>", "exec"), names)  # the instructor's own text
    return names


def reference(assignment: Assignment) -> Reference:
    """A fresh view of the reference; its cells are run once a process."""
    return Reference(dict(_names(assignment)), assignment.graders / "drivers")
