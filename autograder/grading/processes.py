"""Grading processes of one thread each, which end when the process that started them is interrupted or killed."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

PR_SET_PDEATHSIG = 1


@contextmanager
def processes(count: int) -> Iterator[Callable[..., Future[Any]]]:
    """Gives `submit` of a pool of so many processes. What they still do when the block is left ends at once."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _begin)
    submitted: WeakSet[Future[Any]] = WeakSet()  # a future holds its result

    def submit(*call: Any) -> Future[Any]:
        # a process starts with the signals that are held back here, and inherits that
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            future = pool.submit(*call)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
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


def one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def _begin() -> None:
    """A pool's processes leave Ctrl-C to their parent, and do not wait for ever after it was killed."""
    # not SIG_IGN, which the programs that this process starts would inherit
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid != os.getppid():
            os._exit(1)
    one_thread()
