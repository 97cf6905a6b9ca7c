"""GPUs for student code, where `COURSE_GPU=1` asks for them: which there are, what a worker needs, whose turn it is.

A submission has one GPU at a time, and a GPU one submission: grading processes, also those of several commands, take
turns. Turns are locks on the device files themselves, so that they end with the process that holds them.
"""

import fcntl
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SWITCH = "COURSE_GPU"
DEVICES = Path("/dev")
CONTROL, MEMORY = "nvidiactl", "nvidia-uvm"  # every program that uses CUDA opens them
TOOLS = "nvidia-uvm-tools"  # and this one, where the driver has it
VISIBLE = "CUDA_VISIBLE_DEVICES"
LIBRARY = "libcuda.so.1"
# what CUDA reads besides; the first tier's own `/proc` has it
FACTS = (
    "/proc/driver/nvidia",
    "/proc/driver/nvidia-uvm",
    "/proc/devices",
    "/proc/modules",
    "/proc/sys/vm/mmap_min_addr",
)
SYSTEM = Path("/sys")
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Turn:
    """A GPU that this process has for a submission, by its device file, and the descriptor that holds the lock."""

    gpu: Path
    descriptor: int


def wanted() -> bool:
    """Whether student code is to have a GPU."""
    return os.environ.get(SWITCH) == "1"


def gpus(devices: Path = DEVICES, visible: str | None = None) -> list[Path]:
    """The device files of the GPUs that this process may open, by number.

    `visible` is the value of CUDA_VISIBLE_DEVICES: of several numbers only those count.

    >>> gpus(Path("/nowhere"))
    []
    """
    found = {int(m[1]): devices / m[0] for p in devices.glob("nvidia*") if (m := re.fullmatch(r"nvidia(\d+)", p.name))}
    chosen = set(found) if visible is None else {int(n) for n in visible.split(",") if n.strip().isdecimal()}
    return [found[number] for number in sorted(found) if number in chosen and _refusal(found[number]) is None]


def device_files(gpu: Path) -> list[Path]:
    """What a worker opens to compute on `gpu`."""
    tools = gpu.parent / TOOLS
    return [gpu, gpu.parent / CONTROL, gpu.parent / MEMORY, *([tools] if tools.exists() else [])]


def library_folders(search: str) -> list[Path]:
    """Folders of `search` (LD_LIBRARY_PATH) that hold the driver's library; the system's own are known without that."""
    return [Path(folder) for folder in search.split(":") if folder and (Path(folder) / LIBRARY).exists()]


def reason_against(
    devices: Path = DEVICES, visible: str | None = None, cuda: str | None = None, *, by_anyone: bool = False
) -> str | None:
    """None where student code can have a GPU; else what is missing and what to do, in words.

    `cuda` is the version of CUDA that torch was built with, and `by_anyone` whether workers are users without rights.
    """
    for name, remedy in ((CONTROL, "load NVIDIA's driver"), (MEMORY, "run `nvidia-modprobe -u -c 0`")):
        if not (devices / name).exists():
            return f"there is no {devices / name}: {remedy}"
    usable = gpus(devices, visible)
    if not usable and (every := sorted(devices.glob("nvidia[0-9]*"))) and visible is None:
        return f"{every[0]} cannot be opened ({_refusal(every[0])}): give this process access to it"
    if not usable:
        chosen = f" among {VISIBLE}={visible} (numbers are understood)" if visible is not None else ""
        return f"there is no {devices}/nvidia0 or other GPU{chosen}: grade on a machine with a GPU"
    for file in device_files(usable[0]):
        if refused := _refusal(file):
            return f"{file} cannot be opened ({refused}): give this process access to it"
        if by_anyone and file.stat().st_mode & 0o006 != 0o006:
            return f"{file} is closed to the user without rights that student code runs as: chmod 0666 {file}"
    if cuda is None:
        return "this torch was built without CUDA: install a build with CUDA"
    return None


def take() -> Path | None:
    """The GPU of this process's submission, after waiting for a turn; None where grading does without one.

    It stays this process's until `give_back`. `tiers.choose` has found before that there is one.
    """
    if not wanted():
        return None
    if not _turns:
        usable = gpus(visible=os.environ.get(VISIBLE))
        _turns.append(wait_for_turn(sorted(usable, key=lambda gpu: gpu != _last.get("gpu"))))
        _last["gpu"] = _turns[0].gpu  # its workers' parent is warm
    return _turns[0].gpu


def give_back() -> None:
    """End this process's turn. Its workers have ended before."""
    while _turns:
        os.close(_turns.pop().descriptor)


def wait_for_turn(usable: Sequence[Path]) -> Turn:
    """Wait until one of these GPUs is free, and hold it. Who came first has the next one that gets free."""
    queue = os.open(usable[0].parent / CONTROL, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(queue, fcntl.LOCK_EX)
        while True:
            for gpu in usable:
                descriptor = os.open(gpu, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return Turn(gpu, descriptor)
                except BlockingIOError:
                    os.close(descriptor)
            time.sleep(POLL_SECONDS)
    finally:
        os.close(queue)


_turns: list[Turn] = []
_last: dict[str, Path] = {}


def _refusal(file: Path) -> str | None:
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror
    return None
