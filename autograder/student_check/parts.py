"""The quick checks of a notebook, part by part."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nbformat
from nbformat import NotebookNode

from autograder.course.assignment import Assignment
from autograder.course.course import NoSuchAssignment, this_course
from autograder.limits import CELL_SECONDS
from autograder.notebooks.read_submission import Unreadable, read_submission
from autograder.notebooks.rebuild import WrongNotebook, grade_id, is_editable, rebuild
from autograder.notebooks.written import advice
from autograder.student_check.missing import empty_answers, is_unfilled
from autograder.student_check.runner_process import CannotCheck, Cell, Ran, run_cells

State = Literal["ok", "failed", "not filled in"]
SET_UP_SECONDS = 120.0  # the first start after an installation, with a language model to load, on a slow laptop


@dataclass(frozen=True)
class Part:
    """One cell to fill in: its heading in the notebook, and what its quick checks said."""

    cell: str
    title: str
    state: State
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """`missing` must be mended before handing in; `notes` are worth a look."""

    assignment: str
    parts: tuple[Part, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        return not self.missing and all(part.state == "ok" for part in self.parts)


def check_notebook(path: Path, name: str | None = None, step: Callable[[str], object] = lambda _: None) -> Report:
    """Run set-up, filled cells and quick checks (as released) of the notebook in `path`. Raises CannotCheck.

    Demonstrations and experiments are not run. `step` hears the name of each cell that starts.
    """
    try:
        submitted = read_submission(path)
    except Unreadable as error:
        raise CannotCheck(f"{path}: {error}") from None
    assignment = _assignment(submitted, path, name)
    release = _release(assignment)
    try:
        rebuilt = rebuild(release, submitted, assignment)
    except WrongNotebook as error:
        raise CannotCheck(f"{path}: {error}") from None
    notebook = rebuilt.notebook
    cells = [_to_run(i, c, assignment) for i, c in enumerate(notebook.cells) if _is_run(c)]
    names = {i: grade_id(c) or "a cell of yours" for i, c in enumerate(notebook.cells)}
    ran = run_cells(cells, _folder(path, assignment), step=lambda index: step(names[index]))
    parts = tuple(_parts(notebook, assignment, ran))
    return Report(
        assignment.name,
        parts,
        tuple(_missing(notebook, parts)),
        (*rebuilt.notes, *_set_up_problems(notebook, ran), *advice(_answered(notebook), assignment)),
    )


def _assignment(notebook: NotebookNode, path: Path, name: str | None) -> Assignment:
    """The one that was named, else the one whose cells the notebook has, else the one that the file is called after."""
    course = this_course()
    if name is not None:
        try:
            return course.named(name)
        except NoSuchAssignment as error:
            raise CannotCheck(str(error)) from None
    given = {grade_id(cell) for cell in notebook.cells}
    shared = {one: len(given & set(one.upstream)) for one in course.assignments.values()}
    best = max(shared, key=lambda one: (shared[one], path.stem.startswith(one.stem)))
    if not shared[best] and not path.stem.startswith(best.stem):
        known = ", ".join(course.assignments)
        raise CannotCheck(f"{path}: this is no notebook of the course; if it is, say which: --assignment with {known}")
    return best


def _release(assignment: Assignment) -> NotebookNode:
    if not assignment.release.is_file():
        raise CannotCheck(f"{assignment.release} is missing: the check needs the notebook as it was handed out")
    return nbformat.read(assignment.release, as_version=4)


def _folder(path: Path, assignment: Assignment) -> Path:
    """Where the notebook runs: in its own folder if the data stand there, else beside the released notebook."""
    own, released = path.absolute().parent, assignment.release.parent
    return released if (released / "data").is_dir() and not (own / "data").is_dir() else own


def _is_run(cell: NotebookNode) -> bool:
    for_the_eye = not {"demo", "experiment"}.isdisjoint(cell.metadata.get("tags", ()))
    return cell.cell_type == "code" and bool(cell.source.strip()) and not for_the_eye


def _to_run(index: int, cell: NotebookNode, assignment: Assignment) -> Cell:
    names = assignment.defines.get(grade_id(cell) or "", ())
    return Cell(index, cell.source, names, SET_UP_SECONDS if _is_set_up(cell) else CELL_SECONDS)


def _is_set_up(cell: NotebookNode) -> bool:
    return "setup" in cell.metadata.get("tags", ())


def _parts(notebook: NotebookNode, assignment: Assignment, ran: dict[int, Ran]) -> Iterator[Part]:
    places = {grade_id(cell): i for i, cell in enumerate(notebook.cells)}
    for name in assignment.upstream:
        cell, checks = places[name], places[assignment.test_cell(name)]
        state, said = _judged(notebook.cells[cell].source, name, ran.get(cell), ran.get(checks))
        yield Part(name, _heading(notebook, cell), state, said)


def _judged(source: str, name: str, cell: Ran | None, checks: Ran | None) -> tuple[State, tuple[str, ...]]:
    if is_unfilled(source) and (checks is None or checks.error is not None):
        return "not filled in", ()
    if cell is not None and cell.error is not None:
        return "failed", (f"The cell {name} stops: {cell.error}",)
    if cell is not None and cell.undefined:
        return "failed", (f"The cell {name} does not define {' and '.join(cell.undefined)}.",)
    if checks is None:
        return "failed", ("Not tried, because cells above did not finish.",)
    held = tuple(line for line in checks.printed.splitlines() if line.startswith("ok: "))
    return ("ok", held) if checks.error is None else ("failed", (*held, checks.error))


def _heading(notebook: NotebookNode, index: int) -> str:
    """The last heading above a cell, as it stands there."""
    for cell in reversed(notebook.cells[:index]):
        if cell.cell_type == "markdown" and (found := re.findall(r"^#+\s+(.+)$", cell.source, re.MULTILINE)):
            return found[-1].strip()
    return grade_id(notebook.cells[index]) or ""


def _missing(notebook: NotebookNode, parts: tuple[Part, ...]) -> Iterator[str]:
    todo = [part.cell for part in parts if part.state == "not filled in"]
    for cell in notebook.cells:
        name = grade_id(cell) or ""
        if cell.cell_type == "code" and is_editable(cell) and name not in {p.cell for p in parts}:
            todo += [name] if is_unfilled(cell.source) else []
    yield from _listed(todo, "cell is", "cells are", "not filled in")
    empty = list(empty_answers(notebook))
    yield from _listed(empty, "written answer is", "written answers are", "still the placeholder")


def _listed(names: list[str], one: str, several: str, what: str) -> Iterator[str]:
    if names:
        yield f"{len(names)} {one if len(names) == 1 else several} {what}: {', '.join(names)}"


def _answered(notebook: NotebookNode) -> NotebookNode:
    """The notebook without the answers that are reported as missing."""
    empty = set(empty_answers(notebook))
    rest = [cell for cell in notebook.cells if grade_id(cell) not in empty]
    return nbformat.v4.new_notebook(cells=rest)


def _set_up_problems(notebook: NotebookNode, ran: dict[int, Ran]) -> Iterator[str]:
    for i, cell in enumerate(notebook.cells):
        if _is_set_up(cell) and i in ran and ran[i].error is not None:
            yield f"The set-up cell {grade_id(cell)} stopped: {ran[i].error}"
