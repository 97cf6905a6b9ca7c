"""Files that are written whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

UNFINISHED = ".unfinished-"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` so that a reader, or a crash, sees the old file or the new one and nothing between.

    Half of a character pair, as broken notebooks and file names hold, becomes a question mark.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    # a name of its own length: one made from `path` could be too long
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """Have the new name survive a power cut, where the system can (Windows opens no folders)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def printable(name: str) -> str:
    """A file's or folder's name for a one-line message: line breaks, terminal escapes and broken text become `?`."""
    return "".join(c if c.isprintable() else "?" for c in name)


def sweep(folder: Path) -> None:
    """Remove what a killed `write_whole` left in `folder`; only for who knows that nobody else writes there."""
    for left in folder.glob(f"{UNFINISHED}*"):
        left.unlink(missing_ok=True)
