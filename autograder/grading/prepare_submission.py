"""From a file that was handed in to a notebook that can be graded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nbformat import NotebookNode

from autograder.course.assignment import Assignment
from autograder.grading.execution import Budget, Execution
from autograder.notebooks.read_submission import Unreadable, read_submission
from autograder.notebooks.rebuild import WrongNotebook, rebuild
from autograder.notebooks.released import release_notebook
from autograder.results.result import Mode
from autograder.sandbox import gpu
from autograder.sandbox.tiers import Tier, choose
from autograder.sandbox.view import SandboxView, sandbox_view
from autograder.testing.findings import Pass


class NotGradable(Exception):
    """The file cannot be graded; one line for the student."""


@dataclass(frozen=True)
class Prepared:
    """A submission on the release's skeleton, and what it runs in."""

    notebook: NotebookNode
    notes: tuple[str, ...]
    tier: Tier
    seen: SandboxView


def prepare_submission(path: Path, assignment: Assignment, sandbox: Literal["auto", "none"] = "auto") -> Prepared:
    """Raises NotGradable for a file that is no submission, NoSandbox where nothing confines it.

    Where GPUs are used, the submission has one until `gpu.give_back`.
    """
    tier = choose(sandbox, assignment.root)
    release = release_notebook(assignment)
    try:
        rebuilt = rebuild(release, read_submission(path), assignment)
    except (Unreadable, WrongNotebook) as error:
        raise NotGradable(str(error)) from None
    return Prepared(rebuilt.notebook, rebuilt.notes, tier, sandbox_view(assignment, gpu.take()))


def pass_over(path: Path, assignment: Assignment, sandbox: Literal["auto", "none"], mode: Mode) -> Pass:
    """A pass of the hidden tests over the notebook in `path`, without a limit on its time."""
    prepared = prepare_submission(path, assignment, sandbox)
    return Pass(assignment, Execution(prepared.notebook, prepared.tier, prepared.seen, mode, Budget(float("inf"))))
