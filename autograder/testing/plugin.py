"""The pytest plugin behind the hidden tests: fixtures, points, and a record of what each test found."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograder.course.assignment import ROOMS, Assignment
from autograder.course.course import course_at
from autograder.testing.draw import Draw
from autograder.testing.findings import Finding, Pass
from autograder.testing.reference import reference as reference_of
from autograder.testing.subject import Reference
from autograder.testing.submission import Submission


def title_of(function: Callable[..., None]) -> str:
    """What a student reads as the name of a test: the first line of its docstring."""
    return (inspect.getdoc(function) or function.__name__).splitlines()[0]


def marker_of(item: pytest.Item) -> tuple[float, str, str | None]:
    mark = item.get_closest_marker("points")
    if mark is None or not mark.args or "cell" not in mark.kwargs:
        raise pytest.UsageError(f"{item.nodeid}: a hidden test needs @pytest.mark.points(POINTS, cell=ID)")
    return float(mark.args[0]), mark.kwargs["cell"], mark.kwargs.get("role")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--submission", type=Path, help="the notebook to grade")
    parser.addoption("--sandbox", default="auto", choices=["auto", "none"], help="none: only for files of your own")
    parser.addoption("--execute", default="definitions", choices=["definitions", "all"], help="all: demonstrations too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "points(points, cell, role=None, slow=False, chance=False): a hidden test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring the tests into the notebook's order, so that one worker serves them all."""
    current: Pass | None = config.pluginmanager.get_plugin("grading-pass")
    if current is not None and current.only is not None:
        items[:] = [i for i in items if i.name in current.only]
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[Path, int]:
    """Assignment by assignment, in the order of each one's cells; examples in docstrings before them."""
    if not isinstance(item, pytest.Function):
        return item.path.parent, 0
    cells = list(assignment_of(item.path).upstream)
    return item.path.parent, cells.index(marker_of(item)[1])


def assignment_of(test_file: Path) -> Assignment:
    """The assignment that a file of hidden tests belongs to."""
    room = test_file.parent
    assignments = course_at(room.parents[len(ROOMS.parts)]).assignments.values()
    return next(one for one in assignments if one.graders == room)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    current: Pass | None = item.config.pluginmanager.get_plugin("grading-pass")
    if not isinstance(item, pytest.Function):
        return (yield)
    points, cell, role = marker_of(item)
    error, skipped = None, None
    try:
        return (yield)
    except pytest.skip.Exception as reason:
        skipped = str(reason)
        raise
    except BaseException as found:
        error = found
        raise
    finally:
        if current is not None:
            current.findings.append(Finding(item.name, cell, title_of(item.function), points, role, error, skipped))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """What fails before a test's own body is a fault of ours."""
    current: Pass | None = item.config.pluginmanager.get_plugin("grading-pass")
    try:
        return (yield)
    except Exception as error:
        if current is not None:
            current.broken = error
        raise


@pytest.fixture
def grading_pass(request: pytest.FixtureRequest) -> Iterator[Pass]:
    current = request.config.pluginmanager.get_plugin("grading-pass")
    if current is None:
        current = request.getfixturevalue("pass_over_file")
        request.config.pluginmanager.register(current, "grading-pass")
        request.config.add_cleanup(current.execution.close)
    yield current


@pytest.fixture
def student(grading_pass: Pass, request: pytest.FixtureRequest) -> Submission:
    return Submission(grading_pass, marker_of(request.node)[1])


@pytest.fixture
def reference(grading_pass: Pass) -> Reference:
    return reference_of(grading_pass.assignment)


@pytest.fixture
def draw(grading_pass: Pass, request: pytest.FixtureRequest) -> Draw:
    return grading_pass.draw(request.node.name)
