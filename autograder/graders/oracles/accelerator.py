"""Which accelerator the device tests use."""

import os

import pytest

from autograder.testing import expect
from autograder.testing.in_process import WITHOUT_ACCELERATOR as WITHOUT
from autograder.worker import simgpu


def accelerator() -> str:
    """`cuda` where the instructor has opened it to the worker (COURSE_GPU=1), else the simulated one, else skip."""
    return accelerator_if_any() or pytest.skip(simgpu.unavailable_reason() or "no accelerator is to be used")


def accelerator_if_any() -> str | None:
    """As `accelerator`; None where there is neither, or where grading has switched it off for a while."""
    if os.environ.get(WITHOUT) == "1":
        return None
    if os.environ.get("COURSE_GPU") == "1":
        return "cuda"
    return simgpu.NAME if simgpu.unavailable_reason() is None else None


def check_present(observed: object) -> None:
    """Fail where the driver found no accelerator: the worker makes one before the notebook runs."""
    expect.that(
        isinstance(observed, dict),
        "The accelerator that the grader sets up before your cells run has gone.",
        "Leave torch's own modules as they are.",
    )
