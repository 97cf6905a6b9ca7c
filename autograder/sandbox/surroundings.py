"""What a worker sees besides Python: read only, and the same in every tier."""

from dataclasses import dataclass
from pathlib import Path


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
