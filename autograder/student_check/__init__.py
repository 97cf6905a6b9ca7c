"""What a student can ask before handing in. Needs a release and nothing of the instructor's."""

from pathlib import Path

# the modules of this package that `autograder check` needs
FILES = (
    "__init__.py",
    "assignments.py",
    "commands/__init__.py",
    "commands/check.py",
    "feedback/__init__.py",
    "feedback/clean.py",
    "feedback/outputs.py",
    "feedback/picture_limits.py",
    "files.py",
    "grading/__init__.py",
    "grading/written.py",
    "limits.py",
    "notebooks/__init__.py",
    "notebooks/old_format.py",
    "notebooks/read.py",
    "notebooks/rebuild.py",
    "student_check/__init__.py",
    "student_check/cells.py",
    "student_check/command_line.py",
    "student_check/missing.py",
    "student_check/parts.py",
    "student_check/run.py",
)


def published() -> dict[str, bytes]:
    """The package as students have it, by the paths in it: `python -m autograder` there is `check` and nothing else."""
    package = Path(__file__).parent.parent
    return {
        "__main__.py": (package / "student_check" / "__main__.py").read_bytes(),
        **{name: (package / name).read_bytes() for name in FILES},
    }
