"""Keep an instructor notebook's two forms in step: `NAME.py` (percent text, edited and reviewed) and `NAME.ipynb`."""

import hashlib
import json
from difflib import SequenceMatcher
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from autograder.faults import Fault
from autograder.files import write_whole
from autograder.notebooks.shared_parts import renew_parts

PERCENT = {"extension": ".py", "format_name": "percent"}
# what jupytext's own commands and its JupyterLab extension read to keep the pair in step, too
PAIRED = {"formats": "ipynb,py:percent"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
SPACING = ("lines_to_next_cell", "lines_to_end_of_cell_marker")
KEPT = ("nbgrader", "tags", "jupyter", *SPACING)


class NotPaired(Fault):
    """The two forms cannot be brought in step; one line."""


def sync(folder: Path) -> list[str]:
    """Bring each pair in `folder` in step, the newer form giving the cells where they differ; says what it changed.

    Cell ids: the grade_id where there is one, else the id that the cell had, else a hash of its text. Outputs stay out.
    """
    return [line for text, notebook in _pairs(folder) for line in _sync_pair(text, notebook)]


def in_step(folder: Path) -> list[str]:
    """What `sync` would have to put right, a line each."""
    lines = []
    for text, notebook in _pairs(folder):
        missing = [path for path in (text, notebook) if not path.is_file()]
        if missing:
            lines.append(f"{missing[0].name} is missing")
            continue
        old, source = _read(notebook), text.read_text(encoding="utf-8")
        differing = _differences(source, as_text(old, notebook.name))
        if differing:
            lines.append(f"{text.name} and {notebook.name} differ in {', '.join(differing)}")
        elif notebook_bytes(source, old) != notebook.read_bytes():
            lines.append(f"{notebook.name} holds outputs, cell ids or metadata that do not belong there")
    return lines


def as_text(notebook: NotebookNode, name: str = "the notebook") -> str:
    """The notebook as percent text; raises NotPaired where text cannot hold it."""
    copy = nbformat.from_dict(notebook)
    copy.metadata = nbformat.from_dict({"jupytext": PAIRED, "kernelspec": KERNEL})
    for i, cell in enumerate(copy.cells):
        if cell.get("attachments"):
            raise NotPaired(
                f"{name}, cell {_label(cell, i)}: a pasted picture has no place in the text form; use a file"
            )
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in KEPT}
    return jupytext.writes(copy, fmt=PERCENT)


def notebook_bytes(text: str, old: NotebookNode | None = None) -> bytes:
    """The .ipynb of percent text: the same bytes for the same text and the same ids in `old`."""
    notebook = jupytext.reads(text, fmt=PERCENT)
    notebook.metadata = nbformat.from_dict({"jupytext": PAIRED, "kernelspec": KERNEL})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    _number(notebook, old)
    return (nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n").encode()


def _sync_pair(text: Path, notebook: Path) -> list[str]:
    old = _read(notebook) if notebook.is_file() else None
    if old is not None and not text.is_file():
        source, lines = as_text(old, notebook.name), [f"{text.name}: made from {notebook.name}"]
    else:
        source, lines = text.read_text(encoding="utf-8"), []
        from_notebook = as_text(old, notebook.name) if old else None
        differing = _differences(source, from_notebook) if from_notebook else []
        if old is None:
            lines = [f"{notebook.name}: made from {text.name}"]
        elif from_notebook is not None and differing and notebook.stat().st_mtime_ns > text.stat().st_mtime_ns:
            source = from_notebook
            lines = [f"{text.name}: rewritten from {notebook.name}, which is newer ({', '.join(differing)})"]
        elif differing:
            lines = [f"{notebook.name}: rewritten from {text.name}, which is newer ({', '.join(differing)})"]
    cells = jupytext.reads(source, fmt=PERCENT)
    lines += [f"{text.stem}: {line}" for line in renew_parts(cells)]
    source = as_text(cells)
    content = notebook_bytes(source, old)
    changed = [p for p, c in ((text, source.encode()), (notebook, content)) if _write_changed(p, c)]
    return lines or [f"{path.name}: tidied (outputs, cell ids, metadata)" for path in changed]


def _write_changed(path: Path, content: bytes) -> bool:
    if path.is_file() and path.read_bytes() == content:
        return False
    write_whole(path, content)
    return True


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    stems = {p.stem for pattern in ("*.py", "*.ipynb") for p in folder.glob(pattern) if not p.name.startswith(".")}
    if not stems:
        raise NotPaired(f"{folder}: there is no notebook")
    return [(folder / f"{stem}.py", folder / f"{stem}.ipynb") for stem in sorted(stems)]


def _read(path: Path) -> NotebookNode:
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except Exception:  # a damaged notebook can break the reader in any way
        raise NotPaired(f"{path.name} is not a notebook: delete it, and it is made anew from {path.stem}.py") from None


def _differences(text: str, other: str) -> list[str]:
    """Names of the cells that differ between two texts: a cell's grade_id, or its number."""
    ours, theirs = ([_content(c) for c in jupytext.reads(t, fmt=PERCENT).cells] for t in (text, other))
    cells = jupytext.reads(text, fmt=PERCENT).cells
    names = []
    for kind, start, end, _, _ in SequenceMatcher(a=ours, b=theirs, autojunk=False).get_opcodes():
        if kind != "equal":
            names += [f"cell {_label(cells[i], i)}" for i in range(start, end)] or [f"a cell after number {start}"]
    return names


def _content(cell: NotebookNode) -> str:
    metadata = {key: value for key, value in cell.metadata.items() if key in KEPT and key not in SPACING}
    return json.dumps([cell.cell_type, cell.source, metadata], sort_keys=True)


def _grade_id(cell: NotebookNode) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _label(cell: NotebookNode, index: int) -> str:
    return _grade_id(cell) or str(index + 1)


def _number(notebook: NotebookNode, old: NotebookNode | None) -> None:
    kept = _old_ids(notebook, old) if old else {}
    taken = {name for cell in notebook.cells if (name := _grade_id(cell))}
    for i, cell in enumerate(notebook.cells):
        name = _grade_id(cell)
        if name is None:
            name = kept.get(i)
            fresh = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()
            copy = 0
            while name is None or name in taken:
                name = fresh[copy : copy + 8]  # the next eight digits where two cells have one text
                copy += 1
            taken.add(name)
        cell.id = name


def _old_ids(notebook: NotebookNode, old: NotebookNode) -> dict[int, str]:
    """Ids by the index of the new cell: of the old cell with the same text, or of the one that it is an edit of."""
    ours, theirs = ([f"{_grade_id(c)}\n{c.cell_type}\n{c.source}" for c in nb.cells] for nb in (notebook, old))
    ids: dict[int, str | None] = {}
    for kind, a, a_end, b, b_end in SequenceMatcher(a=ours, b=theirs, autojunk=False).get_opcodes():
        if kind == "equal" or (kind == "replace" and a_end - a == b_end - b):
            ids |= {a + k: old.cells[b + k].get("id") for k in range(a_end - a)}
    return {i: name for i, name in ids.items() if name}
