"""Grade many notebooks, several at a time, one thread each."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autograder.assignments import ASSIGNMENTS
from autograder.grading.execution import Mode
from autograder.grading.run import Graded, grade_notebook


@dataclass(frozen=True)
class Settings:
    """How a class is graded, whatever the number of workers."""

    assignment: str
    sandbox: Literal["auto", "none"] = "auto"
    execute: Mode = "definitions"


def grade_many(paths: Sequence[Path], settings: Settings, jobs: int = 1) -> Iterator[tuple[Path, Graded]]:
    """Each path with what grading it gave, in the order in which they finish."""
    if jobs == 1 or len(paths) < 2:
        for path in paths:
            yield path, _grade(path, settings)
        return
    with ProcessPoolExecutor(min(jobs, len(paths)), multiprocessing.get_context("spawn"), _one_thread) as pool:
        waiting: dict[Future[Graded], Path] = {pool.submit(_grade, path, settings): path for path in paths}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _grade(path: Path, settings: Settings) -> Graded:
    _one_thread()
    assignment = ASSIGNMENTS[settings.assignment]
    return grade_notebook(path, assignment, sandbox=settings.sandbox, execute=settings.execute)


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
