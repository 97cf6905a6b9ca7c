"""A first look at written answers, for the person who marks them: advice, never points."""

import re
from collections.abc import Iterator

from nbformat import NotebookNode

from autograder.course.assignment import Assignment
from autograder.notebooks.rebuild import grade_id, is_editable

PLACEHOLDERS = ("", "YOUR ANSWER HERE", "*Your answer here.*")
ANSWER_BELOW = "**Your answer:**"  # where question and answer share a cell
CITED = re.compile(r"\d|!\[|\b(figure|table|plot|cell|output|result)s?\b", re.IGNORECASE)


def advice(notebook: NotebookNode, assignment: Assignment) -> tuple[str, ...]:
    """A line for each written answer that is still the placeholder, is shorter than asked for, or cites no result."""
    return tuple(line for cell in notebook.cells if _is_written(cell) for line in _lines(cell, assignment.paragraphs))


def _is_written(cell: NotebookNode) -> bool:
    return cell.cell_type == "markdown" and is_editable(cell) and bool(cell.metadata.nbgrader.get("grade"))


def _lines(cell: NotebookNode, asked: int) -> Iterator[str]:
    name, text = grade_id(cell), cell.source.rpartition(ANSWER_BELOW)[2].strip()
    if text in PLACEHOLDERS:
        yield f"The answer {name} is still empty."
        return
    paragraphs = [p for p in re.split(r"\n\s*\n", text) if len(p.split()) > 5]
    if len(paragraphs) < asked:
        yield f"The answer {name} has {len(paragraphs)} of the {asked} paragraphs that are asked for."
    if asked > 1 and not CITED.search(text) and not cell.get("attachments"):
        yield f"The answer {name} cites no result of the notebook."
