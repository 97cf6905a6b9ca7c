"""Write the sample submissions.

In an assignment's folder of graders, `samples/stories.toml` says who there is; `samples/STUDENT/` holds a file for each
solution cell that this student wrote differently from the solved notebook, with the cell's id as its name.
"""

import copy
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.course.assignment import Assignment
from autograder.faults import Fault
from autograder.files import write_whole
from autograder.notebooks.rebuild import grade_id
from autograder.notebooks.released import release_notebook

SAMPLE_MARK = "sample submission of the course's demonstration"
SAMPLES = "samples"  # in the folder of an assignment's graders


@dataclass(frozen=True)
class Sample:
    """One made-up student; `loses` names the solution cells in which this one must lose points."""

    student: str
    story: str
    loses: tuple[str, ...]
    blank: bool = False


def samples_of(assignment: Assignment) -> tuple[Sample, ...]:
    """The made-up students of an assignment, by its `samples/stories.toml`; none where there is no such file."""
    stories = assignment.graders / SAMPLES / "stories.toml"
    if not stories.is_file():
        return ()
    entries = tomllib.loads(stories.read_text(encoding="utf-8")).items()
    return tuple(
        Sample(student, entry["story"], tuple(entry.get("loses", ())), entry.get("blank", False))
        for student, entry in entries
    )


class NotASample(Fault):
    """A real student's work stands where a sample would go. One line."""


def place_samples(assignment: Assignment, submitted: Path) -> list[Sample]:
    """Write `submitted/<student>/<assignment>/` for every sample of the assignment.

    Raises NotASample, before anything is written, where that would replace what is no sample.
    """
    samples = samples_of(assignment)
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
    own = dict(_own_cells(assignment.graders / SAMPLES / student))
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
