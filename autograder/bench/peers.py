"""The other autograders, in an environment of their own that borrows this one's torch and Jupyter."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from autograder.faults import Fault

OTTER = "otter-grader==7.0.0"


class NoPeers(Fault):
    """The peers cannot be installed; one line."""


def environment(folder: Path) -> Path:
    """The folder with the peers' programs; installed on first use."""
    programs = folder / "bin"
    if (folder / ".ready").is_file():
        return programs
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, capture_output=True)
        own = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        (own / "course.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([programs / "pip", "install", "--quiet", OTTER], check=True, capture_output=True, text=True)
    except (subprocess.CalledProcessError, OSError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise NoPeers(f"cannot install {OTTER} into {folder}: {said[-1] if said else error}") from None
    (folder / ".ready").touch()
    return programs


def plain_environment(*first_on_path: Path) -> dict[str, str]:
    """Variables for every system alike: one thread each, no hub, these programs first."""
    path = os.pathsep.join([*map(str, first_on_path), os.environ.get("PATH", "")])
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return os.environ | one | {"PATH": path, "MPLBACKEND": "agg", "PYTHONWARNINGS": "ignore"}
