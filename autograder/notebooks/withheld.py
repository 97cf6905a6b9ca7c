"""What must not reach students, as texts to search for: solutions, model answers, hidden tests."""

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from nbformat import NotebookNode

PUBLIC = {"data_sets", "samples"}  # folders beside hidden tests
REGIONS = ("SOLUTION", "HIDDEN TESTS", "MARK SCHEME")
# a line is a find of its own from this length on, two lines in a row from the other; counted without white space
ONE_LINE, TWO_LINES = 25, 20


@dataclass(frozen=True)
class Withheld:
    """A text without white space, as `squash` leaves it; what it belongs to; and a piece of it to show to staff."""

    text: str
    owner: str
    shown: str


def squash(text: str) -> str:
    """`text` as one string without white space, so that neither layout nor escapes hide a copy.

    >>> squash("x &lt;  y\\n") == squash("x<y")
    True
    """
    plain = html.unescape(_unquoted(text)).replace('\\"', '"')
    return re.sub(r"[\s\u200b-\u200d\u2060\ufeff]+", "", unicodedata.normalize("NFKC", plain))


def readings(text: str) -> str:
    """The squashed readings of a text, side by side: as it is, without trailing comments, and as if commented out."""
    lines = _unquoted(text).splitlines()
    bare = "\n".join(_without_comment(line) for line in lines)
    uncommented = "\n".join(_without_comment(line.lstrip(" \t#>|*-+")) for line in lines)
    return "\0".join(squash(reading) for reading in (text, bare, uncommented))


def solutions(notebook: NotebookNode) -> list[Withheld]:
    """The solution code, model answers, mark schemes and hidden tests of an instructor notebook.

    What also stands in a part of the notebook that students see is theirs already and left out.
    """
    visible = readings(visible_text(notebook))
    cells = enumerate(notebook.cells)
    found = [w for i, cell in cells for run in _split(cell)[1] for w in _pieces(run, _owner(cell, i))]
    return [w for w in found if w.text not in visible]


def visible_text(notebook: NotebookNode) -> str:
    """What students see of an instructor notebook."""
    return "\n".join(line for cell in notebook.cells for line in _split(cell)[0])


def hidden_tests(graders: Path, notebook: NotebookNode) -> list[Withheld]:
    """Lines and names of the hidden tests in folder `graders`, and of what they share with others, that the notebook
    does not show anyway. Data sets say themselves what of them is hidden."""
    visible = readings(visible_text(notebook))
    found = []
    shared = graders.parent / "oracles"
    paths = [p for folder in (graders, shared) for p in sorted(folder.rglob("*.py"))]
    for path in (p for p in paths if not PUBLIC & set(p.relative_to(graders.parent).parts)):
        owner, lines = f"the hidden tests in {path.name}", path.read_text(encoding="utf-8").splitlines()
        found += list(_pieces(lines, owner))
        names = re.findall(r"^\s*def (test_\w+)", "\n".join(lines), re.M)
        found += [Withheld(name, owner, name) for name in names]
    return [w for w in found if w.text not in visible]


def markers() -> list[Withheld]:
    """The markers of what nbgrader cuts out."""
    texts = [f"{edge} {region}" for region in REGIONS for edge in ("BEGIN", "END")]
    return [Withheld(squash(text), "a marker", text) for text in texts]


def _split(cell: NotebookNode) -> tuple[list[str], list[list[str]]]:
    """Lines of a cell that students see, and runs of lines that nbgrader cuts out."""
    seen: list[str] = []
    runs: list[list[str]] = []
    inside = False
    for line in cell.source.splitlines():
        if any(f"BEGIN {region}" in line for region in REGIONS):
            inside = True
            runs.append([])
        elif any(f"END {region}" in line for region in REGIONS):
            inside = False
        else:
            (runs[-1] if inside else seen).append(line)
    if cell.metadata.get("nbgrader", {}).get("solution") and not runs:
        return [], [seen]
    return seen, runs


def _pieces(run: list[str], owner: str) -> Iterator[Withheld]:
    """Each distinctive line or sentence of a run, and each two lines in a row."""
    lines = [bare for line in run if (bare := _without_comment(line).strip())]
    for line in lines:
        for piece in {line, *re.split(r"(?<=[.!?])\s+", line)}:
            if len(squash(piece)) >= ONE_LINE:
                yield Withheld(squash(piece), owner, piece)
    for first, second in pairwise(lines):
        if len(squash(first + second)) >= TWO_LINES:
            yield Withheld(squash(first + second), owner, first)


def _unquoted(text: str) -> str:
    """Lines as lines again where the text of a notebook file quotes them as JSON."""
    return re.sub(r'\\n(?:",\s*")?', "\n", text)


def _without_comment(line: str) -> str:
    return re.sub(r"(?<=\S)\s+#.*$", "", line)


def _owner(cell: NotebookNode, index: int) -> str:
    name = cell.metadata.get("nbgrader", {}).get("grade_id") or f"number {index + 1}"
    return f"the {'solution' if cell.cell_type == 'code' else 'model answer'} of cell {name}"
