"""Build a folder beside the one that it replaces, and put it in place in one step."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """An empty folder on the file system of `target`, gone afterwards; one process at a time works beside a target.

    A swap that was interrupted earlier is put right first: the old folder comes back where no new one arrived.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    stage, old = _beside(target, "new"), _beside(target, "old")
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if old.exists() and not target.exists():
            old.rename(target)
        _remove(old)
        _remove(stage)
        stage.mkdir()
        try:
            yield stage
        finally:
            _remove(stage)
    finally:
        os.close(handle)


def swap(new: Path, target: Path) -> None:
    """Put the folder `new` in place of `target`, which is renamed first and removed last. For use in `staging`."""
    old = _beside(target, "old")
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    _remove(old)


def _beside(target: Path, kind: str) -> Path:
    # hidden, so that nbgrader's listings of assignments pass over it
    return target.with_name(f".{target.name}.{kind}")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
