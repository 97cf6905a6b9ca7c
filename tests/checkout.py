"""A copy of this checkout to run whole commands in, so that nobody's submissions or gradebook are touched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = (
    ".git", ".venv", ".course-secret", "submitted", "autograded", "feedback", "results", "gradebook.db", "exchange",
    "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis", "*.egg-info",
)  # fmt: skip


def copy_checkout(folder: Path) -> Path:
    """Copy everything that git tracks or would; give the copy's root."""

    def left_out(place: str, names: list[str]) -> set[str]:
        # autograder/feedback is a package of ours, feedback/ in the root is nbgrader's
        ignored = shutil.ignore_patterns(*LEFT_OUT)(place, names)
        return ignored if Path(place) == ROOT else ignored & {"__pycache__"}

    return Path(shutil.copytree(ROOT, folder / "course", ignore=left_out, symlinks=True))


def run_in(root: Path, *command: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment in a copy: `autograder`, `nbgrader` and `pytest` by name."""
    binaries = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": os.pathsep.join((str(binaries), os.environ.get("PATH", os.defpath))),
        "PYTHONPATH": str(root),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=timeout)
