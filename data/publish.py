"""The rows that students are given, as files beside a notebook."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from data import clause_order, movie_snippets
from data.errors import DataError
from data.examples import Example, Splits
from data.manifest import source

PUBLIC: dict[str, Callable[[], Splits]] = {
    "movie_snippets": movie_snippets.public,
    "clause_order": clause_order.public,
}

INTRODUCTION = """\
# Data

Each folder is a data set: `train.tsv` to learn from, `validation.tsv` to check on. The files are UTF-8 text with one
example a line, `label<TAB>text`, after one header line; nothing is quoted, so quotation marks belong to the text. Label
1 is positive, 0 negative. No text stands in two files.
"""

MOVIE_SNIPPETS = """\
## movie_snippets

Sentences from film reviews, each with the mean of human ratings turned into a label: 1 above 0, 0 below. Ratings
between -0.5 and 0.5 are left out, and so are repeated sentences.

- Source: `{file}` in the source distribution of `{package}` {version}.
- Origin: {origin}
- Licence: {licence}; see `movie_snippets/LICENSE.txt`.
- Citation: {citation}
- Held back: about a quarter of the sentences. The hidden tests measure on some of them, which no model has been trained
  on. The source is public, so they can be looked up; that would tell you nothing about your model.
"""

CLAUSE_ORDER = """\
## clause_order

Made for this course by a generator. A text is a row of short clauses, and its label is the polarity of the last one.
Texts come in pairs, one after the other: same words, same pairs of neighbouring words, opposite labels. A model that
cannot see the order of the clauses is right exactly half the time.

- Source and licence: part of this course, under its licence; nothing is downloaded.
- Held back: the texts that the hidden tests measure on. They are made from a secret number, and none of them is a text
  of these files or the same words in another order.
"""


def write_public(folder: Path, names: Sequence[str]) -> None:
    """Make `folder` hold the public rows of the data sets `names` and a README, and nothing else.

    The same names give the same bytes. A reader sees the old folder or the new one, never a half-written one; a folder
    that is already right is left alone. Raises DataError.
    """
    files = public_files(names)
    try:
        if content(folder) != files:
            replace_folder(folder, files)
    except OSError as error:
        raise DataError(f"public data: cannot write {folder} ({error.strerror or error}); make it writable") from error


def public_files(names: Sequence[str]) -> dict[str, bytes]:
    """Every file of the public folder by its path in it."""
    files = {"README.md": readme(names).encode()}
    for name in names:
        splits = PUBLIC[name]()
        for part, examples in splits._asdict().items():
            files[f"{name}/{part}.tsv"] = table(examples).encode()
    if movie_snippets.NAME in names:
        files[f"{movie_snippets.NAME}/LICENSE.txt"] = movie_snippets.licence()
    return files


def table(examples: Sequence[Example]) -> str:
    """Tab-separated rows under a header.

    >>> table([Example("Dull.", 0)])
    'label\\ttext\\n0\\tDull.\\n'
    """
    for example in examples:
        # any character that some reader takes for the end of a line or a field, not only tab and newline
        if example.text.splitlines() != [example.text] or "\t" in example.text:
            raise ValueError(f"a text with a tab or a line break, or none, cannot be a row: {example.text!r}")
    return "label\ttext\n" + "".join(f"{e.label}\t{e.text}\n" for e in examples)


def readme(names: Sequence[str]) -> str:
    """Where the rows come from, under which terms, and what is held back."""
    sections = [INTRODUCTION]
    for name in names:
        if name == movie_snippets.NAME:
            entry = source(name)
            sections.append(
                MOVIE_SNIPPETS.format(
                    file=movie_snippets.FILE,
                    origin=entry.origin,
                    package=entry.package,
                    version=entry.version,
                    licence=entry.licence,
                    citation=entry.citation,
                )
            )
        else:
            sections.append(CLAUSE_ORDER)
    return "\n".join(sections)


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
