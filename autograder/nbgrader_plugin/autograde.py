"""Grade a class into nbgrader's gradebook and feedback, so that it can be stopped anywhere and run again."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nbgrader.api import MissingEntry
from sqlalchemy.exc import SQLAlchemyError

from autograder.batch.digest import grading_digest, submission_digest
from autograder.batch.still_valid import earlier_result, still_holds
from autograder.collecting.arrivals import Arrivals, arrival_times
from autograder.course.assignment import Assignment
from autograder.faults import Fault
from autograder.files import printable, sweep
from autograder.grading.graded_submission import Graded
from autograder.nbgrader_plugin.gradebook import database_url, ensure_gradebook, open_gradebook
from autograder.nbgrader_plugin.late import record_arrivals
from autograder.nbgrader_plugin.lock import CourseBusy, only_grader
from autograder.nbgrader_plugin.marks import Change, changes
from autograder.nbgrader_plugin.preprocessors import result_path
from autograder.nbgrader_plugin.record import record
from autograder.results.result import Mode, Result
from autograder.sandbox.tiers import Tier

STUDENT = re.compile(r"[\w@+][\w.@+ -]*")

GradeAll = Callable[[Sequence[Path]], Iterable[tuple[Path, Graded]]]


class NotSaved(Fault):
    """Some submissions could not be recorded; the others are. One line."""


@dataclass(frozen=True)
class Marked:
    """One student's outcome. `fresh` is False where an earlier run had finished it and nothing has changed since."""

    student: str
    result: Result
    fresh: bool
    changes: tuple[Change, ...] = ()


def autograde_class(
    assignment: Assignment,
    grade: GradeAll,
    students: Sequence[str] | None = None,
    *,
    force: bool = False,
    dry_run: bool = False,
    execute: Mode = "definitions",
    tiers: Collection[Tier] | None = None,
    on_done: Callable[[Marked], None] = lambda marked: None,
) -> list[Marked]:
    """Grade all of `submitted/` (or the named students) into autograded/, gradebook.db, feedback/ and results/.

    `grade` gives each path with its Graded, in any order; each is recorded as it comes. The result file is written
    last, so a student without one is not finished and is done again; so is one whose result would be another now, with
    `execute` and in one of `tiers` (None: any). With `dry_run` nothing is written: `changes` tells what would be.
    Raises FileNotFoundError for an unknown student, NotSaved where another command is writing to the course, and at the
    end where recording failed.
    """
    course = assignment.root
    folders, odd = _folders(course / "submitted", assignment, students)
    arrived = arrival_times(course / "submitted")
    failed = dict(odd)
    try:
        with contextlib.nullcontext() if dry_run else only_grader(course):
            if not dry_run:
                sweep(course / "results" / assignment.name)
                _prepare_gradebook(course, assignment, arrived)
            grading = grading_digest(assignment, execute)
            done: list[Marked] = []
            waiting: dict[Path, str] = {}
            for student, folder in folders.items():
                path = folder / f"{assignment.stem}.ipynb"
                digest = submission_digest(path, grading)
                result = None if force or dry_run else finished(course, assignment, student, digest, tiers)
                if result is None:
                    waiting[path] = digest
                else:
                    done.append(Marked(student, result, fresh=False))
                    on_done(done[-1])
            for path, given in grade(list(waiting)):
                student, graded = path.parent.parent.name, _named(path, given).under(waiting[path])
                try:
                    changed = _changes(course, assignment, student, graded.result)
                    if not dry_run:
                        record(course, assignment, student, graded)
                except Exception as error:  # a full disk, a locked gradebook: the student's alone, and told at the end
                    failed[student] = _one_line(error)
                    continue
                done.append(Marked(student, graded.result, fresh=True, changes=changed))
                on_done(done[-1])
    except CourseBusy as busy:
        raise NotSaved(str(busy)) from None
    if failed:
        told = ", ".join(f"{printable(student)} ({reason})" for student, reason in sorted(failed.items()))
        raise NotSaved(f"not recorded: {told}")
    return done


def _prepare_gradebook(course: Path, assignment: Assignment, arrived: Arrivals) -> None:
    try:
        ensure_gradebook(assignment, database_url(course))
        record_arrivals(database_url(course), assignment.name, arrived)
    except SQLAlchemyError as error:
        raise NotSaved(f"gradebook.db cannot be used ({_one_line(error)})") from None


def _folders(
    submitted: Path, assignment: Assignment, students: Sequence[str] | None
) -> tuple[dict[str, Path], dict[str, str]]:
    """Submissions by student, and those that cannot be recorded with the reason."""
    found = {path.name: path / assignment.name for path in _entries(submitted)}
    found = {student: folder for student, folder in found.items() if os.path.lexists(folder)}
    if students is not None:
        if unknown := sorted(set(students) - found.keys()):
            names = ", ".join(map(printable, unknown))
            raise FileNotFoundError(f"submitted/ has no submission of {assignment.name} by: {names}")
        found = {student: found[student] for student in students}
    odd: dict[str, str] = {}
    for student, folder in found.items():
        if not STUDENT.fullmatch(student):
            odd[student] = "a folder's name may have letters, digits, and . _ @ + -"
        elif not folder.is_dir() or not folder.resolve().is_relative_to(submitted.resolve()):
            odd[student] = f"submitted/{student}/{assignment.name} is not a folder inside submitted/"
    return {student: folder for student, folder in found.items() if student not in odd}, odd


def _entries(submitted: Path) -> list[Path]:
    return sorted(path for path in submitted.iterdir() if path.is_dir()) if submitted.is_dir() else []


def finished(
    course: Path, assignment: Assignment, student: str, digest: str, tiers: Collection[Tier] | None = None
) -> Result | None:
    """The student's result, if it still holds for the file with this digest and everything of it was recorded."""
    result = earlier_result(result_path(course, assignment.name, student))
    if result is None or not still_holds(result, digest, tiers):
        return None
    feedback = course / "feedback" / student / assignment.name / f"{assignment.stem}.html"
    autograded = course / "autograded" / student / assignment.name / f"{assignment.stem}.ipynb"
    try:
        recorded = json.loads(autograded.read_text())["metadata"]["course"]["submission"]
        with open_gradebook(database_url(course)) as gradebook:
            gradebook.find_submission(assignment.name, student)
            if changes(gradebook, student, assignment.stem, result):
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MissingEntry, SQLAlchemyError):
        return None
    return result if feedback.is_file() and recorded == digest else None


def _named(path: Path, graded: Graded) -> Graded:
    """The same, with a better reason where the folder has no notebook of the right name."""
    if os.path.lexists(path):
        return graded
    found = sorted(printable(other.name) for other in path.parent.glob("*.ipynb"))
    what = f"found {', '.join(found[:5])}" if found else "found no notebook"
    error = f"expected {path.name}, {what}: hand in the notebook under its own name"
    return replace(graded, result=replace(graded.result, error=error))


def _changes(course: Path, assignment: Assignment, student: str, result: Result) -> tuple[Change, ...]:
    if not (course / "gradebook.db").is_file():
        return tuple(Change(cell, None, outcome.score) for cell, outcome in result.cells.items())
    with open_gradebook(database_url(course)) as gradebook:
        return changes(gradebook, student, assignment.stem, result)


def _one_line(error: Exception) -> str:
    """For a disk that is full or a gradebook that is locked: what the system calls it."""
    if isinstance(error, Fault):
        return printable(str(error))
    reason = getattr(error, "orig", None) or error
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return f"{type(reason).__name__}: {printable(' '.join(text.split())[:200])}"
