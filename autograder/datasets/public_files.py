"""The rows that students are given, as files beside a notebook."""

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from autograder.datasets.data_set import DataSet
from autograder.faults import DataError

INTRODUCTION = """\
# Data

Each folder is a data set: `train.tsv` to learn from, `validation.tsv` to check on. The files are UTF-8 text with one
example a line, `label<TAB>text`, after one header line; nothing is quoted, so quotation marks belong to the text. Label
1 is positive, 0 negative. No text stands in two files.
"""


def write_public(folder: Path, data_sets: Sequence[DataSet]) -> None:
    """Make `folder` hold the public rows of the data sets and a README, and nothing else.

    The same data sets give the same bytes. A reader sees the old folder or the new one, never a half-written one; a
    folder that is already right is left alone. Raises DataError.
    """
    files = public_files(data_sets)
    try:
        if content(folder) != files:
            replace_folder(folder, files)
    except OSError as error:
        raise DataError(f"public data: cannot write {folder} ({error.strerror or error}); make it writable") from error


def public_files(data_sets: Sequence[DataSet]) -> dict[str, bytes]:
    """Every file of the public folder by its path in it."""
    files = {"README.md": readme(data_sets).encode()}
    for one in data_sets:
        for part, examples in one.public()._asdict().items():
            files[f"{one.name}/{part}.tsv"] = table(one, examples).encode()
        files |= {f"{one.name}/{name}": content for name, content in one.files().items()}
    return files


def table(data_set: DataSet, examples: Sequence[Any]) -> str:
    """Tab-separated rows under a header."""
    return "".join(f"{line}\n" for line in (data_set.header, *data_set.lines(examples)))


def readme(data_sets: Sequence[DataSet]) -> str:
    """Where the rows come from, under which terms, and what is held back."""
    return "\n".join([INTRODUCTION, *(one.readme() for one in data_sets)])


def content(folder: Path) -> dict[str, bytes]:
    """Every file under `folder` by its relative path; empty where there is no folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def replace_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Build the folder beside its place, then exchange it for the old one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch, "new")
        for name, data in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for attempt in range(10):
            with suppress(FileNotFoundError):
                folder.rename(Path(scratch, f"old-{attempt}"))
            try:
                new.rename(folder)
                return
            except OSError:  # another process has put its own there in the meantime
                if content(folder) == files:
                    return
        raise OSError(f"{folder} is being changed by another process")
