"""What a process may read and write, by Landlock: system calls of the kernel's that Python has no functions for."""

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from .syscalls import UnknownMachine, call

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL = 1, 2, 4, 8, 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL
RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # by the version that brought them
TCP = 3  # bind and connect, from version 4
SCOPES = 3  # abstract sockets and signals, from version 6


def abi() -> int:
    """The version of Landlock here; 0 where there is none."""
    try:
        return max(0, call("landlock_create_ruleset", None, 0, 1))
    except (OSError, UnknownMachine):
        return 0


def ruleset(
    readable: Sequence[str], writable: Sequence[str], devices: Sequence[str], gpu: Sequence[str], version: int
) -> int:
    """A descriptor of the rules: read below `readable`, all below `writable`, read and write `devices`, use `gpu`.

    CUDA writes the names of its threads below `/proc/self`, and does not start where it may not.
    """
    handled = RIGHTS[max(v for v in RIGHTS if v <= version)]
    # a longer form than the kernel knows is accepted if the rest is zero
    form = struct.pack("=QQQ", handled, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0)
    made = call("landlock_create_ruleset", ctypes.create_string_buffer(form, len(form)), len(form), 0)
    granted = (
        (readable, READ),
        (writable, handled & ~IOCTL),
        (devices, READ_FILE | WRITE_FILE),
        (gpu, READ_FILE | WRITE_FILE | IOCTL),
        (["/proc/self"] if gpu else [], READ | WRITE_FILE | TRUNCATE),
    )
    for places, rights in granted:
        for place in places:
            _allow(made, place, rights & handled)
    return made


def restrict(made: int) -> None:
    """Hold this process, and all that it starts, to the rules. It must have given up new privileges."""
    call("landlock_restrict_self", made, 0)
    os.close(made)


def _allow(made: int, place: str, rights: int) -> None:
    try:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        below = rights if Path(place).is_dir() else rights & FILE_RIGHTS
        form = struct.pack("=Qi", below, opened)
        call("landlock_add_rule", made, 1, ctypes.create_string_buffer(form, len(form)), 0)
    finally:
        os.close(opened)
