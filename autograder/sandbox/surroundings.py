"""What a worker sees besides Python: read only, and the same in every tier."""

import os
from dataclasses import dataclass
from pathlib import Path

from autograder.course.assignment import Assignment
from autograder.datasets.download import cache_folder


@dataclass(frozen=True)
class Surroundings:
    """Folders and variables of a worker.

    The subfolders of `files` stand in the working directory; `readable` folders stand at their own paths. A warm
    parent imports `modules` before a worker is asked for.
    """

    files: Path | None = None
    readable: tuple[Path, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    modules: tuple[str, ...] = ()


NOTHING = Surroundings()


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
