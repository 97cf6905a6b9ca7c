"""Put one graded submission into the gradebook, autograded/, feedback/ and results/, each part whole or not at all."""

import os
from functools import partial
from pathlib import Path

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import BaseConverter
from traitlets import Instance

from autograder.course.assignment import Assignment
from autograder.course.course import course_at
from autograder.files import sweep, write_whole
from autograder.grading.graded import Graded
from autograder.nbgrader_plugin.marks import SaveMarks
from autograder.nbgrader_plugin.preprocessors import result_path, with_feedback
from autograder.notebooks.nbgrader_convert import convert, course_config


def record(course: Path, assignment: Assignment, student: str, graded: Graded) -> None:
    """The result file goes first and comes back last, so that a student with one is finished.

    What was recorded before stays until its successor is whole; an error leaves it and is raised as it is.
    """
    written = result_path(course, assignment.name, student)
    written.unlink(missing_ok=True)
    config = course_config(course, course)
    config.CourseDirectory.student_id = student
    convert(partial(RecordMarks, graded=graded), assignment.name, config)
    convert(RecordFeedback, assignment.name, config)
    graded.result.write(written)


class _OneSubmission(BaseConverter):
    """nbgrader's conversion of one notebook of one student, by our own rules for files and errors.

    Stock nbgrader deletes what is there, copies what stands beside the notebook (following links out of the
    submission), deletes everything again after an error, and keeps the error for its log.
    """

    def init_notebooks(self) -> None:
        name = f"{course_at(Path(self.coursedir.root)).named(self.coursedir.assignment_id).stem}.ipynb"
        folder = self._format_source(self.coursedir.assignment_id, self.coursedir.student_id)
        self.notebooks = [os.path.join(folder, name)]  # noqa: PTH118 (nbgrader compares strings)

    def convert_notebooks(self) -> None:
        self.init_assignment(self.coursedir.assignment_id, self.coursedir.student_id)
        for notebook in self.notebooks:
            self.convert_single_notebook(notebook)

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        pass

    def write_single_notebook(self, output: str, resources: ResourcesDict) -> None:
        names = resources["nbgrader"]
        folder = Path(self._format_dest(names["assignment"], names["student"]))
        sweep(folder)
        write_whole(folder / f"{resources['unique_key']}{resources['output_extension']}", output)


class RecordMarks(_OneSubmission, Autograde):
    """nbgrader's Autograde, which also takes a folder without the notebook: that gets a page that says so."""

    graded = Instance(Graded)

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        arrived = self.coursedir.get_existing_timestamp(self._format_source(assignment_id, student_id))
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            gradebook.update_or_create_student(student_id)
            known = {"timestamp": arrived} if arrived else {}
            gradebook.update_or_create_submission(assignment_id, student_id, **known)

    def convert_single_notebook(self, notebook_filename: str) -> None:
        """Save the marks and write the notebook as it was graded; the file that was handed in is not looked at."""
        resources = self.init_single_notebook_resources(notebook_filename)
        notebook = with_feedback(self.graded)
        SaveMarks(parent=self).preprocess(notebook, resources)
        self.write_single_notebook(nbformat.writes(notebook) + "\n", resources | {"output_extension": ".ipynb"})


class RecordFeedback(_OneSubmission, GenerateFeedback):
    """nbgrader's GenerateFeedback."""
