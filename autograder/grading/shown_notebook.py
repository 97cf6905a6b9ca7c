"""The graded notebook as it is shown: outputs of this run, the student's own in demonstrations, and pictures."""

import copy
from collections.abc import Mapping

from nbformat import NotebookNode

from autograder.diagnosis.diagnose import Remark
from autograder.feedback.cells import picture_output
from autograder.feedback.clean import clean_outputs
from autograder.grading.execution import CellRun, is_demo
from autograder.grading.shown_outputs import ShownOutputs
from autograder.notebooks.rebuild import grade_id
from autograder.testing.findings import Pass


def shown_notebook(
    notebook: NotebookNode, runs: Mapping[int, CellRun], found: Pass, remarks: Mapping[str, Remark]
) -> NotebookNode:
    """A copy of the rebuilt `notebook` with what its cells gave, by index, and each picture below its test cell."""
    shown = _with_outputs(notebook, runs)
    for finding in found.findings:
        picture = remarks[finding.name].picture if finding.name in remarks else None
        if picture is not None:
            place = found.assignment.test_cell(finding.cell)
            for cell in (c for c in shown.cells if grade_id(c) == place):
                cell.outputs.append(picture_output(picture.png, picture.caption))
    return shown


def _with_outputs(notebook: NotebookNode, runs: Mapping[int, CellRun]) -> NotebookNode:
    notebook = copy.deepcopy(notebook)
    shown = ShownOutputs()
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        own = cell.outputs
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.outputs = []
        elif i in runs:
            run = runs[i]
            keep_own = run.error is not None and cell.metadata.get("course", {}).get("added")
            cell.outputs = shown.fit(clean_outputs(own) if keep_own and own else run.outputs)
        else:
            cell.outputs = shown.fit(clean_outputs(own))
            if is_demo(cell) and own:
                cell.metadata["course"] = {"not_rerun": True}
    return notebook
