"""Grade a class into nbgrader's gradebook and feedback, so that it can be stopped anywhere and run again."""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nbconvert.exporters.exporter import ResourcesDict
from nbgrader.api import MissingEntry
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import BaseConverter

from autograder import assignments
from autograder.assignments import Assignment
from autograder.files import write_whole
from autograder.grading.result import Result
from autograder.grading.run import Graded
from autograder.nbgrader_plugin.gradebook import database_url, ensure_gradebook, open_gradebook
from autograder.nbgrader_plugin.marks import Change, changes
from autograder.nbgrader_plugin.preprocessors import result_path, submission_digest
from autograder.notebooks.course import NotConverted, convert, course_config

STUDENT = re.compile(r"[\w@+][\w.@+ -]*")

GradeAll = Callable[[Sequence[Path]], Iterable[tuple[Path, Graded]]]


class NotSaved(Exception):
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
    on_done: Callable[[Marked], None] = lambda marked: None,
    course: Path | None = None,
) -> list[Marked]:
    """Grade all of `submitted/` (or the named students) into autograded/, gradebook.db, feedback/ and results/.

    `grade` gives each path with its Graded, in any order; each is recorded as it comes. The result file is written
    last, so a student without one is not finished and is done again. With `dry_run` nothing is written: `changes`
    tells what would be. Raises FileNotFoundError for an unknown student, NotSaved at the end where recording failed.
    """
    course = course or assignments.ROOT
    folders = {folder.parent.name: folder for folder in sorted((course / "submitted").glob(f"*/{assignment.name}"))}
    if students is not None:
        if unknown := sorted(set(students) - folders.keys()):
            raise FileNotFoundError(f"no submission of {assignment.name} in submitted/ by: {', '.join(unknown)}")
        folders = {student: folders[student] for student in students}
    if not dry_run:
        ensure_gradebook(assignment, database_url(course))
    odd = [student for student in folders if not STUDENT.fullmatch(student)]
    paths = {folders[student] / f"{assignment.stem}.ipynb": student for student in folders if student not in odd}
    done, waiting = [], []
    for path, student in paths.items():
        result = None if force or dry_run else finished(course, assignment, student, path)
        if result is None:
            waiting.append(path)
        else:
            done.append(Marked(student, result, fresh=False))
            on_done(done[-1])
    failed = [f"{student} (a folder's name may have letters, digits, and . _ @ + -)" for student in odd]
    for path, graded in grade(waiting):
        student = paths[path]
        if not path.is_file():
            graded = replace(graded, result=replace(graded.result, error=_misnamed(path)))
        changed = _changes(course, assignment, student, graded.result)
        try:
            if not dry_run:
                _record(course, assignment, student, graded)
        except NotConverted as error:
            failed.append(f"{student} ({error})")
            continue
        done.append(Marked(student, graded.result, fresh=True, changes=changed))
        on_done(done[-1])
    if failed:
        raise NotSaved(f"not recorded: {', '.join(sorted(failed))}")
    return done


def finished(course: Path, assignment: Assignment, student: str, path: Path) -> Result | None:
    """The student's result, if everything of it was recorded for the file that is there now."""
    feedback = course / "feedback" / student / assignment.name / f"{assignment.stem}.html"
    autograded = course / "autograded" / student / assignment.name / f"{assignment.stem}.ipynb"
    try:
        result = Result.from_json(result_path(course, assignment.name, student).read_text())
        recorded = json.loads(autograded.read_text())["metadata"]["course"]["submission"]
        with open_gradebook(database_url(course)) as gradebook:
            gradebook.find_submission(assignment.name, student)
    except (OSError, ValueError, KeyError, TypeError, MissingEntry):
        return None
    return result if feedback.is_file() and recorded == submission_digest(path, assignment) else None


def _misnamed(path: Path) -> str:
    found = sorted(other.name for other in path.parent.glob("*.ipynb"))
    what = f"found {', '.join(found[:5])}" if found else "found no notebook"
    return f"expected {path.name}, {what}: hand in the notebook under its own name"


def _changes(course: Path, assignment: Assignment, student: str, result: Result) -> tuple[Change, ...]:
    if not (course / "gradebook.db").is_file():
        return tuple(Change(cell, None, outcome.score) for cell, outcome in result.cells.items())
    with open_gradebook(database_url(course)) as gradebook:
        return changes(gradebook, student, assignment.stem, result)


def _record(course: Path, assignment: Assignment, student: str, graded: Graded) -> None:
    written = result_path(course, assignment.name, student)
    written.unlink(missing_ok=True)
    config = course_config(course)
    config.CourseDirectory.student_id = student
    config.BaseConverter.force = True
    config.SandboxedGrade.grade = lambda path: graded
    config.SaveResult.enabled = False  # the result file comes after the feedback
    convert(RecordMarks, assignment.name, config)
    convert(RecordFeedback, assignment.name, config)
    graded.result.write(written)


class _WrittenWhole(BaseConverter):
    def write_single_notebook(self, output: str, resources: ResourcesDict) -> None:
        names = resources["nbgrader"]
        self.writer.build_directory = self._format_dest(names["assignment"], names["student"])
        name = f"{resources['unique_key']}{resources['output_extension']}"
        write_whole(Path(self.writer.build_directory) / name, output)


class RecordMarks(_WrittenWhole, Autograde):
    """nbgrader's Autograde, which also takes a folder without the notebook: that gets a page that says so."""

    def init_notebooks(self) -> None:
        name = f"{assignments.ASSIGNMENTS[self.coursedir.assignment_id].stem}.ipynb"
        folder = self._format_source(self.coursedir.assignment_id, self.coursedir.student_id)
        self.assignments = {folder: [os.path.join(folder, name)]}  # noqa: PTH118 (nbgrader compares strings)


class RecordFeedback(_WrittenWhole, GenerateFeedback):
    """nbgrader's GenerateFeedback, without a copy of the assignment's data beside each page."""

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        pass
