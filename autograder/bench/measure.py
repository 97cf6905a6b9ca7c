"""What one command costs: wall seconds, processor seconds and peak memory of it and all that it starts."""

import contextlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOK_SECONDS = 0.25
LOOKS_AT_MEMORY = 8  # one of so many: the system goes through all pages for it, which takes time from what is measured
WORKERS = {"worker", "worker.fork_server"}  # modules that run in a sandbox


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of processors, and memory in bytes.

    `memory` is the most that all processes held together, pages that several of them share counted once, and
    `memory_by_look` the same at each look; `worker` is the most that one sandboxed process had, but for files.
    """

    wall: float
    cpu: float
    memory: int
    code: int
    output: str
    memory_by_look: tuple[int, ...] = ()
    worker: int = 0

    def growth(self) -> float:
        """Memory in the last quarter of the run by that in the second."""
        quarter, looks = len(self.memory_by_look) // 4, self.memory_by_look
        return statistics.median(looks[3 * quarter :]) / max(statistics.median(looks[quarter : 2 * quarter] or (1,)), 1)


def cost_of(command: Sequence[str], folder: Path, environment: Mapping[str, str], cores: int | None = None) -> Cost:
    """Run `command` to its end, on the first `cores` processors that there are for us (None: on all).

    Processor time is the most that was seen of all processes together, with that of children that had ended.
    """
    start = time.monotonic()
    memory: list[int] = []
    cpu, worker, looks = 0.0, 0, 0
    allowed = set(sorted(os.sched_getaffinity(0))[:cores])
    with (folder / "output.log").open("w+") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdout=log, stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        )  # fmt: skip
        while process.poll() is None:
            processes = _processes(process.pid)
            cpu = max(cpu, _processor_seconds(processes))
            if looks % LOOKS_AT_MEMORY == 0:
                held, largest = _memory(processes)
                memory.append(held)
                worker = max(worker, largest)
            looks += 1
            time.sleep(LOOK_SECONDS)
        wall = time.monotonic() - start
        log.seek(0)
        most = max(memory, default=0)
        return Cost(wall, cpu, most, process.returncode, log.read(), tuple(memory), worker)


def remains() -> Iterator[str]:
    """Processes of workers, and folders of theirs, on a machine where nobody else grades."""
    for process in psutil.process_iter(["cmdline", "create_time"]):
        line = " ".join(process.info["cmdline"] or [])
        if "-m worker" in line or "bwrap" in line:
            yield f"process {process.pid}: {line[:80]}"
    yield from (str(path) for path in Path(tempfile.gettempdir()).glob("worker-*"))


def _processes(pid: int) -> list[psutil.Process]:
    """The process `pid` and all below it."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _processor_seconds(processes: Sequence[psutil.Process]) -> float:
    """What they have used, and what those that have ended had used when their parents heard of it."""
    found = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            found += times.user + times.system + times.children_user + times.children_system
    return found


def _memory(processes: Sequence[psutil.Process]) -> tuple[int, int]:
    """What they hold together, and the most of a sandboxed one."""
    held = worker = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            memory = process.memory_full_info()
            held += getattr(memory, "pss", memory.uss)  # elsewhere than on Linux, what is theirs alone
            if WORKERS & set(process.cmdline()):
                worker = max(worker, memory.rss - memory.shared)  # with what it has from its warm parent
    return held, worker
