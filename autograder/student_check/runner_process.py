"""Run a notebook's cells in a process of their own, with a time limit for each, and go on after one that hangs."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.limits import CELL_SECONDS, START_SECONDS

CELLS = Path(__file__).with_name("cell_runner.py")
STOPS = 3  # cells that hang or end the process; after so many the rest is not tried


class CannotCheck(Exception):
    """The check cannot be made; one line."""


@dataclass(frozen=True)
class Cell:
    """A cell to run: its place in the notebook, the names that should be there afterwards, and its time limit."""

    index: int
    source: str
    names: tuple[str, ...] = ()
    seconds: float = CELL_SECONDS


@dataclass(frozen=True)
class Ran:
    """What a cell printed, the error that it ended with (one line; None: it did not), and names that it left out."""

    printed: str = ""
    error: str | None = None
    undefined: tuple[str, ...] = ()


def run_cells(cells: Sequence[Cell], folder: Path, step: Callable[[int], object] = lambda _: None) -> dict[int, Ran]:
    """Run the cells in `folder`; what became of each by its index. Cells that were not reached are left out."""
    found: dict[int, Ran] = {}
    stopped: set[int] = set()
    while len(stopped) < STOPS:
        ended_in = _pass([c for c in cells if c.index not in stopped], folder, found, step)
        if ended_in is None:
            break
        stopped.add(ended_in)
    return found


def _pass(cells: Sequence[Cell], folder: Path, found: dict[int, Ran], step: Callable[[int], object]) -> int | None:
    """One process over these cells; the index of the cell that it did not survive, if any."""
    variables = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(
        [sys.executable, str(CELLS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=os.environ | variables | quiet,
        encoding="utf-8",
    )
    assert process.stdin is not None and process.stdout is not None
    given = [{"index": c.index, "source": c.source, "names": c.names} for c in cells]
    answers: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, answers), daemon=True).start()
    try:
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        return _listen(answers, {c.index: c.seconds for c in cells}, found, step)
    except BrokenPipeError:
        raise CannotCheck(f"the notebook cannot be run: {sys.executable} did not start") from None
    finally:
        process.kill()
        process.wait()


def _read(stream: Any, answers: "queue.Queue[str | None]") -> None:
    for line in stream:
        answers.put(line)
    answers.put(None)


def _listen(
    answers: "queue.Queue[str | None]", limits: dict[int, float], found: dict[int, Ran], step: Callable[[int], object]
) -> int | None:
    running: int | None = None
    while True:
        seconds = START_SECONDS if running is None else limits[running]
        try:
            line, why = answers.get(timeout=seconds), "it ended the process"
        except queue.Empty:
            line, why = None, f"it did not finish within {seconds:g} s"
        if line is None:
            if running is not None:
                found[running] = Ran(error=why)
            return running
        said = json.loads(line)
        if "starts" in said:
            running = said["starts"]
            step(said["starts"])
            continue
        running = None
        found.setdefault(
            said["index"], Ran(said["printed"], _in_words(said["error"]), tuple(said["undefined"]))
        )  # fmt: skip


def _in_words(error: dict[str, Any] | None) -> str | None:
    """The error in a line; a failed quick check speaks for itself."""
    if error is None:
        return None
    if error["type"] == "CheckFailed":
        return error["text"]
    place = f" (line {error['line']}: {error['code']})" if error["code"] else ""
    return f"{error['type']}{': ' if error['text'] else ''}{error['text'].strip()}{place}"
