"""What nbgrader's autograding runs in place of its own reading, sanitising and execution."""

import shutil
from pathlib import Path
from typing import Any, Literal, cast

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Enum

from autograder.batch.digest import grading_digest, submission_digest
from autograder.course.assignment import Assignment
from autograder.course.course import NoSuchAssignment, course_at
from autograder.feedback.cells import attach_feedback
from autograder.grading.graded import Graded
from autograder.results.result import Mode


class SubmissionExporter(NotebookExporter):
    """Starts from an empty notebook, without reading the file: stock reading stops at a damaged one.

    SandboxedGrade puts in the submission as it was graded: rebuilt on the release's skeleton, so that no cell is
    missing, doubled or changed, and nothing is left for nbgrader's sanitising preprocessors to do.
    """

    def from_filename(self, filename: str, resources: dict[str, Any] | None = None, **kw: Any) -> Any:
        path = Path(filename)
        resources = resources or {}
        resources["metadata"] = {"name": path.stem, "path": str(path.parent)}
        return self.from_notebook_node(nbformat.v4.new_notebook(), resources, **kw)


class _OfSubmission(NbGraderPreprocessor):
    """A preprocessor that knows where the submission lies: its exporter's converter has the course's directories."""

    @property
    def coursedir(self) -> CourseDirectory:
        return self.parent.parent.coursedir

    def assignment(self, resources: dict[str, Any]) -> Assignment:
        try:
            return course_at(Path(self.coursedir.root)).named(resources["nbgrader"]["assignment"])
        except NoSuchAssignment as error:
            raise SystemExit(str(error)) from None

    def folder(self, step: str, resources: dict[str, Any]) -> Path:
        names = resources["nbgrader"]
        return Path(self.coursedir.format_path(step, names["student"], names["assignment"]))

    def submitted(self, resources: dict[str, Any]) -> Path:
        folder = self.folder(self.coursedir.submitted_directory, resources)
        return folder / f"{resources['nbgrader']['notebook']}.ipynb"


class SandboxedGrade(_OfSubmission):
    """Grades the submitted file with the hidden graders, its code in the sandbox, and writes the feedback into it."""

    sandbox = Enum(("auto", "none"), "auto", help="as in `autograder grade --sandbox`").tag(config=True)
    execute = Enum(("definitions", "all"), "definitions", help="as in `autograder grade --execute`").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        assignment, path = self.assignment(resources), self.submitted(resources)
        graded = self._grade_here(path, assignment, resources)
        notebook, result = with_feedback(graded), graded.result
        resources["result"] = result
        said = result.error or f"{result.score:g} of {result.max_score:g}"
        self.log.info("%s: %s (%.1f s)", resources["nbgrader"]["student"], said, result.seconds)
        return notebook, resources

    def _grade_here(self, path: Path, assignment: Assignment, resources: dict[str, Any]) -> Graded:
        from autograder.batch.many import FAULTS, Settings, grade_one  # imports torch, which takes a second

        digest = submission_digest(path, grading_digest(assignment, self.execute))
        try:
            sandbox = cast(Literal["auto", "none"], self.sandbox)
            settings = Settings(assignment, sandbox, cast(Mode, self.execute))
            return grade_one(path, settings).under(digest)
        except FAULTS as error:
            # A folder that is there counts as graded next time.
            shutil.rmtree(self.folder(self.coursedir.autograded_directory, resources), ignore_errors=True)
            raise SystemExit(f"grading stopped: {error}") from None


class SaveResult(_OfSubmission):
    """Writes results/ASSIGNMENT/STUDENT.json once the gradebook has the marks."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        names = resources["nbgrader"]
        resources["result"].write(result_path(Path(self.coursedir.root), names["assignment"], names["student"]))
        return nb, resources


def with_feedback(graded: Graded) -> NotebookNode:
    """The graded notebook, changed in place: its feedback in the outputs, and what it follows from in its metadata."""
    attach_feedback(graded.notebook, graded.result)
    graded.notebook.metadata.course = {"submission": graded.result.digest}
    return graded.notebook


def result_path(course: Path, assignment: str, student: str) -> Path:
    return course / "results" / assignment / f"{student}.json"
