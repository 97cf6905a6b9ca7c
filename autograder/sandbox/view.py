"""What a worker sees besides Python: read only, and the same in every tier."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from autograder.course.assignment import Assignment
from autograder.datasets.download import cache_folder
from autograder.sandbox import gpu
from autograder.worker.cuda import HIDDEN


@dataclass(frozen=True)
class SandboxView:
    """Folders and variables of a worker.

    The subfolders of `files` stand in the working directory; `readable` folders stand at their own paths. A warm
    parent imports `modules` before a worker is asked for. `gpu` is the device file of the GPU that it may use.
    """

    files: Path | None = None
    readable: tuple[Path, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    modules: tuple[str, ...] = ()
    gpu: Path | None = None


NOTHING = SandboxView()


def sandbox_view(assignment: Assignment, on: Path | None = None) -> SandboxView:
    """The release's data folders, the models that set-up has prepared for the assignment, if any, and the GPU `on`."""
    seen = _without_gpu(assignment)
    if on is None:
        return seen
    folders = gpu.library_folders(os.environ.get("LD_LIBRARY_PATH", ""))
    found = (("LD_LIBRARY_PATH", ":".join(map(str, folders))),) if folders else ()
    return replace(
        seen,
        readable=(*seen.readable, *folders, gpu.SYSTEM),
        variables=(*seen.variables, *found, *HIDDEN.items()),
        gpu=on,
    )


def _without_gpu(assignment: Assignment) -> SandboxView:
    if not assignment.models:
        return SandboxView(assignment.release.parent, modules=assignment.modules)
    chosen = Path(os.environ["COURSE_MODEL"]).expanduser().absolute() if os.environ.get("COURSE_MODEL") else None
    folders = [cache_folder() / "models" / name for name in assignment.models]
    variables = {"COURSE_CACHE": str(cache_folder())}
    if chosen is not None and chosen.is_dir():
        folders.append(chosen)
        variables["COURSE_MODEL"] = str(chosen)
    readable = tuple(folder for folder in folders if folder.is_dir())
    return SandboxView(assignment.release.parent, readable, tuple(variables.items()), assignment.modules)
