"""Which confinement there is on this machine."""

import os
from pathlib import Path
from typing import Literal

from autograder.faults import Fault
from autograder.sandbox import bubblewrap, gpu, landlock

Tier = Literal["namespaces", "landlock", "none"]


class NoSandbox(Fault):
    """Grading would run unknown code without confinement."""


class NoGpu(NoSandbox):
    """Grading would run without the GPU that was asked for, and blame the student."""


def choose(wanted: Literal["auto", "none"], root: Path) -> Tier:
    """The strongest tier that works here, for the course in `root`; `none` only where it was asked for.

    Raises NoSandbox, NoGpu among them.
    """
    if gpu.wanted() and (reason := _no_gpu()):
        raise NoGpu(f"{gpu.SWITCH}=1, but {reason}, or grade without {gpu.SWITCH}")
    if wanted == "none":
        return "none"
    if inside := next((p for p in bubblewrap.readable() if root.is_relative_to(p)), None):
        raise NoSandbox(f"the course lies in {inside}, which student code can read: put it in a folder of its own")
    no_namespaces = bubblewrap.works()
    if no_namespaces is None:
        return "namespaces"
    no_landlock = landlock.works()
    if no_landlock is None:
        return "landlock"
    raise NoSandbox(
        f"no sandbox on this machine (namespaces: {no_namespaces}; Landlock: {no_landlock}): grade on Linux 5.13 or "
        "newer, or in the container image, or pass --sandbox none for files of your own"
    )


def _no_gpu() -> str | None:
    import torch.version  # only where a GPU is asked for: it takes a second

    visible, root = os.environ.get(gpu.VISIBLE), os.geteuid() == 0
    return gpu.reason_against(visible=visible, cuda=torch.version.cuda, by_anyone=root)
