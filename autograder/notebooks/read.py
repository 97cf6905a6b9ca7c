"""Read a notebook that somebody handed in: whatever it is, the answer is a notebook or one line."""

import json
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.limits import CELLS, SUBMISSION_BYTES


class Unreadable(Exception):
    """The file is not a notebook; the text says why, in one line."""


def read_submission(path: Path) -> NotebookNode:
    """The notebook in `path`, in the current format, reduced to cells with text, metadata and outputs.

    Raises Unreadable; never anything else because of what the file holds.
    """
    try:
        if not path.is_file() or path.is_symlink():
            raise Unreadable("not an ordinary file")
        if path.stat().st_size > SUBMISSION_BYTES:
            raise Unreadable(f"larger than {SUBMISSION_BYTES // 2**20} MB")
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    if not data.strip():
        raise Unreadable("the file is empty")
    try:
        raw = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Unreadable("not a notebook: the text is not UTF-8") from None
    except (ValueError, RecursionError, MemoryError):
        raise Unreadable("not a notebook: the file is not JSON, or was cut short") from None
    if not isinstance(raw, dict) or not ("cells" in raw or "worksheets" in raw):
        raise Unreadable("not a notebook: it has no cells")
    try:
        return _reduced(_current(raw))
    except Unreadable:
        raise
    except Exception as error:  # a damaged notebook can break the converters in any way
        raise Unreadable(f"not a notebook that can be understood ({type(error).__name__})") from None


def _current(raw: dict[str, Any]) -> dict[str, Any]:
    if raw.get("nbformat", 4) == 4:
        return raw
    return nbformat.convert(nbformat.from_dict(raw), 4)


def _reduced(raw: dict[str, Any]) -> NotebookNode:
    cells = raw["cells"]
    if not isinstance(cells, list):
        raise Unreadable("not a notebook: its cells are not a list")
    if not cells:
        raise Unreadable("the notebook has no cells")
    if len(cells) > CELLS:
        raise Unreadable(f"the notebook has more than {CELLS} cells")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [_cell(c) for c in cells if isinstance(c, dict)]
    return notebook


def _cell(raw: dict[str, Any]) -> NotebookNode:
    kind, source, metadata = raw.get("cell_type"), raw.get("source", ""), raw.get("metadata")
    if isinstance(source, list):
        source = "".join(piece for piece in source if isinstance(piece, str))
    source = source if isinstance(source, str) else ""
    # lone surrogates cannot be written as UTF-8 again
    source = source.encode("utf-8", "replace").decode("utf-8")
    new = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    kind = kind if isinstance(kind, str) else "raw"
    cell = new.get(kind, nbformat.v4.new_raw_cell)(source)
    cell.metadata = nbformat.from_dict(metadata if isinstance(metadata, dict) else {})
    if kind == "code" and isinstance(raw.get("outputs"), list):
        cell.outputs = [nbformat.from_dict(o) for o in raw["outputs"] if isinstance(o, dict)]
    if kind == "markdown" and isinstance(raw.get("attachments"), dict):
        cell.attachments = nbformat.from_dict(raw["attachments"])
    return cell
