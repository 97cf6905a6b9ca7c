"""What the report is about: the results of a class, counted."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

from nbgrader.api import MissingEntry
from sqlalchemy.exc import SQLAlchemyError

from autograder.bank.versions import Wrong, wrong_versions
from autograder.course.assignment import Assignment
from autograder.nbgrader_plugin.gradebook import database_url, open_gradebook
from autograder.results.result import Result, TestOutcome
from autograder.results.result_file import DamagedResult, read_result

Kind = Literal["passed", "through", "wrong", "error", "blank"]
KINDS: dict[Kind, str] = {
    "passed": "passed",
    "through": "passed on working parts below",
    "wrong": "wrong",
    "error": "raised an error or was stopped",
    "blank": "not filled in",
}
STOPPED = re.compile(r"The code of the cell \S+ did not finish|The process ended|The cell \S+ |Not run: the ")
SLOW_SECONDS = 60.0
SLOW_FACTOR = 2.0  # times the median


@dataclass(frozen=True)
class TestCount:
    """One hidden test over the class: how many submissions came to which end, and who did not pass."""

    name: str
    title: str
    cell: str
    points: float
    kinds: Counter[Kind]
    not_passed: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Share of submissions that earned the points."""
        return (self.kinds["passed"] + self.kinds["through"]) / max(1, self.kinds.total())


@dataclass(frozen=True)
class Shared:
    """A mistake that several students made; `known` is what the bank says of it."""

    id: str
    students: tuple[str, ...]
    known: Wrong | None


@dataclass(frozen=True)
class ToMark:
    """A written answer, and the students whose answer waits for a person."""

    cell: str
    students: tuple[str, ...]


@dataclass(frozen=True)
class ClassResults:
    """All results of an assignment.

    By student, `unreadable` has what is wrong with a damaged result file, and `stopped` what ran into a limit or ended
    its process.
    """

    assignment: Assignment
    results: dict[str, Result]
    unreadable: dict[str, str]
    tests: tuple[TestCount, ...]
    mistakes: tuple[Shared, ...]
    to_mark: tuple[ToMark, ...]
    stopped: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def graded(self) -> dict[str, Result]:
        return {s: r for s, r in self.results.items() if r.status == "graded"}

    @property
    def max_score(self) -> float:
        return max((r.max_score for r in self.results.values()), default=0.0)

    @property
    def slow(self) -> dict[str, float]:
        """Submissions that took much longer than the others, slowest first."""
        seconds = {s: r.seconds for s, r in self.graded.items()}
        limit = max(SLOW_SECONDS, SLOW_FACTOR * median(seconds.values())) if seconds else 0.0
        return dict(sorted(((s, t) for s, t in seconds.items() if t > limit), key=lambda item: -item[1]))


def gather(assignment: Assignment, course: Path) -> ClassResults:
    """Raises FileNotFoundError where nothing is graded yet."""
    folder = course / "results" / assignment.name
    results: dict[str, Result] = {}
    unreadable: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            results[path.stem] = read_result(path)
        except FileNotFoundError:  # it is being graded again at this moment
            continue
        except DamagedResult as damaged:
            unreadable[path.stem] = str(damaged)
    if not results:
        if unreadable:
            raise DamagedResult("; ".join(unreadable.values()))
        raise FileNotFoundError(
            f"results/{assignment.name}/ holds no results: grade first, with `autograder autograde {assignment.name}`"
        )
    graded = {s: r for s, r in results.items() if r.status == "graded"}
    return ClassResults(
        assignment,
        results,
        unreadable,
        _tests(graded),
        _mistakes(graded, assignment),
        _to_mark(assignment, course),
        {s: found for s, r in graded.items() if (found := _stopped(r))},
    )


def kind_of(test: TestOutcome) -> Kind:
    if test.status == "passed":
        return "through" if test.follow_through else "passed"
    if test.message.startswith("Not filled in"):
        return "blank"
    return "error" if test.status == "could-not-run" else "wrong"


def _tests(graded: dict[str, Result]) -> tuple[TestCount, ...]:
    """In the order of the notebook. A test that a later grading no longer had is counted where it was run."""
    places: dict[tuple[str, str], TestOutcome] = {}
    kinds: dict[tuple[str, str], Counter[Kind]] = {}
    failed: dict[tuple[str, str], list[str]] = {}
    for student, result in graded.items():
        for cell, outcome in result.cells.items():
            for test in outcome.tests:
                key = cell, test.name
                places.setdefault(key, test)
                kinds.setdefault(key, Counter())[kind_of(test)] += 1
                if test.status != "passed":
                    failed.setdefault(key, []).append(student)
    return tuple(
        TestCount(t.name, t.title, key[0].removesuffix("-tests"), t.points, kinds[key], tuple(failed.get(key, ())))
        for key, t in places.items()
    )


def _mistakes(graded: dict[str, Result], assignment: Assignment) -> tuple[Shared, ...]:
    """By number of students, commonest first."""
    known = {w.id: w for w in wrong_versions(assignment)} if assignment.bank.is_dir() else {}
    students: dict[str, list[str]] = {}
    for student, result in graded.items():
        named = {t.misconception for c in result.cells.values() for t in c.tests if t.misconception}
        for one in named:
            students.setdefault(one, []).append(student)
    ordered = sorted(students.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(Shared(name, tuple(who), known.get(name)) for name, who in ordered)


def _stopped(result: Result) -> tuple[str, ...]:
    tests = [t for c in result.cells.values() for t in c.tests]
    return tuple(t.name for t in tests if t.status == "could-not-run" and STOPPED.match(t.message))


def _to_mark(assignment: Assignment, course: Path) -> tuple[ToMark, ...]:
    """Grades that wait for a person, from the gradebook; none where there is no gradebook."""
    if not (course / "gradebook.db").is_file():
        return ()
    waiting: dict[str, list[str]] = {}
    try:
        with open_gradebook(database_url(course)) as gradebook:
            for submission in gradebook.assignment_submissions(assignment.name):
                for notebook in submission.notebooks:
                    for grade in notebook.grades:
                        if grade.needs_manual_grade:
                            waiting.setdefault(grade.name, []).append(submission.student.id)
    except (MissingEntry, SQLAlchemyError):
        return ()
    return tuple(ToMark(cell, tuple(sorted(who))) for cell, who in waiting.items())
