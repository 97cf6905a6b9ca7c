"""Search a release for what students must not get: solutions, hidden tests and data, machine paths, outputs."""

import base64
import json
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from autograder.course.assignment import Assignment
from autograder.datasets.find import data_sets_beside
from autograder.faults import Fault
from autograder.notebooks import hidden_rows
from autograder.notebooks.machine_paths import find_paths
from autograder.notebooks.withheld import Withheld, hidden_tests, markers, readings, solutions, visible_text

FILE_TYPES = (".ipynb", ".tsv", ".md", ".txt", ".png", ".jpg", ".svg")
PUBLIC_SPLITS = ("train.tsv", "validation.tsv")
LARGEST_FILE = 20 * 2**20


@dataclass(frozen=True)
class Leak:
    """`where` is a file of the release and, in a notebook, its cell; `what` says what stands there."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class ReleaseRefused(Fault):
    """The release was not put in place; the text names each place, a line each."""

    @staticmethod
    def because_of(leaks: list[Leak], assignment: str) -> "ReleaseRefused":
        places = "1 place leaks" if len(leaks) == 1 else f"{len(leaks)} places leak"
        return ReleaseRefused("\n  ".join([f"release/{assignment} was refused, {places}:", *map(str, leaks)]))


@dataclass(frozen=True)
class Place:
    """A text of the release, and where it stands."""

    where: str
    text: str


def find_leaks(folder: Path, assignment: Assignment) -> list[Leak]:
    """Everything in the release `folder` that must not go out, in the order of files and cells."""
    source = nbformat.read(assignment.source, as_version=4)
    data_sets = data_sets_beside(assignment)
    withheld = markers() + solutions(source) + hidden_tests(assignment.graders, source)
    withheld += hidden_rows.withheld(data_sets, assignment.root)
    visible = visible_text(source)
    found: list[Leak] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found += (Leak(name, what) for what in _unexpected(path, name, assignment))
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_FILE:
            continue
        if path.suffix == ".tsv":
            found += (Leak(f"{name}, line {n}", what) for n, what in hidden_rows.not_public(path, data_sets))
            continue
        places = list(_places(path, name))
        found += _in_texts(places, withheld, assignment.root)
        for place in places:
            found += (Leak(place.where, what) for what in hidden_rows.like_hidden(place.text, visible, data_sets))
        if path.suffix == ".ipynb":
            found += _results(path, name)
    return found


def _unexpected(path: Path, name: str, assignment: Assignment) -> Iterator[str]:
    mode = path.lstat().st_mode
    if path.name.startswith("."):
        yield "a hidden file or folder"
    if stat.S_ISLNK(mode):
        yield f"a link to {path.readlink()}"
    elif stat.S_ISDIR(mode):
        return
    elif not stat.S_ISREG(mode):
        yield "not an ordinary file"
    elif path.suffix not in FILE_TYPES:
        yield f"a file of a kind that no release holds ({path.suffix or 'no suffix'})"
    elif path.suffix == ".ipynb" and name != assignment.release.name:
        yield "a notebook beside the released one"
    elif path.suffix == ".tsv" and path.name not in PUBLIC_SPLITS:
        yield "a split that is not public"
    elif path.stat().st_size > LARGEST_FILE:
        yield f"larger than {LARGEST_FILE // 2**20} MB"


def _in_texts(places: list[Place], withheld: Iterable[Withheld], root: Path) -> Iterator[Leak]:
    """One leak for each place and owner, and for each machine path."""
    squashed = [(place, readings(place.text)) for place in places]
    whole = "\0".join(text for _, text in squashed)
    suspects = [w for w in withheld if w.text in whole]
    for place, text in squashed:
        shown: dict[str, str] = {}
        for one in suspects:
            if one.text in text:
                shown.setdefault(one.owner, one.shown)
        for owner, piece in shown.items():
            yield Leak(place.where, f"{owner}: {piece if len(piece) <= 60 else piece[:57] + '...'}".removesuffix(": "))
        for path in dict.fromkeys(find_paths(place.text, root)):
            yield Leak(place.where, f"a path of a machine: {path}")


def _places(path: Path, name: str) -> Iterator[Place]:
    content = path.read_bytes()
    text = content.decode("utf-8", "replace")
    if path.suffix != ".ipynb":
        yield Place(name, text)
        return
    try:
        notebook = json.loads(text)
        cells = list(enumerate(notebook.pop("cells")))
    except (ValueError, AttributeError, KeyError, TypeError):
        yield Place(name, text)
        return
    yield Place(f"{name}, its metadata", "\n".join(_strings(notebook)))
    for i, cell in cells:
        yield Place(f"{name}, cell {_label(cell, i)}", "\n".join(_strings(cell)))


def _results(path: Path, name: str) -> Iterator[Leak]:
    """Stored outputs and execution counts."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
    except (ValueError, KeyError, TypeError):
        yield Leak(name, "not a notebook")
        return
    for i, cell in enumerate(cells):
        if cell.get("outputs"):
            yield Leak(f"{name}, cell {_label(cell, i)}", "a stored output")
        elif cell.get("execution_count") is not None:
            yield Leak(f"{name}, cell {_label(cell, i)}", "an execution count")


def _label(cell: dict[str, Any], index: int) -> str:
    return cell.get("metadata", {}).get("nbgrader", {}).get("grade_id") or f"{index + 1} ({cell.get('id')})"


def _strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value: keys, strings, lists of lines joined, and what base64 in it says.

    >>> list(_strings({"source": ["one ", "two"], "image": "aGlkZGVu"}))
    ['source', 'one two', 'image', 'aGlkZGVu', 'hidden']
    """
    if isinstance(value, str):
        yield value
        yield from _decoded(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        yield from _strings("".join(value))
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _decoded(text: str) -> Iterator[str]:
    """What a base64 text, such as an attached file, says."""
    try:
        yield base64.b64decode("".join(text.split()), validate=True).decode("utf-8", "replace")
    except ValueError:
        return
