"""The reference: the solution cells of the instructor's notebook, the one place where the answers are written."""

from functools import cache
from typing import Any

import jupytext

from autograder.course.assignment import Assignment
from autograder.notebooks.rebuild import grade_id
from autograder.testing.subject import Reference

IMPORTS = "setup-imports"


@cache
def reference_cells(assignment: Assignment) -> dict[str, str]:
    """The text of the set-up's imports, with that of the cells given, and of each solution cell, by cell id."""
    notebook = jupytext.read(assignment.source.with_suffix(".py"))
    sources = {grade_id(cell): cell.source for cell in notebook.cells if cell.cell_type == "code"}
    setup = "\n\n".join(sources[name] for name in (IMPORTS, *assignment.given))
    return {IMPORTS: setup} | {name: source for name, source in sources.items() if name in assignment.upstream}


@cache
def _names(assignment: Assignment) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": f"reference_{assignment.stem}"}
    for cell, source in reference_cells(assignment).items():
        exec(compile(source, f"<reference {cell}>", "exec"), names)  # the instructor's own text
    return names


def reference(assignment: Assignment) -> Reference:
    """A fresh view of the reference; its cells are run once a process."""
    return Reference(dict(_names(assignment)), assignment)
