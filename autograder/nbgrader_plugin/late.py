"""What lateness costs, from the recorded arrival times.

nbgrader would believe a `timestamp.txt` inside the submission, which the student can write. Penalties are computed when
marks leave the gradebook, so arrival times, extensions and the due date may change until then.
"""

import math
from datetime import datetime
from pathlib import Path

from nbgrader.api import Gradebook, SubmittedAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import LateSubmissionPlugin
from traitlets import Float
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from autograder.collecting.arrivals import Arrivals, Extensions, arrival_times


def record_arrivals(db_url: str, assignment: str, times: Arrivals) -> None:
    """Bring the gradebook's arrival times up to date, also for submissions that need no grading."""
    with Gradebook(db_url) as gradebook:
        for submission in gradebook.assignment_submissions(assignment):
            arrived = times.get((submission.student.id, assignment))
            if arrived is not None and submission.timestamp != arrived:
                submission.timestamp = arrived
        gradebook.db.commit()


def believe_arrivals_only() -> None:
    """Make every nbgrader command take arrival times from the arrivals file; see `nbgrader_config.py`."""
    CourseDirectory.get_existing_timestamp = _recorded_arrival


def _recorded_arrival(self: CourseDirectory, dest_path: str) -> datetime | None:
    """In place of reading `timestamp.txt` in `dest_path`, a folder STEP/STUDENT/ASSIGNMENT."""
    student, assignment = Path(dest_path).parts[-2:]
    times = arrival_times(Path(self.root) / self.submitted_directory)
    return times.get((student, assignment))


def due_date(submission: SubmittedAssignment, granted: Extensions) -> datetime | None:
    """When the submission is due, in UTC: the assignment's date, or a later one that this student was granted."""
    due = submission.duedate  # with an extension that stands in the gradebook
    until = granted.get((submission.student.id, submission.assignment.name))
    return max(due, until) if due and until else due


def seconds_late(submission: SubmittedAssignment, granted: Extensions) -> float:
    """0 where nothing is due, or no arrival was recorded."""
    due, arrived = due_date(submission, granted), submission.timestamp
    return max(0.0, (arrived - due).total_seconds()) if due and arrived else 0.0


def late_penalty(submission: SubmittedAssignment, config: Config, granted: Extensions) -> float:
    """Points that lateness costs, by the course's `LateSubmissionPlugin`, computed now: due dates may have moved."""
    seconds = seconds_late(submission, granted)
    if seconds <= 0:
        return 0.0
    chosen = config.AssignLatePenalties.get("plugin_class", LateSubmissionPlugin)
    plugin = import_item(chosen) if isinstance(chosen, str) else chosen
    score = submission.score
    penalty = plugin(config=config).late_submission_penalty(submission.student.id, score, seconds)
    return min(max(float(penalty or 0.0), 0.0), score)


class PercentADay(LateSubmissionPlugin):
    """Takes a share of the score for each day begun; see `nbgrader_config.py`."""

    percent = Float(10.0, help="of the score, for each day begun").tag(config=True)
    grace_minutes = Float(15.0, help="that cost nothing").tag(config=True)

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float:
        if total_seconds_late <= 60 * self.grace_minutes:
            return 0.0
        return min(score, score * self.percent / 100 * math.ceil(total_seconds_late / 86_400))
