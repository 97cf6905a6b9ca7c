"""How much memory and room on disk a worker's processes use, measured from outside."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

PROC = Path("/proc")
QUICK = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap|VmPTE):\s*(\d+) kB", re.M)
EXACT = re.compile(rb"^(?:Pss_Anon|Pss_Shmem|SwapPss):\s*(\d+) kB", re.M)


# what was listed a moment ago is gone, or is a file now
CHANGING = (FileNotFoundError, NotADirectoryError)


class Uncountable(Exception):
    """Files are laid out so that they cannot be counted."""


def children(parent: int) -> list[int]:
    return [pid for pid, fields in _stats() if fields[1] == str(parent)]


def group(leader: int) -> list[Path]:
    """The processes of a process group."""
    return [PROC / str(pid) for pid, fields in _stats() if fields[2] == str(leader)]


def threads(uid: int) -> int:
    """How many processes and threads a user has."""
    count = 0
    for entry in os.scandir(PROC):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                count += sum(1 for _ in os.scandir(f"{entry.path}/task"))
    return count


def memory(processes: Sequence[Path], limit: int) -> int:
    """Bytes of memory that these processes hold for themselves; exact only where a quick bound is over `limit`."""
    quick = sum(_kilobytes(p / "status", QUICK) or 0 for p in processes) * 1024
    if quick <= limit:
        return quick
    # pages that a fork shares are counted once here, and more than once above
    return sum(_kilobytes(p / "smaps_rollup", EXACT) or _kilobytes(p / "status", QUICK) or 0 for p in processes) * 1024


def mounts(places: Sequence[Path]) -> tuple[int, int]:
    """Bytes and files in file systems of their own."""
    used = files = 0
    for place in places:
        with contextlib.suppress(OSError):
            found = os.statvfs(place)
            used += (found.f_blocks - found.f_bfree) * found.f_frsize
            files += found.f_files - found.f_ffree
    return used, files


def folder(top: Path, processes: Sequence[Path], most_files: int) -> tuple[int, int]:
    """Bytes and files below `top`, and bytes of deleted files that the processes still hold open."""
    used = files = 0
    waiting = [str(top)]
    while waiting and files <= most_files:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    with contextlib.suppress(*CHANGING):
                        used += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except CHANGING:
            continue
        except OSError as error:
            if error.errno == errno.ELOOP:
                continue
            if error.errno in (errno.EACCES, errno.ENAMETOOLONG):
                raise Uncountable from None
            raise
    return used + sum(_deleted(p) for p in processes), files


def memory_files(processes: Sequence[Path]) -> int:
    """Bytes of the files without a name, made by `memfd_create`, that these processes hold open."""
    held: dict[int, int] = {}
    for process in processes:
        with contextlib.suppress(OSError):
            for one in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(one.readlink()).startswith("/memfd:"):
                        found = one.stat()
                        held[found.st_ino] = found.st_blocks * 512
    return sum(held.values())


def _deleted(process: Path) -> int:
    held: dict[tuple[int, int], int] = {}
    with contextlib.suppress(OSError):
        for one in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                found = one.stat()
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                    held[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(held.values())


def _kilobytes(file: Path, pattern: re.Pattern[bytes]) -> int | None:
    try:
        found = pattern.findall(file.read_bytes())
    except OSError:  # it has ended, or may not be looked into
        return None
    return sum(map(int, found)) if found else None


def _stats() -> Iterator[tuple[int, list[str]]]:
    """Each process of this machine, with what follows its name in `stat`: state, parent, group, ..."""
    for entry in os.scandir(PROC):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                text = (PROC / entry.name / "stat").read_text(errors="replace")
                yield int(entry.name), text[text.rindex(")") + 2 :].split()
