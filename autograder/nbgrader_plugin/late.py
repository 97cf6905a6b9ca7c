"""When submissions arrived, and what lateness costs.

Arrival times come from whoever collects: `submitted/arrivals.csv` with the columns student, assignment and time (ISO
8601; without an offset it is UTC). nbgrader would believe a `timestamp.txt` inside the submission, which the student
can write. A submission without an entry counts as on time.
"""

import csv
from datetime import UTC, datetime
from pathlib import Path

from nbgrader.api import SubmittedAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import LateSubmissionPlugin
from traitlets.config import Config

ARRIVALS = "arrivals.csv"


class BadArrivals(Exception):
    """A line of the arrivals file that cannot be read; one line."""


def arrival_times(submitted: Path) -> dict[tuple[str, str], datetime]:
    """Arrival times in UTC (naive, as the gradebook keeps them) by student and assignment."""
    path = submitted / ARRIVALS
    if not path.is_file():
        return {}
    times: dict[tuple[str, str], datetime] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
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
