"""The watch on a worker: it ends one whose processes together use too much memory or too much space for files."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from autograder import limits
from autograder.sandbox.usage import Uncountable, memory


class Inside(Protocol):
    """What the watch looks at: one for each tier."""

    def processes(self) -> Sequence[Path]:
        """The folders in `/proc` of all that runs in the sandbox."""

    def storage(self, processes: Sequence[Path]) -> tuple[int, int]:
        """Bytes and number of the files that it has written. Raises Uncountable."""

    in_memory: bool  # whether those files are held in memory


class Watch:
    """Looks every `limits.WATCH_SECONDS`; over a limit it keeps the reason in `over` and calls `end`, once."""

    def __init__(self, inside: Inside, end: Callable[[], None]) -> None:
        self.inside, self.end = inside, end
        self.over: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watch")
        self._thread.start()

    def close(self) -> None:
        """Stop looking; afterwards `end` is not called any more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(limits.WATCH_SECONDS):
            self.over = self._breach()
            if self.over is not None:
                self.end()
                return

    def _breach(self) -> str | None:
        try:
            processes = self.inside.processes()
        except OSError:  # it is just ending
            return None
        try:
            stored, files = self.inside.storage(processes)
        except Uncountable:
            return "put files into folders that cannot be read"
        except OSError:  # files that change while they are counted must not hide memory
            stored, files = 0, 0
        if files > limits.SCRATCH_FILES:
            return f"made more than {limits.SCRATCH_FILES:,} files, the limit"
        if stored > limits.SCRATCH_BYTES and not self.inside.in_memory:
            return f"wrote more than {_size(limits.SCRATCH_BYTES)} of files, the limit"
        room = limits.MEMORY_BYTES - (stored if self.inside.in_memory else 0)
        if memory(processes, room) > room:
            return f"used more than {_size(limits.MEMORY_BYTES)} of memory, the limit of all its processes together"
        return None


def _size(count: int) -> str:
    return f"{count / 2**30:g} GB" if count >= 2**30 else f"{count / 2**20:g} MB"
