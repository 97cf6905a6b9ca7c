"""The hidden tests of an assignment, and how they are run one by one without pytest, as verification does."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import pytest

from autograder.course.assignment import Assignment
from autograder.course.modules import module_at
from autograder.testing.findings import Finding, Pass, forget_frames
from autograder.testing.plugin import title_of
from autograder.testing.reference import reference
from autograder.testing.submission import Submission


@dataclass(frozen=True)
class HiddenTest:
    """A hidden test as its module and its marker give it.

    `slow` ones train a model to a target; the verdict of `chance` ones on right code depends on random draws.
    """

    name: str
    cell: str
    points: float
    role: str | None
    slow: bool
    chance: bool
    function: Callable[..., None]


@cache
def hidden_tests(assignment: Assignment) -> tuple[HiddenTest, ...]:
    """All hidden tests, in the notebook's order of components."""
    found = []
    for path in sorted(assignment.graders.glob("test_*.py")):
        module = module_at(path)
        for name, function in vars(module).items():
            for mark in getattr(function, "pytestmark", ()) if name.startswith("test_") else ():
                if mark.name == "points":
                    options = mark.kwargs
                    found.append(
                        HiddenTest(
                            name,
                            options["cell"],
                            float(mark.args[0]),
                            options.get("role"),
                            options.get("slow", False),
                            options.get("chance", False),
                            function,
                        )
                    )
    order = list(assignment.upstream)
    return tuple(sorted(found, key=lambda test: order.index(test.cell)))


def tests_of(assignment: Assignment, cell: str, *, slow: bool = False) -> tuple[HiddenTest, ...]:
    """The hidden tests of one component; those that train to a target only with `slow`."""
    return tuple(t for t in hidden_tests(assignment) if t.cell == cell and (slow or not t.slow))


def run_test(test: HiddenTest, current: Pass) -> Finding:
    """Run one test in `current`, as the plugin would, and add what it found to the pass."""
    given = {
        "student": lambda: Submission(current, test.cell),
        "reference": lambda: reference(current.assignment),
        "draw": lambda: current.draw(test.name),
    }
    arguments = {name: given[name]() for name in inspect.signature(test.function).parameters}
    error: BaseException | None = None
    skipped = None
    try:
        test.function(**arguments)
    except pytest.skip.Exception as reason:
        skipped = str(reason)
    except Exception as found:
        error = found
        forget_frames(error)
    finding = Finding(test.name, test.cell, title_of(test.function), test.points, test.role, error, skipped)
    current.findings.append(finding)
    return finding


def run_tests(tests: Iterable[HiddenTest], current: Pass) -> Pass:
    for test in tests:
        run_test(test, current)
    return current
