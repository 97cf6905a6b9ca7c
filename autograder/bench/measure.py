"""What one command costs: wall seconds, processor seconds and peak memory of it and all that it starts."""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of processors; the largest sum of private memory in bytes, and the sum at each look."""

    wall: float
    cpu: float
    memory: int
    code: int
    output: str
    memory_by_look: tuple[int, ...] = ()

    def growth(self) -> float:
        """Private memory in the last quarter of the run by that in the second."""
        quarter, looks = len(self.memory_by_look) // 4, self.memory_by_look
        return statistics.median(looks[3 * quarter :]) / max(statistics.median(looks[quarter : 2 * quarter] or (1,)), 1)


def cost_of(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost:
    """Run `command` to its end. Processor time is what each process had used when it was last seen alive."""
    start = time.monotonic()
    seen: dict[tuple[int, float], float] = {}
    memory: list[int] = []
    with (folder / "output.log").open("w+") as log:
        process = subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=log, stderr=log)
        while process.poll() is None:
            memory.append(_look(process.pid, seen))
            time.sleep(LOOK_SECONDS)
        wall = time.monotonic() - start
        log.seek(0)
        most = max(memory, default=0)
        return Cost(wall, sum(seen.values()), most, process.returncode, log.read(), tuple(memory))


def remains() -> Iterator[str]:
    """Processes of workers, and folders of theirs, on a machine where nobody else grades."""
    for process in psutil.process_iter(["cmdline", "create_time"]):
        line = " ".join(process.info["cmdline"] or [])
        if "-m worker" in line or "bwrap" in line:
            yield f"process {process.pid}: {line[:80]}"
    yield from (str(path) for path in Path(tempfile.gettempdir()).glob("worker-*"))


def _look(pid: int, seen: dict[tuple[int, float], float]) -> int:
    """Note the processor time of all processes below `pid`; the memory that is theirs alone."""
    try:
        top = psutil.Process(pid)
        processes = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    memory = 0
    for process in processes:
        try:
            times = process.cpu_times()
            seen[process.pid, process.create_time()] = times.user + times.system
            memory += process.memory_full_info().uss
        except psutil.Error:
            continue
    return memory
