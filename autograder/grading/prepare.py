"""From a file that was handed in to a notebook that can be graded."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nbformat
from nbformat import NotebookNode

from autograder.assignments import Assignment
from autograder.notebooks.read import Unreadable, read_submission
from autograder.notebooks.rebuild import WrongNotebook, rebuild
from autograder.sandbox.surroundings import Surroundings
from autograder.sandbox.tiers import Tier, choose
from data.download import cache_folder


class NotGradable(Exception):
    """The file cannot be graded; one line for the student."""


@dataclass(frozen=True)
class Prepared:
    """A submission on the release's skeleton, and what it runs in."""

    notebook: NotebookNode
    notes: tuple[str, ...]
    tier: Tier
    seen: Surroundings


def release_notebook(assignment: Assignment) -> NotebookNode:
    if not assignment.release.is_file():
        raise FileNotFoundError(
            f"release/{assignment.name}/{assignment.stem}.ipynb is missing: build it with `autograder release`"
        )
    return nbformat.read(assignment.release, as_version=4)


def surroundings(assignment: Assignment) -> Surroundings:
    """The release's data folders and, for an assignment that uses models, those that set-up has prepared."""
    if not assignment.models:
        return Surroundings(assignment.release.parent, modules=assignment.modules)
    chosen = Path(os.environ["COURSE_MODEL"]).expanduser().absolute() if os.environ.get("COURSE_MODEL") else None
    folders = [cache_folder() / "models" / name for name in assignment.models]
    variables = {"COURSE_CACHE": str(cache_folder())}
    if chosen is not None and chosen.is_dir():
        folders.append(chosen)
        variables["COURSE_MODEL"] = str(chosen)
    readable = tuple(folder for folder in folders if folder.is_dir())
    return Surroundings(assignment.release.parent, readable, tuple(variables.items()), assignment.modules)


def prepare_submission(path: Path, assignment: Assignment, sandbox: Literal["auto", "none"] = "auto") -> Prepared:
    """Raises NotGradable for a file that is no submission, NoSandbox where nothing confines it."""
    tier = choose(sandbox)
    release = release_notebook(assignment)
    try:
        rebuilt = rebuild(release, read_submission(path), assignment)
    except (Unreadable, WrongNotebook) as error:
        raise NotGradable(str(error)) from None
    return Prepared(rebuilt.notebook, rebuilt.notes, tier, surroundings(assignment))
