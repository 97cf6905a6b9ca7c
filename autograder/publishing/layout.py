"""The files of a student's copy of the course, by their paths in it."""

from pathlib import Path

from autograder import student_check
from autograder.course.assignment import Assignment
from autograder.notebooks.leaks import ReleaseRefused
from autograder.publishing.packages import student_requirements

FOLDER = """
## What is in this folder

{tree}

`release/` and `autograder/` are for the check: leave them as they are. The data in a notebook's folder have a README of
their own: where they come from and under which terms.
"""
ENVIRONMENT = """\
# conda env create --file environment.yml
name: transformer-course
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
      - -r requirements.txt
"""


def student_files(chosen: list[Assignment]) -> dict[str, bytes]:
    """Working folders with notebook and data, the notebooks once more for the check, packages, a README.

    Raises FileNotFoundError where an assignment was not released, ReleaseRefused where a release holds a link.
    """
    course = chosen[0].root
    files = {
        "README.md": _readme(chosen).encode(),
        "environment.yml": ENVIRONMENT.encode(),
        "requirements.txt": student_requirements(course / "requirements.lock").encode(),
    }
    files |= {f"autograder/{name}": data for name, data in student_check.published(chosen).items()}
    for one in chosen:
        if not one.release.is_file():
            raise FileNotFoundError(f"release/{one.name} is missing: build it with `autograder release {one.name}`")
        files[f"release/{one.name}/{one.release.name}"] = one.release.read_bytes()
        files |= {f"{one.name}/{name}": data for name, data in _released(one.release.parent).items()}
    return files


def _released(folder: Path) -> dict[str, bytes]:
    """Everything in a release but what an editor left there. Raises ReleaseRefused for a link: it may lead anywhere."""
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*"))}
    seen = {name: path for name, path in found.items() if not any(part.startswith(".") for part in name.parts)}
    if links := [name.as_posix() for name, path in seen.items() if path.is_symlink()]:
        raise ReleaseRefused(f"release/{folder.name}/{links[0]} is a link: build the release anew")
    return {name.as_posix(): path.read_bytes() for name, path in seen.items() if path.is_file()}


def _readme(chosen: list[Assignment]) -> str:
    """The students' page, and what the folder holds."""
    page = chosen[0].root / "docs" / "students.md"
    if not page.is_file():
        raise FileNotFoundError("docs/students.md is missing: it becomes the students' README")
    return page.read_text(encoding="utf-8") + FOLDER.format(tree=_tree(chosen))


def _tree(chosen: list[Assignment]) -> str:
    rows = {
        f"{one.name}/": f"a notebook{' and its data' if (one.release.parent / 'data').is_dir() else ''}"
        for one in chosen
    }
    rows |= {
        "environment.yml": "the packages for conda",
        "requirements.txt": "the packages for pip, with their versions",
        "release/": "the notebooks as they were handed out",
        "autograder/": "the program behind the check",
    }
    wide = max(map(len, rows)) + 2
    return "\n".join(f"    {name:<{wide}}{what}" for name, what in rows.items())
