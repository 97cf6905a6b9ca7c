"""The pytest plugin behind the hidden tests: fixtures, points, and a record of what each test found."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autograder import limits
from autograder.assignments import ASSIGNMENTS, Assignment
from autograder.grading.draw import Draw
from autograder.grading.execution import Budget, Execution
from autograder.grading.reference import reference as reference_of
from autograder.grading.subject import Reference, Submission
from data.secret import derive


@dataclass(frozen=True)
class Finding:
    """What one test found in one pass; `error` is None where it passed or was skipped."""

    name: str
    cell: str
    title: str
    points: float
    role: str | None
    error: BaseException | None
    skipped: str | None = None

    @property
    def passed(self) -> bool:
        return self.error is None


def forget_frames(error: BaseException | None) -> None:
    """Let go of what an error, and those before it, hold of their calls: inputs, replies, comparisons."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


@dataclass
class Pass:
    """One run of the tests over one submission: where it runs, with which inputs, and what came out."""

    assignment: Assignment
    execution: Execution
    public: bool = False
    only: frozenset[str] | None = None
    full_cells: frozenset[str] | None = None
    findings: list[Finding] = field(default_factory=list)
    broken: BaseException | None = None
    seed: str | None = None

    def draw(self, test: str) -> Draw:
        """The inputs of one test: from the course secret, unless this pass is public or has a seed of its own."""
        purpose = f"{self.assignment.name}/{test}"
        hidden = f"{purpose}/{derive(purpose) if self.seed is None else self.seed}"
        return Draw(purpose if self.public else hidden, public=self.public)

    def is_full(self, cell: str) -> bool:
        """Whether every test of `cell` has passed (as far as it was run)."""
        if self.full_cells is not None:
            return cell in self.full_cells
        return all(f.passed for f in self.findings if f.cell == cell)


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
    order = {cell: n for a in ASSIGNMENTS.values() for n, cell in enumerate(a.upstream)}
    items.sort(key=lambda item: order[marker_of(item)[1]])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    current: Pass | None = item.config.pluginmanager.get_plugin("grading-pass")
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
        current = _from_command_line(request.config, request.path)
        request.config.pluginmanager.register(current, "grading-pass")
        request.config.add_cleanup(current.execution.close)
    yield current


@pytest.fixture
def student(grading_pass: Pass, request: pytest.FixtureRequest) -> "StudentFixture":
    return StudentFixture(grading_pass, marker_of(request.node)[1])


@pytest.fixture
def reference(grading_pass: Pass) -> Reference:
    return reference_of(grading_pass.assignment)


@pytest.fixture
def draw(grading_pass: Pass, request: pytest.FixtureRequest) -> Draw:
    return grading_pass.draw(request.node.name)


class StudentFixture(Submission):
    """The `student` of a hidden test. Its worker is started, or brought forward, at the first request."""

    def __init__(self, current: Pass, cell: str) -> None:
        upstream_hung = any(current.execution.timeouts.get(c) for c in current.assignment.all_upstream(cell))
        allowed = 1 if upstream_hung else limits.TIMEOUTS_PER_CELL
        self.current = current
        super().__init__(current.execution, current.assignment.graders / "drivers", cell, allowed)

    def upstream_full(self) -> bool:
        """Whether every cell that this component rests on has full points."""
        return all(self.current.is_full(c) for c in self.current.assignment.all_upstream(self.cell))


def _from_command_line(config: pytest.Config, test_file: Path) -> Pass:
    from autograder.grading.prepare import prepare_submission

    path = config.getoption("--submission")
    if path is None:
        pytest.exit("name the notebook: --submission FILE.ipynb", returncode=2)
    assignment = next(a for a in ASSIGNMENTS.values() if test_file.is_relative_to(a.graders))
    prepared = prepare_submission(path, assignment, config.getoption("--sandbox"))
    execution = Execution(
        prepared.notebook, prepared.tier, prepared.seen, config.getoption("--execute"), Budget(float("inf"))
    )
    return Pass(assignment, execution)
