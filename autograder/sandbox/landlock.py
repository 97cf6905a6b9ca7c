"""The second tier, where namespaces are forbidden: Landlock, a filter of system calls, and an unused user for root."""

import os
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from autograder import limits
from autograder.sandbox import bubblewrap, gpu, supervisor, usage
from autograder.sandbox.view import SandboxView
from autograder.worker import landlock_rules
from autograder.worker.syscalls import UnknownMachine, machine

DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")
FACTS = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm/overcommit_memory")
SEARCH = 1 << 2  # CAP_DAC_READ_SEARCH


class Place:
    """The folders of one worker: `work`, which it starts in, `tmp`, and `code`, which it may only read."""

    def __init__(self, seen: SandboxView, uid: int | None) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="worker-"))
        self.top.chmod(0o755)
        self.work, self.tmp, self.code = (self.top / name for name in ("work", "tmp", "code"))
        self.data = [e for e in sorted(seen.files.iterdir()) if _shown(e)] if seen.files is not None else []
        for folder in (self.work, self.tmp, self.code):
            folder.mkdir()
            folder.chmod(0o755)
        if uid is not None:
            for folder in (self.work, self.tmp):
                os.chown(folder, uid, uid)
        (self.code / "worker").symlink_to(bubblewrap.WORKER)
        for entry in self.data:
            (self.work / entry.name).symlink_to(entry.resolve())
        self.readable = [*bubblewrap.SYSTEM, *FACTS, *map(str, bubblewrap.interpreter())]
        self.readable += [str(p.resolve()) for p in (*self.data, *seen.readable, bubblewrap.WORKER)]
        self.readable.append(str(self.code))
        self.gpu = [str(file) for file in gpu.device_files(seen.gpu)] if seen.gpu is not None else []

    def environment(self, seen: SandboxView) -> dict[str, str]:
        return bubblewrap.environment(home=self.work, temporary=self.tmp, package_parent=self.code) | dict(
            seen.variables
        )


class Inside:
    """The process group that a supervisor has started, and what it has written."""

    in_memory = False

    def __init__(self, outer: int, place: Place) -> None:
        (self.leader,) = usage.children(outer)
        self.place = place

    def processes(self) -> list[Path]:
        return usage.group(self.leader)

    def storage(self, processes: Sequence[Path]) -> tuple[int, int]:
        return usage.folder(self.place.top, processes, limits.SCRATCH_FILES)


def command(inside: list[str], place: Place) -> list[str]:
    """The command line that runs `inside` under a supervisor, which removes the place in the end."""
    return [sys.executable, "-I", "-S", str(Path(supervisor.__file__)), str(place.top), *inside]


def confinement(place: Place, uid: int | None) -> dict[str, Any]:
    """What the worker does to itself, besides the limits of every tier."""
    allowed = {
        "readable": [*place.readable, *(gpu.FACTS if place.gpu else ())],
        "writable": [str(place.work), str(place.tmp)],
        "devices": [*DEVICES, *(["/dev/zero"] if place.gpu else [])],
        "gpu": place.gpu,
        "version": landlock_rules.abi(),
    }
    out: dict[str, Any] = {"landlock": allowed, "search": uid is not None and needs_search()}
    if uid is None:  # the limit counts all processes of the user who grades
        out["NPROC"] = limits.PROCESSES + usage.threads(os.getuid())
    return out


@cache
def works() -> str | None:
    """None where this tier can confine a worker; else the reason, one line."""
    try:
        machine()
    except UnknownMachine as error:
        return str(error)
    if landlock_rules.abi() == 0:
        return "the kernel has no Landlock"
    if needs_search() and not _may_search():
        return f"other users may not enter {sys.prefix} or {sys.base_prefix}"
    return None


def needs_search() -> bool:
    """Whether a worker must read past the modes of folders: root grades, with an interpreter that only root reaches."""
    return os.geteuid() == 0 and not _open_to_all()


def _shown(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _open_to_all() -> bool:
    """Whether a user without rights of its own reaches the interpreter and the worker."""
    places = {*bubblewrap.interpreter(), bubblewrap.WORKER}
    return all(p.stat().st_mode & 0o001 for place in places for p in (place, *place.parents) if p.exists())


def _may_search() -> bool:
    """Whether root has the power, which containers may withhold, to reach folders closed to others."""
    status = Path("/proc/self/status").read_text()
    held = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(held & SEARCH)
