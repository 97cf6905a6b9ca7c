"""What a worker sees besides Python: read only, and the same in every tier."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Surroundings:
    """Folders and variables of a worker.

    The subfolders of `files` stand in the working directory; `readable` folders stand at their own paths.
    """

    files: Path | None = None
    readable: tuple[Path, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


NOTHING = Surroundings()
