"""What nbconvert does to a notebook before it becomes a page: clean it again, and bound its text and its pictures.

It stands alone, since importing nbconvert takes a while, and neither grading nor a student's check renders anything.
"""

from typing import Any

import nbformat
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from traitlets import Bool

from autograder.feedback.clean import clean_notebook, is_test_cell
from autograder.feedback.picture_limits import Allowance

SOURCE_CHARACTERS = 300_000  # of all sources: parsing a hostile 20,000 of them can take two seconds
NOT_SHOWN = "(picture not shown: the page has too many)"


class CleanNotebook(Preprocessor):
    """Cleans once more at rendering, in feedback pages and the formgrader: a graded file may come from elsewhere."""

    enabled = Bool(True).tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        clean_notebook(nb, keep_feedback=True)
        _keep_bearable_pictures(nb)
        left = SOURCE_CHARACTERS
        for cell in nb.cells:
            if len(cell.source) > left:
                cell.source = f"{cell.source[:left]}\n# ... (cut here: the notebook is too long to show)"
            left = max(0, left - len(cell.source))
            if cell.cell_type == "raw":
                # nbconvert prints a raw cell as HTML
                cell.cell_type = "code"
                cell.update(outputs=[], execution_count=None)
        return nb, resources


def _keep_bearable_pictures(notebook: NotebookNode) -> None:
    """Describe the pictures of a clean notebook that the student's cells have made, and leave out what is too much."""
    room = Allowance()
    for cell in notebook.cells:
        for output in cell.get("outputs", []) if not is_test_cell(cell) else ():
            if picture := output.get("data", {}).get("image/png"):
                if room.takes(picture):
                    name = cell.metadata.get("nbgrader", {}).get("grade_id", cell.id)
                    output.metadata["image/png"] = {"alt": f"figure of the student's cell {name}"}
                else:
                    output.data = nbformat.from_dict({"text/plain": NOT_SHOWN})
        kept = {n: b for n, b in cell.get("attachments", {}).items() if all(map(room.takes, b.values()))}
        if "attachments" in cell:
            cell.attachments = nbformat.from_dict(kept)
