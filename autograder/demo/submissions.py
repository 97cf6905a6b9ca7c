"""Write the sample submissions.

A student's folder in `samples/` holds a file for each solution cell that this student wrote differently from the
solved notebook; the file's name is the cell's id.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.assignments import Assignment
from autograder.faults import Fault
from autograder.files import write_whole
from autograder.grading.prepare import release_notebook
from autograder.notebooks.rebuild import grade_id

SAMPLE_MARK = "sample submission of the course's demonstration"
SAMPLES = Path(__file__).resolve().parent / "samples"


@dataclass(frozen=True)
class Sample:
    """One made-up student; `loses` names the solution cells in which this one must lose points."""

    student: str
    story: str
    loses: tuple[str, ...]
    blank: bool = False


STORIES: dict[str, tuple[Sample, ...]] = {
    "transformer-fundamentals": (
        Sample("ada", "everything right", ()),
        Sample("ben", "attention scores are not scaled", ("sdpa",)),
        Sample("chloe", "sines and cosines in halves, not in turn", ("positional-encoding",)),
        Sample("dario", "layer norm with the unbiased deviation, eps outside", ("layer-norm",)),
        Sample("elif", "the mean runs over padding, too", ("mini-transformer",)),
        Sample("farid", "gradients are never set to zero", ("train",)),
        Sample("gita", "nothing filled in", (), blank=True),
        Sample("hana", "a syntax error in one cell", ("feed-forward",)),
        Sample("ivan", "a loop that never ends in one function", ("simple-tokenizer",)),
    ),
    "llm-internals": (
        Sample("ada", "everything right", ()),
        Sample("ben", "entropy in bits", ("uncertainty",)),
        Sample("chloe", "top-p drops the token that crosses p", ("sampling",)),
        Sample("elif", "cache counted for every head", ("kv-cache-size",)),
        Sample("gita", "nothing filled in", (), blank=True),
    ),
}


class NotASample(Fault):
    """A real student's work stands where a sample would go. One line."""


def place_samples(assignment: Assignment, submitted: Path) -> list[Sample]:
    """Write `submitted/<student>/<assignment>/` for every sample of the assignment.

    Raises NotASample, before anything is written, where that would replace what is no sample.
    """
    samples = STORIES[assignment.name]
    targets = {sample: sample_file(assignment, submitted, sample) for sample in samples}
    for target in targets.values():
        if target.exists() and SAMPLE_MARK not in target.read_text(errors="replace"):
            raise NotASample(f"{target} is not a sample submission: the demonstration does not overwrite it")
    solved = nbformat.read(assignment.solution, as_version=4)
    for sample, target in targets.items():
        notebook = release_notebook(assignment) if sample.blank else _answered(solved, sample.student, assignment)
        notebook.metadata["title"] = f"{SAMPLE_MARK}: {sample.story}"
        write_whole(target, nbformat.writes(notebook) + "\n")
    return list(samples)


def sample_file(assignment: Assignment, submitted: Path, sample: Sample) -> Path:
    """Where `place_samples` writes this one's notebook."""
    return submitted / sample.student / assignment.name / f"{assignment.stem}.ipynb"


def _answered(solved: NotebookNode, student: str, assignment: Assignment) -> NotebookNode:
    """The solved notebook with this student's own cells, and with plain text in the written answers."""
    notebook = copy.deepcopy(solved)
    own = dict(_own_cells(SAMPLES / student / assignment.name))
    for cell in notebook.cells:
        name = grade_id(cell)
        if name in own:
            cell.source = own.pop(name)
        elif cell.cell_type == "markdown" and cell.metadata.get("nbgrader", {}).get("grade"):
            cell.source = f"A sample answer of {student}'s, for the marker to read."
    if own:
        raise ValueError(f"the sample of {student} has files for cells that do not exist: {', '.join(own)}")
    return notebook


def _own_cells(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.py")):
        yield path.stem, path.read_text().rstrip("\n")
