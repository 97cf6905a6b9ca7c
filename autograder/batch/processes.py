"""Grading processes of one thread each, which end when the process that started them is interrupted or killed.

They are forked from a process that has imported what they need and does nothing else, so that each starts at once.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any
from weakref import WeakSet

from autograder.course.course import this_course
from autograder.faults import Fault
from autograder.sandbox import gpu, warm
from autograder.sandbox.tiers import choose
from autograder.sandbox.view import SandboxView, sandbox_view

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
BEHIND = 5  # niceness: what records results goes first, else it would be left with a heap of them at the end


@contextmanager
def processes(count: int) -> Iterator[Callable[..., Future[Any]]]:
    """Gives `submit` of a pool of so many processes. What they still do when the block is left ends at once."""
    pool = ProcessPoolExecutor(count, _context(), _begin, (os.environ | ONE_THREAD, warm.sources()))
    submitted: WeakSet[Future[Any]] = WeakSet()  # a future holds its result

    def submit(*call: Any) -> Future[Any]:
        with _interrupts_held():
            future = pool.submit(*call)
        submitted.add(future)
        return future

    before = set(multiprocessing.active_children())
    try:
        yield submit
    finally:
        if not all(future.done() for future in submitted):
            for process in set(multiprocessing.active_children()) - before:
                process.kill()  # its workers end with it
        pool.shutdown(cancel_futures=True)


def start_ahead(assignment: str, sandbox: str, *, several: bool) -> None:
    """Start what takes seconds while this process still imports: workers' parent, and that of grading processes.

    The latter only for `several` at a time. What would refuse to start is left to grading, which says why.
    """
    with contextlib.suppress(Fault, OSError):
        known = this_course().named(assignment)
        if choose("none" if sandbox == "none" else "auto", known.root) == "namespaces":
            first = gpu.gpus(visible=os.environ.get(gpu.VISIBLE))[0] if gpu.wanted() else None
            warm.start_ahead(sandbox_view(known, first))
    if several and _context().get_start_method() == "forkserver":
        with _interrupts_held():
            os.environ.update(ONE_THREAD)
            forkserver.ensure_running()


def cores() -> int:
    """How many processes at a time there may be: affinity and containers may allow fewer than the machine has."""
    from joblib import cpu_count

    return int(cpu_count())


def one_thread() -> None:
    os.environ.update(ONE_THREAD)
    import torch

    torch.set_num_threads(1)


def _context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    forkserver.set_forkserver_preload(["autograder.batch.preload"])
    return multiprocessing.get_context("forkserver")


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits: a process that is started in here inherits that, and hears of none before `_begin`."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _begin(environment: Mapping[str, str], sources: Sequence[tuple[SandboxView, socket.socket]]) -> None:
    """A pool's processes leave Ctrl-C to the one that started them, and do not wait for ever after it was killed."""
    # not SIG_IGN, which the programs that this process starts would inherit
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True, name="end with parent").start()
    os.environ.clear()  # the process that this one was forked from may have been started under another environment
    os.environ.update(environment)
    one_thread()
    os.nice(BEHIND)
    warm.use(sources)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
