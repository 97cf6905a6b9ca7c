"""From a file that was handed in to a notebook that can be graded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nbformat
from nbformat import NotebookNode

from autograder.assignments import Assignment
from autograder.notebooks.read import Unreadable, read_submission
from autograder.notebooks.rebuild import WrongNotebook, rebuild
from autograder.sandbox import gpu
from autograder.sandbox.tiers import Tier, choose
from autograder.sandbox.view import SandboxView, sandbox_view


class NotGradable(Exception):
    """The file cannot be graded; one line for the student."""


@dataclass(frozen=True)
class Prepared:
    """A submission on the release's skeleton, and what it runs in."""

    notebook: NotebookNode
    notes: tuple[str, ...]
    tier: Tier
    seen: SandboxView


def release_notebook(assignment: Assignment) -> NotebookNode:
    if not assignment.release.is_file():
        raise FileNotFoundError(
            f"release/{assignment.name}/{assignment.stem}.ipynb is missing: build it with `autograder release`"
        )
    return nbformat.read(assignment.release, as_version=4)


def prepare_submission(path: Path, assignment: Assignment, sandbox: Literal["auto", "none"] = "auto") -> Prepared:
    """Raises NotGradable for a file that is no submission, NoSandbox where nothing confines it.

    Where GPUs are used, the submission has one until `gpu.give_back`.
    """
    tier = choose(sandbox)
    release = release_notebook(assignment)
    try:
        rebuilt = rebuild(release, read_submission(path), assignment)
    except (Unreadable, WrongNotebook) as error:
        raise NotGradable(str(error)) from None
    return Prepared(rebuilt.notebook, rebuilt.notes, tier, sandbox_view(assignment, gpu.take()))
