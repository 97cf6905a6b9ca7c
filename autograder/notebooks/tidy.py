"""Reduce a notebook's metadata to what students and graders need, so that no editor's or machine's traces go out."""

from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode, from_dict
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.notebooks.pairing import KERNEL

LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}
CELL_METADATA = ("nbgrader", "tags", "jupyter", "deletable", "editable")


def tidy(notebook: NotebookNode) -> NotebookNode:
    """The notebook, changed in place: one kernel for everybody, no version, times, window state or pairing."""
    notebook.metadata = from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    for cell in notebook.cells:
        cell.metadata = from_dict({key: cell.metadata[key] for key in CELL_METADATA if key in cell.metadata})
    return notebook


class TidyNotebook(NbGraderPreprocessor):
    """`tidy` as a step of nbgrader's converters."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        return tidy(nb), resources
