"""Put submissions where grading looks for them. Nothing is overwritten: what gives way is kept under its time."""

import csv
import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from autograder.collecting.arrivals import ARRIVALS, Arrivals, arrival_times
from autograder.collecting.bulk_download import CollectError, Refused, read_file
from autograder.collecting.choose import Chosen, Version
from autograder.course.assignment import Assignment
from autograder.files import write_whole

What = Literal["new", "unchanged", "replaced", "older"]


@dataclass(frozen=True)
class Placed:
    """What became of a student's submission. `older`: what was there had arrived later, and stays."""

    student: str
    what: What
    arrived: datetime | None
    earlier: int = 0


def place(
    submitted: Path, assignment: Assignment, student: str, chosen: Chosen, times: Arrivals, *, forced: bool, dry: bool
) -> Placed:
    """Write `submitted/STUDENT/NAME/STEM.ipynb`, earlier versions beside it in `NAME.earlier`, and bring `times` up
    to date; with `dry` only tell. `forced` times are a person's word and replace what was recorded.

    Raises Refused where something else than a file stands in the way.
    """
    folder = submitted / student / assignment.name
    path, key, version = folder / f"{assignment.stem}.ipynb", (student, assignment.name), chosen.version
    for there in (folder, folder.parent):
        if there.is_symlink() or (there.exists() and not there.is_dir()):
            raise Refused(f"submitted/{there.relative_to(submitted)} is a link or no folder: move it away")
    known, arrived = times.get(key), _naive(version.arrived)
    old = read_file(path) if path.exists() or path.is_symlink() else None
    if old is not None and hashlib.sha256(old).hexdigest() == version.digest:
        what: What = "unchanged"
    elif old is None:
        what = "new"
    else:
        what = "older" if known and arrived and arrived < known and not forced else "replaced"
    if arrived and (what in ("new", "replaced") or known is None or forced):
        times[key] = arrived
    elif what == "replaced":
        times.pop(key, None)  # the old one's time says nothing of the new one
    aside = [(v.handed.read(), v.arrived) for v in chosen.earlier]
    if what == "older":
        aside.append((version.handed.read(), version.arrived))
    if what == "replaced" and old is not None:
        aside.append((old, known or datetime.fromtimestamp(path.stat().st_mtime, UTC)))
    kept = sum(_keep(folder.with_name(f"{folder.name}.earlier"), data, moment, dry) for data, moment in aside)
    if what in ("new", "replaced") and not dry:
        write_whole(path, _same(version))
    return Placed(student, what, times.get(key), kept)


def _same(version: Version) -> bytes:
    """The bytes again; a file that has changed since it was looked at is not what was chosen."""
    data = version.handed.read()
    if hashlib.sha256(data).hexdigest() != version.digest:
        raise Refused(f"{version.handed.shown} changed while it was read: collect again")
    return data


def _keep(folder: Path, data: bytes, moment: datetime | None, dry: bool) -> bool:
    """Keep an earlier version under the time at which it arrived; one that is there already is not kept twice."""
    if folder.is_symlink():
        raise Refused(f"{folder.name} is a link: move it away")
    if any(path.read_bytes() == data for path in folder.glob("*.ipynb") if path.stat().st_size == len(data)):
        return False
    naive = _naive(moment)
    name = naive.strftime("%Y-%m-%dT%H%M%SZ") if naive else "time-unknown"
    free = next(p for n in range(10**6) if not (p := folder / f"{name}{f'-{n}' if n else ''}.ipynb").exists())
    if not dry:
        write_whole(free, data)
    return True


def _naive(moment: datetime | None) -> datetime | None:
    """UTC without an offset, as the gradebook keeps times."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment and moment.tzinfo else moment


def write_arrivals(submitted: Path, times: Arrivals) -> None:
    """`submitted/arrivals.csv` with these times, whole; untouched where nothing has changed."""
    if times == arrival_times(submitted):
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("student", "assignment", "time"))
    writer.writerows(
        (student, name, f"{moment.isoformat()}+00:00") for (student, name), moment in sorted(times.items())
    )
    write_whole(submitted / ARRIVALS, text.getvalue())


def given_time(text: str | None) -> datetime | None:
    """The `--arrived` option; without an offset it is UTC, as in the arrivals file."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CollectError(f"--arrived {text!r} is not a time such as 2026-11-22T18:00:00+01:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
