"""Whether an assignment's parts name the same cells: its notebook, its manifest, its hidden tests."""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import jupytext
from nbformat import NotebookNode

from autograder.course.assignment import Assignment
from autograder.course.manifest import MANIFEST
from autograder.faults import Fault
from autograder.notebooks.rebuild import BoundedParser, defined_names

FIXTURES = ("student", "reference", "draw")  # what a hidden test may ask for
EDGES = ("### BEGIN SOLUTION", "### END SOLUTION")


class Inconsistent(Fault):
    """An author's slip; one line for each that says what, where, and what to do."""


@dataclass(frozen=True)
class MarkedTest:
    """A hidden test as its text gives it; `cell` and `points` are None where its marker does not say them."""

    name: str
    file: Path
    cell: str | None
    points: float | None
    unknown: tuple[str, ...] = ()  # arguments that no fixture gives


def refuse_slips(assignment: Assignment) -> None:
    """Raises Inconsistent where the text form of the notebook, the manifest and the hidden tests do not agree."""
    if found := list(slips(assignment)):
        raise Inconsistent("\n  ".join([f"{assignment.name} does not fit together:", *found]))


def slips(assignment: Assignment) -> Iterator[str]:
    """What an author forgot or mistyped, a line each."""
    source = assignment.source.with_suffix(".py")
    cells = {_mark(c)["grade_id"]: c for c in jupytext.read(source).cells if c.cell_type == "code" and _mark(c)}
    to_fill_in = {name: cell for name, cell in cells.items() if _is_solution(cell)}
    graded = {name: cell for name, cell in to_fill_in.items() if "experiment" not in cell.metadata.get("tags", ())}
    tests = marked_tests(assignment.graders)
    yield from _manifest(assignment, graded)
    yield from _markers(source, to_fill_in)
    yield from _test_cells(source, {name for name, cell in cells.items() if _mark(cell).get("grade")}, graded)
    yield from _hidden_tests(tests, graded)
    yield from _points(tests, cells, graded)


def marked_tests(graders: Path) -> list[MarkedTest]:
    """The hidden tests in a folder, read without being run. Raises Inconsistent for a file that is not Python."""
    found = []
    for path in sorted(graders.glob("test_*.py")):
        try:
            body = ast.parse(path.read_text(encoding="utf-8")).body
        except SyntaxError as error:
            raise Inconsistent(f"{path.name}, line {error.lineno}: {error.msg}") from None
        values = {
            t.id: n.value for n in body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
        }
        for node in body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.append(MarkedTest(node.name, path, *_marker(node, values), _unknown_arguments(node)))
    return found


def _unknown_arguments(node: ast.FunctionDef) -> tuple[str, ...]:
    """Arguments of a test that are no fixture of hidden tests."""
    arguments = node.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return tuple(name for name in names if name not in FIXTURES)


def _marker(node: ast.FunctionDef, values: dict[str, ast.expr]) -> tuple[str | None, float | None]:
    for one in node.decorator_list:
        if isinstance(one, ast.Call) and ast.unparse(one.func).endswith("mark.points"):
            given = {k.arg: k.value for k in one.keywords} | ({"points": one.args[0]} if one.args else {})
            cell, points = (_constant(given.get(name), values) for name in ("cell", "points"))
            return cell if isinstance(cell, str) else None, points if isinstance(points, int | float) else None
    return None, None


def _constant(node: ast.expr | None, values: dict[str, ast.expr]) -> object:
    if isinstance(node, ast.Name):
        node = values.get(node.id)
    return node.value if isinstance(node, ast.Constant) else None


def _mark(cell: NotebookNode) -> dict[str, Any]:
    return cell.metadata.get("nbgrader", {})


def _is_solution(cell: NotebookNode) -> bool:
    return bool(_mark(cell).get("solution")) and not _mark(cell).get("grade")


def _manifest(assignment: Assignment, cells: dict[str, NotebookNode]) -> Iterator[str]:
    """What `upstream` and `defines` say of the cells to fill in."""
    table = (assignment.graders / MANIFEST).relative_to(assignment.root).as_posix()
    yield from _compared(table, assignment.upstream, cells)
    order = [name for name in assignment.upstream if name in cells]
    if order != [name for name in cells if name in assignment.upstream]:
        yield f"{table}: its cells are in another order than the notebook's; give them the notebook's"
    for cell, below in assignment.upstream.items():
        for other in below:
            if other not in assignment.upstream:
                yield f"{table}: '{cell}' rests on '{other}'{_no_such(other, cells)}"
    for cell in (cell for cell, names in assignment.defines.items() if not names and cell in cells):
        yield f"{table}: [cells.{cell}] lacks `defines`, the names that '{cell}' must define; add it"
    for cell, names in assignment.defines.items():
        defined = defined_names(cells[cell].source, BoundedParser()) if cell in cells else set(names)
        for name in sorted(set(names) - defined):
            yield f"{table}: '{cell}' should define `{name}`, which its cell does not; {_meant(name, defined)}"


def _compared(where: str, named: Collection[str], cells: Collection[str]) -> Iterator[str]:
    """Names that are no cell, and cells that are not named, but for those of which a name is a misspelling."""
    missing = [cell for cell in cells if cell not in named]
    for name in (n for n in named if n not in cells):
        yield f"{where} names '{name}'{_no_such(name, missing)}"
        missing = [cell for cell in missing if cell not in get_close_matches(name, missing, 1)]
    for cell in missing:
        yield f"{where} lacks '{cell}', which is a cell to fill in; add it"


def _no_such(name: str, known: Collection[str]) -> str:
    return f", but the notebook has no such cell to fill in; {_meant(name, known)}"


def _meant(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, list(known), 1)
    return f"did you mean '{close[0]}'?" if close else "add it there, or remove it here"


def _markers(source: Path, cells: dict[str, NotebookNode]) -> Iterator[str]:
    for name, cell in cells.items():
        edges = [line.strip() for line in cell.source.splitlines() if line.strip() in EDGES]
        if not edges or edges != list(EDGES) * (len(edges) // 2):
            yield (
                f"{source.name}: '{name}' needs a line `{EDGES[0]}` and, below it, `{EDGES[1]}`, each alone on its "
                "line; without them students get an empty cell"
            )


def _test_cells(source: Path, tests: set[str], cells: Collection[str]) -> Iterator[str]:
    wanted = {f"{name}-tests" for name in cells}
    for name in sorted(wanted - tests):
        close = get_close_matches(name, tests - wanted, 1)
        said = f"rename '{close[0]}'" if close else 'write it, with "grade": true and its points'
        yield f"{source.name}: '{name.removesuffix('-tests')}' has no test cell '{name}'; {said}"


def _hidden_tests(tests: list[MarkedTest], cells: Collection[str]) -> Iterator[str]:
    for one in tests:
        if one.cell is None or one.points is None:
            yield f"{one.file.name}: {one.name} does not say its points; write @pytest.mark.points(POINTS, cell=CELL)"
        for name in one.unknown:
            close = get_close_matches(name, FIXTURES, 1)
            meant = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(FIXTURES)}"
            yield f"{one.file.name}: {one.name} asks for '{name}', which no hidden test is given; {meant}"
    for file, cell in dict.fromkeys((one.file, one.cell) for one in tests if one.cell is not None):
        if cell not in cells:
            yield f"{file.name} tests '{cell}'{_no_such(cell, cells)}"


def _points(tests: list[MarkedTest], cells: dict[str, NotebookNode], graded: Collection[str]) -> Iterator[str]:
    for name in graded:
        if (test_cell := f"{name}-tests") in cells:
            declared = float(_mark(cells[test_cell]).get("points", 0))
            tested = sum(one.points or 0.0 for one in tests if one.cell == name)
            if abs(declared - tested) > 1e-6:
                yield (
                    f"the hidden tests of '{name}' are worth {tested:g} points and its test cell {declared:g}; "
                    "give both the same sum"
                )
