"""Spread trials over processes, one thread each, and take outcomes as they come."""

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """A call to make in some process: a function of a module, with arguments that can be pickled."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...] = ()


def spread(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[int, Any]]:
    """Each task's number and outcome, in the order in which they end."""
    environment = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ.update(environment)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _prepare) as pool:
        waiting: dict[Future[Any], int] = {pool.submit(_run, task): n for n, task in enumerate(tasks)}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare() -> None:
    """What a worker does before the notebook's cells: one thread, and the simulated accelerator."""
    import torch

    from autograder.worker import simgpu

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    simgpu.register()


def _run(task: Task) -> Any:
    return task.function(*task.arguments, **dict(task.options))
