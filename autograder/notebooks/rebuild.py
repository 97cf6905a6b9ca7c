"""Put a submission on the release's skeleton: locked cells as released, answers and added cells from the student."""

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

from autograder.course.assignment import Assignment
from autograder.limits import PARSED_CHARACTERS, PARSED_IN_ALL

MUCH_CODE = "Of so much added code only lines that begin with def or class were searched for what is missing."


class WrongNotebook(Exception):
    """The notebook has nothing of the assignment in it; one line."""


@dataclass(frozen=True)
class Rebuilt:
    """`notes` tell the student, a line each, what was put right."""

    notebook: NotebookNode
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Placed:
    """A submitted cell, with the release's cell that it is (None: the student added it)."""

    cell: NotebookNode
    slot: int | None


class BoundedParser:
    """Parses the code of one submission up to a limit: what is very long, or comes after the limit, has no tree."""

    def __init__(self) -> None:
        self.left, self.refused = PARSED_IN_ALL, False

    def tree(self, source: str) -> ast.Module | None:
        if len(source) > min(PARSED_CHARACTERS, self.left):
            self.refused = True
            return None
        self.left -= len(source)
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def grade_id(cell: NotebookNode) -> str | None:
    mark = cell.metadata.get("nbgrader")
    found = mark.get("grade_id") if isinstance(mark, dict) else None
    return found if isinstance(found, str) else None


def is_editable(cell: NotebookNode) -> bool:
    """Whether the release leaves this cell to the student: solution cells and written answers."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def rebuild(release: NotebookNode, submitted: NotebookNode, assignment: Assignment) -> Rebuilt:
    """The submission as it is graded. Raises WrongNotebook where no cell can be located."""
    slots = {g: i for i, c in enumerate(release.cells) if (g := grade_id(c))}
    parser = BoundedParser()
    placed = _locate(release, submitted, slots, assignment, parser)
    if not any(p.slot is not None and grade_id(release.cells[p.slot]) for p in placed):
        raise WrongNotebook(f"this is not a notebook of {assignment.name}: none of its cells was found")
    placed = list(_one_per_slot(release, placed, slots))
    by_slot = {p.slot: p.cell for p in placed if p.slot is not None}
    added = _added_after(placed)
    notebook = copy.deepcopy(release)
    notebook.cells = list(added.get(-1, []))
    for i, original in enumerate(release.cells):
        notebook.cells.append(_filled(original, by_slot.get(i)))
        notebook.cells += added.get(i, [])
    _number_added(notebook, release)
    notes = list(_notes(release, by_slot, submitted))
    if parser.refused and any(is_editable(c) and i not in by_slot for i, c in enumerate(release.cells)):
        notes.append(MUCH_CODE)
    return Rebuilt(notebook, tuple(notes))


def _locate(
    release: NotebookNode,
    submitted: NotebookNode,
    slots: dict[str, int],
    assignment: Assignment,
    parser: BoundedParser,
) -> list[_Placed]:
    by_text = {_plain(c.source): i for i, c in reversed(list(enumerate(release.cells))) if c.source.strip()}
    marked = {slots[g] for c in submitted.cells if (g := grade_id(c)) in slots}
    names = {name: slots[cell] for cell, defined in assignment.defines.items() for name in defined if cell in slots}
    out = []
    for cell in submitted.cells:
        slot = slots.get(grade_id(cell) or "")
        if slot is None:
            slot = by_text.get(_plain(cell.source))
            if slot in marked:
                slot = None if is_editable(release.cells[slot]) else slot
        if slot is None and cell.cell_type == "code":
            found = {names[n] for n in defined_names(cell.source, parser) if n in names} - marked
            slot = min(found, default=None)
        out.append(_Placed(cell, slot))
    return out


def defined_names(source: str, parser: BoundedParser) -> set[str]:
    """Names that the cell's top level defines with `def` or `class`, or binds by assignment.

    >>> sorted(defined_names("import math\\nclass Head: pass\\ndef attend(): x = 1\\nscale = 2", BoundedParser()))
    ['Head', 'attend', 'scale']
    """
    tree = parser.tree(source)
    if tree is None:
        return set(re.findall(r"^(?:class|def)\s+(\w+)", source, re.M))
    names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return names


def _one_per_slot(release: NotebookNode, placed: list[_Placed], slots: dict[str, int]) -> Iterator[_Placed]:
    """Keep one cell a slot: of an editable cell's copies the last before its tests; the others become added cells."""
    chosen: dict[int, int] = {}
    for slot in {p.slot for p in placed if p.slot is not None}:
        copies = [k for k, p in enumerate(placed) if p.slot == slot]
        tests = slots.get(f"{grade_id(release.cells[slot])}-tests", slot + 1)
        later = [k for k, p in enumerate(placed) if p.slot is not None and p.slot >= tests]
        end = min((k for k in later if k > copies[0]), default=len(placed))
        in_time = [k for k in copies if k < end]
        chosen[slot] = in_time[-1] if is_editable(release.cells[slot]) else copies[0]
    for k, p in enumerate(placed):
        if p.slot is None or chosen[p.slot] == k:
            yield p
        elif is_editable(release.cells[p.slot]):
            yield _Placed(p.cell, None)


def _added_after(placed: list[_Placed]) -> dict[int, list[NotebookNode]]:
    """Added cells by the index of the released cell that they follow (-1: the top)."""
    added: dict[int, list[NotebookNode]] = {}
    last = -1
    for p in placed:
        if p.slot is not None:
            last = p.slot
        elif p.cell.source.strip():
            added.setdefault(last, []).append(_stripped(p.cell))
    return added


def _stripped(cell: NotebookNode) -> NotebookNode:
    cell = copy.deepcopy(cell)
    cell.metadata = type(cell.metadata)({"course": {"added": True}})
    return cell


def _filled(original: NotebookNode, given: NotebookNode | None) -> NotebookNode:
    cell = copy.deepcopy(original)
    if given is None:
        if is_editable(cell):
            cell.source = ""
        return cell
    if is_editable(cell):
        cell.source = given.source
        if cell.cell_type == "markdown" and "attachments" in given:
            cell.attachments = copy.deepcopy(given.attachments)
    # below a test cell stands what the graders found, and nothing else
    if cell.cell_type == "code" and not cell.metadata.get("nbgrader", {}).get("grade"):
        cell.outputs = copy.deepcopy(given.get("outputs", []))
    return cell


def _number_added(notebook: NotebookNode, release: NotebookNode) -> None:
    """Ids of our own for added cells: a submitted id may be missing, repeated or odd."""
    taken = {c.get("id") for c in release.cells}
    number = 0
    for cell in notebook.cells:
        if cell.metadata.get("course", {}).get("added"):
            number += 1
            while f"added-{number}" in taken:
                number += 1
            cell.id = f"added-{number}"


def _notes(release: NotebookNode, by_slot: dict[int, NotebookNode], submitted: NotebookNode) -> Iterator[str]:
    if language := submitted.metadata.get("language"):
        yield f"The notebook was saved with a kernel for {language}; it was graded as Python."
    for i, original in enumerate(release.cells):
        name, given = grade_id(original), by_slot.get(i)
        if name is None:
            continue
        if is_editable(original):
            if given is None:
                yield f"The cell {name} is missing from the notebook."
            elif given.cell_type != original.cell_type:
                yield f"The cell {name} was turned into {given.cell_type}; it was read as {original.cell_type}."
        elif given is not None and _plain(given.source) != _plain(original.source):
            yield f"The locked cell {name} was changed; it was graded as released."


def _plain(source: str) -> str:
    return " ".join(source.split())
