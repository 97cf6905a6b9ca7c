"""What a notebook still lacks before it can be handed in, as far as its text tells."""

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

from autograder.notebooks.rebuild import grade_id, is_editable
from autograder.notebooks.written import ANSWER_BELOW, PLACEHOLDERS


def is_unfilled(source: str) -> bool:
    """Whether a code cell is empty or still raises NotImplementedError where the release does.

    >>> is_unfilled("def f(x):\\n    # YOUR CODE HERE\\n    raise NotImplementedError()")
    True
    >>> is_unfilled("def f(x):\\n    return x  # no longer: raise NotImplementedError()")
    False
    """
    if not source.strip():
        return True
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return re.search(r"^\s*raise NotImplementedError\(\)\s*$", source, re.MULTILINE) is not None
    return any(_is_stub(node) for node in ast.walk(tree) if isinstance(node, ast.Raise))


def empty_answers(notebook: NotebookNode) -> Iterator[str]:
    """The names of written answers that are still the placeholder."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and is_editable(cell):
            answer = cell.source.rpartition(ANSWER_BELOW)[2].strip()
            if answer in PLACEHOLDERS or answer.endswith(tuple(filter(None, PLACEHOLDERS))):
                yield grade_id(cell) or "without a name"


def _is_stub(node: ast.Raise) -> bool:
    raised = node.exc.func if isinstance(node.exc, ast.Call) and not node.exc.args else node.exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
