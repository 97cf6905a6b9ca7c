"""Spread trials over processes, one thread each, and take outcomes as they come."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from typing import Any

from autograder.batch.processes import processes


@dataclass(frozen=True)
class Task:
    """A call to make in some process: a function of a module, with arguments that can be pickled."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...] = ()


def spread(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[int, Any]]:
    """Each task's number and outcome, in the order in which they end."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with processes(jobs) as submit:
        waiting: dict[Future[Any], int] = {submit(_run, task): n for n, task in enumerate(tasks)}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _run(task: Task) -> Any:
    """As in a worker, the simulated accelerator is there before anything of a notebook's."""
    from autograder.worker import simgpu

    os.environ.pop("COURSE_GPU", None)  # that is for workers: this process grades our own text on the simulated one
    warnings.simplefilter("ignore")
    simgpu.register()
    return task.function(*task.arguments, **dict(task.options))
