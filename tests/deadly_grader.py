"""Stands for a grading process in which things go wrong; without imports, for each process imports it anew."""

import os
import signal
import time
from pathlib import Path


def grade(path: Path, settings: object) -> str:
    """A process that the system kills, for want of memory say; a full disk; a long wait; or a grade, told to a file."""
    if path.stem.startswith("ada"):
        os.kill(os.getpid(), signal.SIGKILL)
    if path.stem == "broke":
        raise OSError(28, "No space left on device")
    if path.stem == "slow":
        path.write_text(str(os.getpid()))
        time.sleep(60)
    if path.stem.startswith("told"):
        path.touch()
    return "graded"
