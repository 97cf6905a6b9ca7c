"""What a student can ask before handing in. Needs a release and nothing of the instructor's."""

from collections.abc import Iterable
from pathlib import Path

from autograder.course.assignment import Assignment
from autograder.course.manifest import MANIFEST

# the modules of this package that `autograder check` needs
FILES = (
    "__init__.py",
    "course/__init__.py",
    "course/assignment.py",
    "course/course.py",
    "course/manifest.py",
    "faults.py",
    "feedback/__init__.py",
    "feedback/clean.py",
    "feedback/outputs.py",
    "feedback/pictures.py",
    "files.py",
    "limits.py",
    "notebooks/__init__.py",
    "notebooks/old_format.py",
    "notebooks/read_submission.py",
    "notebooks/rebuild.py",
    "notebooks/written.py",
    "student_check/__init__.py",
    "student_check/cell_runner.py",
    "student_check/command_line.py",
    "student_check/missing.py",
    "student_check/parts.py",
    "student_check/runner_process.py",
    "student_check/show.py",
)


def published(chosen: Iterable[Assignment]) -> dict[str, bytes]:
    """The package as students have it, by the paths in it, with the manifests of the chosen assignments.

    `python -m autograder` there is `check` and nothing else.
    """
    package = Path(__file__).parent.parent
    return {
        "__main__.py": (package / "student_check" / "__main__.py").read_bytes(),
        **{name: (package / name).read_bytes() for name in FILES},
        **{f"graders/{one.stem}/{MANIFEST}": (one.graders / MANIFEST).read_bytes() for one in chosen},
    }
