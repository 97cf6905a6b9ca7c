"""Save automatic marks without losing what a person decided."""

import hashlib
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.preprocessors import SaveAutoGrades
from sqlalchemy import text

from autograder.results.result import Result

# Beside nbgrader's tables and in the same transactions: which text a mark was given for.
TABLE = "CREATE TABLE IF NOT EXISTS marked_answer (grade_id VARCHAR(64) PRIMARY KEY, digest VARCHAR(64) NOT NULL)"
READ = "SELECT digest FROM marked_answer WHERE grade_id = :grade"
WRITE = "INSERT OR REPLACE INTO marked_answer (grade_id, digest) VALUES (:grade, :digest)"


@dataclass(frozen=True)
class Override:
    """A mark that a person set on an automatic cell."""

    student: str
    cell: str
    automatic: float | None
    manual: float


@dataclass(frozen=True)
class Change:
    """An automatic mark that differs from the gradebook's; `old` is None where there was none."""

    cell: str
    old: float | None
    new: float


class SaveMarks(SaveAutoGrades):
    """Stock SaveAutoGrades, except that a mark whose answer did not change keeps its flag.

    Stock nbgrader flags every manual mark again at each regrade, so that nobody finds the answers that did change.
    For a test cell the answer is the solution cell that it tests. All marks of a submission are one transaction:
    whoever looks, also after a crash, finds the old ones or the new ones.
    """

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        self._sources = {
            cell.metadata.nbgrader.grade_id: cell.source for cell in nb.cells if cell.metadata.get("nbgrader")
        }
        names = resources["nbgrader"]
        self.notebook_id, self.assignment_id = names["notebook"], names["assignment"]
        self.student_id, self.db_url = names["student"], names["db_url"]
        with Gradebook(self.db_url) as self.gradebook:
            self.gradebook.db.execute(text(TABLE))
            self.gradebook.db.commit()
            for index, cell in enumerate(nb.cells):
                self.preprocess_cell(cell, resources, index)
            self.gradebook.db.commit()
        return nb, resources

    def _add_score(self, cell: NotebookNode, resources: dict[str, Any]) -> None:
        name = cell.metadata.nbgrader.grade_id
        grade = self.gradebook.find_grade(name, self.notebook_id, self.assignment_id, self.student_id)
        answer = self._sources.get(name.removesuffix("-tests"), cell.source)
        digest = hashlib.sha256(answer.encode()).hexdigest()
        marked_for = self.gradebook.db.execute(text(READ), {"grade": grade.id}).scalar()
        grade.auto_score, _ = utils.determine_grade(cell, self.log)
        if grade.auto_score is None and not cell.source.strip():
            grade.auto_score = 0.0  # an answer that was emptied or deleted needs nobody to read it
        if grade.manual_score is None or marked_for != digest:
            grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
        self.gradebook.db.execute(text(WRITE), {"grade": grade.id, "digest": digest})

    def _add_comment(self, cell: NotebookNode, resources: dict[str, Any]) -> None:
        name = cell.metadata.nbgrader.grade_id
        comment = self.gradebook.find_comment(name, self.notebook_id, self.assignment_id, self.student_id)
        untouched = cell.metadata.nbgrader.get("checksum") == utils.compute_checksum(cell)
        comment.auto_comment = "No response." if untouched and not utils.is_task(cell) else None


def overrides(gradebook: Gradebook, assignment: str) -> list[Override]:
    """Every manual mark on an automatically graded cell, for a person to look at after a regrade."""
    found = []
    for submission in gradebook.assignment_submissions(assignment):
        for notebook in submission.notebooks:
            written = {cell.name for cell in notebook.notebook.solution_cells}
            for grade in notebook.grades:
                if grade.manual_score is not None and grade.name not in written:
                    found.append(Override(submission.student.id, grade.name, grade.auto_score, grade.manual_score))
    return sorted(found, key=lambda o: (o.student, o.cell))


def changes(gradebook: Gradebook, student: str, notebook: str, result: Result) -> tuple[Change, ...]:
    """How the automatic marks of `result` differ from those in the gradebook."""
    try:
        submitted = gradebook.find_submission_notebook(notebook, result.assignment, student)
        old = {grade.name: grade.auto_score for grade in submitted.grades}
    except MissingEntry:
        old = {}
    new = {cell: outcome.score for cell, outcome in result.cells.items()}
    return tuple(Change(cell, old.get(cell), score) for cell, score in new.items() if _differ(old.get(cell), score))


def _differ(old: float | None, new: float) -> bool:
    return old is None or abs(old - new) > 1e-6
