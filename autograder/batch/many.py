"""Grade many notebooks, several at a time, one thread each; what happens to one of them happens to no other."""

import contextlib
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from autograder.batch.processes import one_thread, processes
from autograder.course.assignment import Assignment
from autograder.faults import CannotStart, DataError, GraderFault
from autograder.files import printable
from autograder.grading.graded import Graded, could_not_run
from autograder.results.result import Mode
from autograder.sandbox.tiers import NoSandbox

# not the student's doing: the submission stays ungraded, and is graded by the next run
FAULTS = (NoSandbox, CannotStart, GraderFault, DataError, OSError)
MOST_FAULTS = 3  # in a row: then it is not some files, and the rest would fare no better
SECOND_TRY_SECONDS = 2.0
AHEAD = 2  # notebooks a process that are being graded, wait for it, or for who takes their outcomes

Outcomes = Generator[tuple[Path, Graded | Exception], None, None]


class NotAllGraded(GraderFault):
    """Faults of the installation left some notebooks ungraded; the others are graded. One line."""


@dataclass
class Faults:
    """Submissions that faults of the installation left ungraded, and how many of them came in a row."""

    told: list[str] = field(default_factory=list)
    in_a_row: int = 0

    def add(self, line: str) -> None:
        self.told.append(line)
        self.in_a_row += 1

    def none(self) -> None:
        """A submission was graded."""
        self.in_a_row = 0

    @property
    def too_many(self) -> bool:
        return self.in_a_row >= MOST_FAULTS

    def __str__(self) -> str:
        stopped = f"; stopped after {self.in_a_row} in a row" if self.too_many else ""
        return ", ".join(self.told) + stopped


@dataclass(frozen=True)
class Settings:
    """How a class is graded, whatever the number of workers."""

    assignment: Assignment
    sandbox: Literal["auto", "none"] = "auto"
    execute: Mode = "definitions"


def grade_many(
    paths: Sequence[Path],
    settings: Settings,
    jobs: int = 1,
    on_fault: Callable[[Path, Exception], None] = lambda path, fault: None,
) -> Generator[tuple[Path, Graded], None, None]:
    """Each path with what grading it gave, in the order in which they finish. They are started in the order of `paths`.

    A notebook that ends a grading process gets a `could-not-run` result. One that a fault of the installation leaves
    ungraded does not hold up the others: `on_fault` hears of it, and NotAllGraded names it at the end, or at once
    where several in a row are left so. Closing the generator ends what is being graded.
    """
    outcomes = _one_by_one(paths, settings) if jobs == 1 or len(paths) < 2 else _in_processes(paths, settings, jobs)
    faults = Faults()
    with closing(outcomes):
        for path, outcome in outcomes:
            if isinstance(outcome, Graded):
                faults.none()
                yield path, outcome
                continue
            on_fault(path, outcome)
            faults.add(f"{printable(path.name)} ({outcome})")
            if faults.too_many:
                break
    if faults.told:
        raise NotAllGraded(f"not graded: {faults}")


def grade_one(path: Path, settings: Settings) -> Graded:
    """Grade one notebook in this process. Raises FAULTS; any other error becomes a `could-not-run` result."""
    from autograder.grading.grade import grade_notebook  # imports torch, which who only hands out work need not have

    for last in (False, True):
        try:
            return grade_notebook(path, settings.assignment, sandbox=settings.sandbox, execute=settings.execute)
        except CannotStart:  # perhaps what is left of the last submission is still being cleared away
            if last:
                raise
            time.sleep(SECOND_TRY_SECONDS)
        except FAULTS:
            raise
        except Exception as error:
            return _not_graded(path, settings, f"it set off a fault in the grader: {_described(error)}")
    raise AssertionError("unreachable")


def _one_by_one(paths: Sequence[Path], settings: Settings) -> Outcomes:
    one_thread()
    for path in paths:
        try:
            yield path, grade_one(path, settings)
        except FAULTS as fault:
            yield path, fault


def _in_processes(paths: Sequence[Path], settings: Settings, jobs: int) -> Outcomes:
    left = list(paths)
    while left:
        yield from _until_killed(left, settings, jobs)
        # what a killed process was at is among the first that are left: one process finds out which
        suspects, left = left[: jobs + 1], left[jobs + 1 :]
        while suspects:
            yield from _until_killed(suspects, settings, 1)
            if suspects:
                culprit = suspects.pop(0)
                yield culprit, _not_graded(culprit, settings, "it ended the grader's process")


def _until_killed(left: list[Path], settings: Settings, jobs: int) -> Outcomes:
    """What a pool of processes gives until all is done or one of them is killed; `left` keeps what it did not.

    It gets little ahead of who takes the outcomes. Else those would pile up, and the last ones be left to one core.
    """
    with processes(min(jobs, len(left))) as submit:
        coming = iter(tuple(left))
        waiting: dict[Future[Graded], Path] = {}

        def hand_out() -> None:
            with contextlib.suppress(BrokenProcessPool):  # all that waits hears of it, too
                for path in islice(coming, AHEAD * jobs - len(waiting)):
                    waiting[submit(grade_one, path, settings)] = path

        hand_out()
        while waiting:
            done = next(iter(wait(waiting, return_when=FIRST_COMPLETED).done))
            path = waiting.pop(done)  # so that nothing keeps what it gave
            hand_out()
            try:
                outcome: Graded | Exception = done.result()
            except BrokenProcessPool:
                continue
            except FAULTS as fault:
                outcome = fault
            left.remove(path)
            yield path, outcome


def _not_graded(path: Path, settings: Settings, reason: str) -> Graded:
    reason = f"{reason}; course staff, look at this file"
    refused = could_not_run(path, settings.assignment, reason, settings.execute)
    return replace(refused, lasting=False)


def _described(error: Exception) -> str:
    """Type and innermost place of an error; its text may be the student's."""
    places = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {Path(places[-1].filename).name}:{places[-1].lineno}"
