"""Read an assignment's manifest, `assignment.toml` in its folder of graders."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autograder.course.assignment import ROOMS, Assignment
from autograder.faults import Fault

MANIFEST = "assignment.toml"
OF_ASSIGNMENT = {"order", "paragraphs", "models", "data_sets", "modules", "given", "cells"}
OF_CELL = {"defines", "upstream", "self_contained"}


class BadManifest(Fault):
    """A manifest cannot be used; one line that names file and entry."""


def read_manifest(path: Path) -> tuple[float, Assignment]:
    """The assignment that the manifest in `path` describes, and its place among the assignments of the course.

    The folder gives the name: `transformer_fundamentals/` is `transformer-fundamentals`. Raises BadManifest.
    """
    where = f"{(ROOMS / path.parent.name / path.name).as_posix()}"
    try:
        entry = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadManifest(f"{where} is not TOML: {error}") from None
    _known(entry, OF_ASSIGNMENT, where)
    cells = entry.get("cells")
    if not isinstance(cells, dict) or not cells:
        raise BadManifest(f"{where} has no cells: write a table [cells.NAME] for each cell to fill in")
    for name, cell in cells.items():
        _known(cell, OF_CELL, f"{where}: [cells.{name}]")
    order, paragraphs = (_number(entry, field, where) for field in ("order", "paragraphs"))
    assignment = Assignment(
        root=path.parents[len(ROOMS.parts) + 1],
        name=path.parent.name.replace("_", "-"),
        upstream={name: _names(cell, "upstream", f"{where}: [cells.{name}]") for name, cell in cells.items()},
        defines={name: _names(cell, "defines", f"{where}: [cells.{name}]") for name, cell in cells.items()},
        self_contained=frozenset(name for name, cell in cells.items() if cell.get("self_contained") is True),
        models=_names(entry, "models", where),
        data_sets=_names(entry, "data_sets", where),
        paragraphs=int(paragraphs),
        modules=_names(entry, "modules", where),
        given=_names(entry, "given", where),
    )
    return order, assignment


def _known(entry: Any, fields: set[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise BadManifest(f"{where} is not a table")
    if unknown := sorted(entry.keys() - fields):
        raise BadManifest(f"{where} has unknown fields: {', '.join(unknown)}; known are {', '.join(sorted(fields))}")


def _names(entry: Mapping[str, Any], field: str, where: str) -> tuple[str, ...]:
    names = entry.get(field, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadManifest(f"{where}: `{field}` must be a list of names")
    return tuple(names)


def _number(entry: Mapping[str, Any], field: str, where: str) -> float:
    number = entry.get(field, 0)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise BadManifest(f"{where}: `{field}` must be a number")
    return number
