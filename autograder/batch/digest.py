"""What a result depends on, as SHA-256: where that is the same, grading again would give the same result.

The sandbox's tier is not part of it: a result names its own (`unchanged.still_holds`).
"""

import hashlib
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import autograder
from autograder.course.assignment import Assignment
from autograder.datasets.secret import course_secret
from autograder.datasets.sources import MANIFEST
from autograder.limits import SUBMISSION_BYTES

PACKAGE = Path(autograder.__file__).parent
CODE = (
    "course",
    "results",
    "datasets",
    "worker",
    "sandbox",
    "feedback",
    "notebooks",
    "testing",
    "bank",
    "diagnosis",
    "grading",
)
FILES = (PACKAGE / "limits.py", MANIFEST)
SHARED = ("oracles", "data_sets")  # what graders of several assignments use
GRADERS = (".py", ".json", ".toml", ".ini")
VARIABLES = ("COURSE_MODEL", "COURSE_GPU")


def course_digest(assignment: Assignment) -> str:
    """The version of the course: graders, release, reference, bank, data, the code that grades, and what it runs on.

    It reads some megabytes: take it once a run.
    """
    digest = hashlib.sha256(f"{platform.python_version()} {version('torch')}".encode())
    for path in _files(assignment):
        content = path.read_bytes()
        digest.update(f"{path.parent.name}/{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def grading_digest(assignment: Assignment, execute: str) -> str:
    """All that a result depends on but the submission. Take it once a run. Raises DataError without a course secret."""
    digest = hashlib.sha256(course_digest(assignment).encode() + course_secret(assignment.root))
    digest.update("\n".join([execute, *(os.environ.get(name, "") for name in VARIABLES)]).encode())
    return digest.hexdigest()


def submission_digest(path: Path, grading: str) -> str:
    """What the result of the file in `path` depends on; empty where the file cannot be read.

    Take it before grading, so that a file that is replaced meanwhile is graded again. Of what is no file nothing is
    read, and of one that is too large to be graded its size stands for the rest.
    """
    digest = hashlib.sha256(f"{grading} {path.name}\n".encode(errors="replace"))
    try:
        if path.is_symlink():
            digest.update(b"link")
        elif path.is_file():
            with path.open("rb") as file:
                content = file.read(SUBMISSION_BYTES + 1)
            digest.update(f"file {path.stat().st_size}\n".encode() + content)
    except OSError:
        return ""
    return digest.hexdigest()


def _files(assignment: Assignment) -> Iterator[Path]:
    yield from FILES
    for folder in (PACKAGE / name for name in CODE):
        yield from sorted(folder.rglob("*.py"))
    rooms = assignment.graders.parent
    graders = [
        *rooms.glob("*"),
        *(p for room in (assignment.graders, *(rooms / n for n in SHARED)) for p in room.rglob("*")),
    ]
    yield from sorted(path for path in graders if path.suffix in GRADERS and path.is_file())
    release = assignment.release.parent
    visible = (p for p in release.rglob("*") if not any(n.startswith(".") for n in p.relative_to(release).parts))
    yield from sorted(path for path in visible if path.is_file())
    single = (assignment.source.with_suffix(".py"), assignment.root / "requirements.lock")
    yield from (path for path in single if path.is_file())
