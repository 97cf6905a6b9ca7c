"""Where text of our own is tried against the hidden tests: in this process, without a sandbox, in milliseconds.

Only for the reference and the misconception bank. Values take the same way as through a worker: encoded and decoded.
"""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

import torch

from autograder.course.assignment import Assignment
from autograder.sandbox.session import Raised, TimedOut
from autograder.testing.reference import IMPORTS, reference_cells
from autograder.testing.stand_ins import StandIns
from autograder.worker.namespace import NotebookNamespace
from autograder.worker.shell import describe_error
from autograder.worker.wire import decode, encode

WITHOUT_ACCELERATOR = "COURSE_WITHOUT_ACCELERATOR"


@contextlib.contextmanager
def without_accelerator() -> Iterator[None]:
    """Tests run inside use no second device: this process may not have one, though a submission's worker has."""
    before = os.environ.get(WITHOUT_ACCELERATOR)
    os.environ[WITHOUT_ACCELERATOR] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[WITHOUT_ACCELERATOR]


class _TookTooLong(BaseException):
    """Not an Exception, so that an `except Exception` of the text under trial does not swallow it."""


@cache
def _imports(assignment: Assignment) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "notebook"}
    exec(compile(reference_cells(assignment)[IMPORTS], "<imports>", "exec"), names)
    return names


@lru_cache(maxsize=4096)
def _compiled(source: str, cell: str) -> CodeType:
    return compile(source, f"<cell {cell}>", "exec")


def cross(value: Any) -> Any:
    """`value` as it arrives on the other side of the wire."""
    tensors: dict[str, torch.Tensor] = {}
    return decode(json.loads(json.dumps(encode(value, tensors))), tensors)


class InProcess:
    """Stands where an `Execution` stands. `replaced` gives other texts for some of the reference's cells."""

    def __init__(
        self, assignment: Assignment, replaced: Mapping[str, str] | None = None, stand_ins: StandIns | None = None
    ) -> None:
        self.assignment = assignment
        cells = {c: t for c, t in reference_cells(assignment).items() if c in assignment.upstream}
        self.waiting = list((cells | dict(replaced or {})).items())
        self.stand_ins = stand_ins
        self.space = NotebookNamespace(dict(_imports(assignment)))
        self.timeouts: dict[str, int] = {}
        self.generation = 1
        self.alive = True
        self._bound: dict[str, tuple[str, ...]] = {}

    def reach(self, cell: str) -> None:
        order = list(self.assignment.upstream)
        place = order.index(cell.removesuffix("-tests"))
        while self.waiting and order.index(self.waiting[0][0]) <= place:
            name, source = self.waiting.pop(0)
            # a cell that fails leaves its names unbound, and the tests say so
            with contextlib.suppress(Exception, SystemExit, _TookTooLong), _quiet(), _within(30.0):
                exec(_compiled(source, name), self.space.names)
            self._bind(name)

    def request(self, do: str, seconds: float, **fields: Any) -> Any:
        try:
            with _quiet(), _within(seconds):
                value = getattr(self.space, do)(**cross(fields))
            return cross(value)
        except _TookTooLong:
            raise TimedOut(seconds) from None
        except (Exception, SystemExit) as error:
            told = describe_error(error)
            raise Raised(told["type"], tuple(told["bases"]), told["text"], told["place"]) from None
        finally:
            torch.set_grad_enabled(True)
            torch.set_default_dtype(torch.float32)

    def close(self) -> None:
        """Nothing is held."""

    def _bind(self, cell: str) -> None:
        if self.stand_ins is None:
            return
        if cell in self.stand_ins.names:
            self._bound[cell] = self.stand_ins.names[cell]
        if names := [n for bound in self._bound.values() for n in bound]:
            self.space.bind(self.stand_ins.source, names)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """A time limit, in a process's main thread; elsewhere there is none, for the text is ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise _TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
