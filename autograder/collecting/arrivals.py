"""When submissions arrived, and who may hand in later: two CSV files that whoever collects keeps in `submitted/`.

`arrivals.csv` has the columns student, assignment and time (ISO 8601; without an offset it is UTC), `extensions.csv`
student, assignment and until. A submission without an arrival time counts as on time.
"""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

from autograder.faults import Fault

ARRIVALS = "arrivals.csv"
EXTENSIONS = "extensions.csv"

Arrivals = dict[tuple[str, str], datetime]  # by student and assignment, in UTC, naive as the gradebook keeps times
Extensions = dict[tuple[str, str], datetime]


class BadArrivals(Fault):
    """A line of the arrivals or extensions file that cannot be read; one line."""


def arrival_times(submitted: Path) -> Arrivals:
    """When each submission arrived."""
    return _read(submitted / ARRIVALS, "time")


def extensions(submitted: Path) -> Extensions:
    """Until when a student may hand in an assignment, for those who got more time than the others."""
    return _read(submitted / EXTENSIONS, "until")


def _read(path: Path, column: str) -> dict[tuple[str, str], datetime]:
    if not path.is_file():
        return {}
    times: dict[tuple[str, str], datetime] = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadArrivals(f"{path.name} is not UTF-8: save it as CSV UTF-8") from None
    with io.StringIO(text, newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                moment = datetime.fromisoformat(row[column].strip())
                key = row["student"].strip(), row["assignment"].strip()
            except (KeyError, ValueError, AttributeError):
                raise BadArrivals(
                    f"{path.name}, line {number}: expected student,assignment,{column} with a time such as "
                    "2026-11-22T18:00:00+01:00"
                ) from None
            times[key] = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return times
