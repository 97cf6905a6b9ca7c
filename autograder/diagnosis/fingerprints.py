"""What each wrong version of the bank does on the public inputs: which tests it fails, and its answers there.

`autograder verify` makes the file, next to the bank; grading only reads it. A component whose graders, reference or
bank have changed since is not diagnosed until it is made again.
"""

import hashlib
import inspect
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from autograder.bank.versions import Wrong
from autograder.course.assignment import Assignment
from autograder.diagnosis.drawable import Part, drawable
from autograder.diagnosis.replay import recorded, replay
from autograder.diagnosis.sketch import Sketch, changed, changes, sketch
from autograder.files import write_whole
from autograder.testing import draw, expect
from autograder.testing.findings import Pass
from autograder.testing.hidden_tests import run_tests, tests_of
from autograder.testing.in_process import InProcess
from autograder.testing.reference import IMPORTS, reference_cells

TESTING = {Path(module.__file__ or "") for module in (expect, draw)}

Expected = tuple[tuple[str, bool, Sketch], ...]  # test, whether random, the right answer; one entry a request


@dataclass(frozen=True)
class Fingerprint:
    """The public tests that one version fails, and the sketches of its answers to their requests, by number."""

    failed: frozenset[str]
    answers: dict[int, Sketch]


@dataclass(frozen=True)
class Observed:
    """A fingerprint, and what of the answers to the failed tests' requests can be drawn, by number."""

    fingerprint: Fingerprint
    drawable: dict[int, list[Part]]


def observe(assignment: Assignment, cell: str, answering: Any) -> Observed:
    """Run the public tests of `cell`, then replay their requests, on what `answering` (paused there) holds."""
    current = Pass(assignment, answering, public=True)
    run_tests(tests_of(assignment, cell), current)
    failed = frozenset(f.name for f in current.findings if not f.passed)
    requests = recorded(assignment, cell)
    answering.reach(assignment.test_cell(cell))
    sketches: dict[int, Sketch] = {}
    parts: dict[int, list[Part]] = {}
    for number, answer in enumerate(replay(requests, answering) if failed else ()):
        if requests[number].test in failed:
            sketches[number] = sketch(answer)
            parts[number] = drawable(requests[number].answer, answer)
    return Observed(Fingerprint(failed, sketches), parts)


def fingerprint(assignment: Assignment, wrong: Wrong) -> Fingerprint:
    """What the version `wrong` of the bank does, tried in this process."""
    return observe(assignment, wrong.cell, InProcess(assignment, {wrong.cell: wrong.source})).fingerprint


@cache
def expected(assignment: Assignment, cell: str) -> Expected:
    """What the reference answers to every request of the public tests of `cell`."""
    return tuple((r.test, r.random, sketch(r.answer)) for r in recorded(assignment, cell))


def path_of(assignment: Assignment) -> Path:
    return assignment.bank / "fingerprints.json"


def digest(assignment: Assignment, cell: str) -> str:
    """Changes with whatever the fingerprints of `cell` follow from."""
    graders = assignment.graders
    tests = {Path(inspect.getfile(test.function)) for test in tests_of(assignment, cell)}
    shared = {p for p in graders.glob("*.py") if not p.name.startswith(("test_", "measure_", "target"))}
    oracles = set((graders.parent / "oracles").rglob("*.py"))
    hashed = hashlib.sha256()
    for path in sorted(tests | shared | oracles | TESTING | set((graders / "drivers").glob("*.py"))):
        hashed.update(path.name.encode() + path.read_bytes())
    for name in (IMPORTS, *assignment.all_upstream(cell), cell):
        hashed.update(reference_cells(assignment)[name].encode())
    hashed.update((assignment.bank / f"{cell}.toml").read_bytes())
    return hashed.hexdigest()[:16]


def digests(assignment: Assignment) -> dict[str, str]:
    """The digest of every component that the bank knows."""
    return {c: digest(assignment, c) for c in assignment.upstream if (assignment.bank / f"{c}.toml").is_file()}


def stale(assignment: Assignment) -> list[str]:
    """Components whose mistakes are not named, for their fingerprints are missing or follow from something older."""
    made = _file(path_of(assignment))
    return [cell for cell, now in digests(assignment).items() if made.get(cell, {}).get("digest") != now]


def write(assignment: Assignment, found: dict[str, dict[str, Fingerprint]], made_from: dict[str, str]) -> None:
    """Keep the fingerprints of all components, {cell: {id: Fingerprint}}, and the digests of what they follow from."""
    entries = {
        cell: {
            "digest": made_from[cell],
            "versions": {
                name: {"failed": sorted(one.failed), "answers": _kept(one, expected(assignment, cell))}
                for name, one in versions.items()
            },
        }
        for cell, versions in found.items()
    }
    write_whole(path_of(assignment), json.dumps(entries, separators=(",", ":"), ensure_ascii=False) + "\n")


@cache
def known(assignment: Assignment, cell: str) -> dict[str, Fingerprint]:
    """The fingerprints of the wrong versions of `cell`, by id; none where they are out of date."""
    entry = _file(path_of(assignment)).get(cell)
    if entry is None or entry["digest"] != digest(assignment, cell):
        return {}
    right = expected(assignment, cell)
    return {
        name: Fingerprint(failed := frozenset(one["failed"]), _whole(failed, one["answers"], right))
        for name, one in entry["versions"].items()
    }


def _kept(one: Fingerprint, right: Expected) -> dict[str, Sketch]:
    different = {str(i): changes(answer, right[i][2]) for i, answer in one.answers.items()}
    return {i: changes for i, changes in different.items() if changes}


def _whole(failed: frozenset[str], kept: dict[str, Sketch], right: Expected) -> dict[int, Sketch]:
    return {i: changed(answer, kept.get(str(i), {})) for i, (test, _, answer) in enumerate(right) if test in failed}


@cache
def _file(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
