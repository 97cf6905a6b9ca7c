"""What a student can ask before handing in. Needs a release and nothing of the instructor's."""

# The files of this package that `autograder check` needs, for whoever lays out what students may have.
FILES = (
    "__init__.py",
    "__main__.py",
    "assignments.py",
    "cli.py",
    "commands/__init__.py",
    "commands/check.py",
    "feedback/__init__.py",
    "feedback/clean.py",
    "feedback/pictures.py",
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
    "student_check/missing.py",
    "student_check/parts.py",
    "student_check/run.py",
)
