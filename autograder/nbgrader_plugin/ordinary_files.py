"""What stock nbgrader copies from beside a submitted notebook: ordinary files alone."""

import stat
from pathlib import Path

from nbgrader import utils
from nbgrader.converters import base


def copy_ordinary_files_only() -> None:
    """Keep nbgrader's converters from following links out of a submission and from reading pipes and devices."""
    base.find_all_files = _ordinary_files


def _ordinary_files(path: str, exclude: list[str] | None = None) -> list[str]:
    return [name for name in utils.find_all_files(path, exclude) if stat.S_ISREG(Path(name).lstat().st_mode)]
