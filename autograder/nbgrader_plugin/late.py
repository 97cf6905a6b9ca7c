"""When submissions arrived, and what lateness costs.

Arrival times come from whoever collects: `submitted/arrivals.csv` with the columns student, assignment and time (ISO
8601; without an offset it is UTC). nbgrader would believe a `timestamp.txt` inside the submission, which the student
can write. A submission without an entry counts as on time.
"""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

from nbgrader.api import Gradebook, SubmittedAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import LateSubmissionPlugin
from traitlets.config import Config

ARRIVALS = "arrivals.csv"

Arrivals = dict[tuple[str, str], datetime]


class BadArrivals(Exception):
    """A line of the arrivals file that cannot be read; one line."""


def arrival_times(submitted: Path) -> Arrivals:
    """Arrival times in UTC (naive, as the gradebook keeps them) by student and assignment."""
    path = submitted / ARRIVALS
    if not path.is_file():
        return {}
    times: Arrivals = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadArrivals(f"{path.name} is not UTF-8: save it as CSV UTF-8") from None
    with io.StringIO(text, newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                moment = datetime.fromisoformat(row["time"].strip())
                key = row["student"].strip(), row["assignment"].strip()
            except (KeyError, ValueError, AttributeError):
                raise BadArrivals(
                    f"{path.name}, line {number}: expected student,assignment,time with a time such as "
                    "2026-11-22T18:00:00+01:00"
                ) from None
            times[key] = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return times


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


def late_penalty(submission: SubmittedAssignment, config: Config) -> float:
    """Points that lateness costs, by the course's `LateSubmissionPlugin`, computed now: due dates may have moved."""
    seconds = submission.total_seconds_late
    if seconds <= 0:
        return 0.0
    chosen = config.AssignLatePenalties.get("plugin_class", LateSubmissionPlugin)
    score = submission.score
    penalty = chosen(config=config).late_submission_penalty(submission.student.id, score, seconds)
    return min(max(float(penalty or 0.0), 0.0), score)
