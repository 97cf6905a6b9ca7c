"""Read an assignment's bank: `CELL.toml` (wrong), `correct/CELL.toml`, and the contract's clauses, `clauses*.toml`."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from autograder.course.assignment import Assignment
from autograder.faults import Fault
from autograder.testing.reference import reference_cells

WRONG_FIELDS = {"mistake", "hint", "clauses", "costs", "edits", "append", "code"}
CORRECT_FIELDS = {"style", "edits", "append", "code"}


class BadBank(Fault):
    """An entry of the bank cannot be used; one line that names file and entry."""


@dataclass(frozen=True)
class Wrong:
    """A wrong version of one component. `source` is the whole cell; `costs` are the cells that must lose points."""

    id: str
    cell: str
    source: str
    mistake: str
    hint: str
    clauses: tuple[str, ...]
    costs: tuple[str, ...]


@dataclass(frozen=True)
class Correct:
    """A correct variant of one component; `style` says what is different about it."""

    id: str
    cell: str
    source: str
    style: str


@cache
def wrong_versions(assignment: Assignment) -> tuple[Wrong, ...]:
    """Every wrong version, in the notebook's order of components."""
    found = [
        Wrong(
            name,
            cell,
            _source(entry, cell, assignment, where),
            _text(entry, "mistake", where),
            _text(entry, "hint", where),
            tuple(entry.get("clauses", ())),
            tuple(entry.get("costs", (cell,))),
        )
        for cell, name, entry, where in _entries(assignment, assignment.bank, WRONG_FIELDS)
    ]
    return tuple(found)


@cache
def correct_variants(assignment: Assignment) -> tuple[Correct, ...]:
    """Every correct variant, in the notebook's order of components."""
    found = [
        Correct(name, cell, _source(entry, cell, assignment, where), _text(entry, "style", where))
        for cell, name, entry, where in _entries(assignment, assignment.bank / "correct", CORRECT_FIELDS)
    ]
    return tuple(found)


@cache
def clauses(assignment: Assignment) -> dict[str, str]:
    """The contract's clauses: id `COMPONENT.KEY` -> text."""
    found: dict[str, str] = {}
    for path in sorted(assignment.bank.glob("clauses*.toml")):
        for cell, texts in _read(path).items():
            found |= {f"{cell}.{key}": text for key, text in texts.items()}
    order = {cell: n for n, cell in enumerate(assignment.upstream)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0].split(".")[0], len(order))))


def _entries(assignment: Assignment, folder: Path, fields: set[str]) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    seen: set[str] = set()
    for cell in assignment.upstream:
        path = folder / f"{cell}.toml"
        for name, entry in _read(path).items() if path.is_file() else ():
            where = f"{_named(path)}: [{name}]"
            if not isinstance(entry, dict) or (unknown := sorted(entry.keys() - fields)):
                raise BadBank(f"{where} has unknown fields: {', '.join(unknown) if isinstance(entry, dict) else entry}")
            if name in seen or not name.startswith(f"{cell}-"):
                raise BadBank(f"{where}: an id begins with '{cell}-' and occurs once")
            seen.add(name)
            yield cell, name, entry, where


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadBank(f"{_named(path)} is not TOML: {error}") from None


def _named(path: Path) -> str:
    """The way to a file of a bank from the folder of all graders."""
    return path.as_posix().rpartition("/graders/")[2]


def _text(entry: dict[str, Any], field: str, where: str) -> str:
    text = entry.get(field)
    if not isinstance(text, str) or not text.strip():
        raise BadBank(f"{where}: `{field}` is missing")
    return text.strip()


def _source(entry: dict[str, Any], cell: str, assignment: Assignment, where: str) -> str:
    """The cell's text: `code` alone, or the reference's cell with `edits`, or with `append` after it."""
    if len(entry.keys() & {"edits", "append", "code"}) != 1:
        raise BadBank(f"{where} needs exactly one of `code`, `edits` and `append`")
    if "code" in entry:
        source = entry["code"]
    else:
        source = reference_cells(assignment)[cell]
        for old, new in entry.get("edits", ()):
            if old not in source:
                raise BadBank(f"{where}: the reference's cell does not contain {old!r}")
            source = source.replace(old, new, 1)
        source += "\n" + entry.get("append", "")
    try:
        compile(source, name := f"<{cell}>", "exec")
    except SyntaxError as error:
        raise BadBank(f"{where} does not compile: {error.msg}, {name} line {error.lineno}") from None
    return source
