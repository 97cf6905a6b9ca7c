"""Read a notebook that somebody handed in: whatever it is, the answer is a notebook or one line."""

import json
import os
import stat
from itertools import islice
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.feedback.clean import clean_attachments, clean_outputs
from autograder.limits import CELLS, OUTPUTS, PARTS, SUBMISSION_BYTES, VALUES
from autograder.notebooks.old_format import upgraded_cells

NUMBER_CHARACTERS = 20
LANGUAGES = ("", "python", "python3", "ipython", "ipython3")


class Unreadable(Exception):
    """The file is not a notebook; the text says why, in one line."""


def read_submission(path: Path) -> NotebookNode:
    """The notebook in `path`, in the current format, reduced to what grading looks at.

    Of a cell that is type, source, grade id, attached pictures and outputs that may be shown; of the notebook the
    language, where it is not Python. Raises Unreadable; never anything else because of what the file is or holds.
    """
    try:
        data = _content(path)
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    if not data.strip():
        raise Unreadable("the file is empty")
    raw = _json(data)
    if not isinstance(raw, dict) or not ("cells" in raw or "worksheets" in raw):
        raise Unreadable("not a notebook: it has no cells")
    try:
        return _reduced(_current(raw))
    except Unreadable:
        raise
    except Exception as error:  # a damaged notebook can break the converters in any way
        raise Unreadable(f"not a notebook that can be understood ({type(error).__name__})") from None


def _content(path: Path) -> bytes:
    """The bytes of an ordinary file. A link is not followed, and a pipe or device not waited for."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise Unreadable("a symbolic link, not a file" if path.is_symlink() else "not an ordinary file")
    # the checks count for what was opened, not for what has taken its place since
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Unreadable("not an ordinary file")
        data = file.read(SUBMISSION_BYTES + 1)
    if len(data) > SUBMISSION_BYTES:
        raise Unreadable(f"larger than {SUBMISSION_BYTES // 2**20} MB: clear the outputs of some cells and save again")
    return data


def _json(data: bytes) -> Any:
    encoding = json.detect_encoding(data)
    try:
        text, known = data.decode(encoding), True
    except UnicodeDecodeError:
        # an old editor on Windows: code is ASCII, and what is not stands in comments and answers
        text, known = data.decode("cp1252", "replace"), False
    if text.count("[") + text.count("{") > PARTS or text.count(",") > VALUES:
        raise Unreadable("not a notebook, or one with too many parts: clear its outputs and save again")
    try:
        return json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError, MemoryError):
        if not known:
            raise Unreadable("not a notebook: the text is not UTF-8") from None
        if "\n<<<<<<< " in text and "\n>>>>>>> " in text:
            raise Unreadable("not a notebook: an unfinished git merge has left its markers in the file") from None
        raise Unreadable("not a notebook: the file is not JSON, or was cut short") from None


def _integer(digits: str) -> int:
    """Numbers decide nothing here; Python refuses to read very long ones."""
    return int(digits) if len(digits) <= NUMBER_CHARACTERS else 0


def _current(raw: dict[str, Any]) -> dict[str, Any]:
    # format 4 and what may come after it keep their cells at the top, formats 2 and 3 in worksheets
    if isinstance(raw.get("cells"), list) or "worksheets" not in raw:
        return raw
    if not isinstance(raw["worksheets"], list):
        raise Unreadable("not a notebook: its worksheets are not a list")
    return {"cells": list(islice(upgraded_cells(raw["worksheets"]), CELLS + 1)), "metadata": raw.get("metadata")}


def _reduced(raw: dict[str, Any]) -> NotebookNode:
    cells = raw["cells"]
    if not isinstance(cells, list):
        raise Unreadable("not a notebook: its cells are not a list")
    if not cells:
        raise Unreadable("the notebook has no cells")
    if len(cells) > CELLS:
        raise Unreadable(f"the notebook has more than {CELLS} cells")
    notebook = nbformat.v4.new_notebook()
    left = OUTPUTS
    for cell in (c for c in cells if isinstance(c, dict)):
        outputs = cell["outputs"][:left] if isinstance(cell.get("outputs"), list) else []
        notebook.cells.append(_cell(cell, outputs))
        left -= len(outputs)
    if language := _other_language(raw.get("metadata")):
        notebook.metadata["language"] = language
    return notebook


def _cell(raw: dict[str, Any], outputs: list[Any]) -> NotebookNode:
    kind, source = raw.get("cell_type"), raw.get("source", "")
    if isinstance(source, list):
        source = "".join(piece for piece in source if isinstance(piece, str))
    source = source if isinstance(source, str) else ""
    # lone surrogates cannot be written as UTF-8 again
    source = source.encode("utf-8", "replace").decode("utf-8")
    new = {
        "code": nbformat.v4.new_code_cell,
        "markdown": nbformat.v4.new_markdown_cell,
    }
    kind = kind if isinstance(kind, str) else "raw"
    cell = new.get(kind, nbformat.v4.new_raw_cell)(source)
    if (name := _grade_id(raw.get("metadata"))) is not None:
        cell.metadata["nbgrader"] = nbformat.from_dict({"grade_id": name})
    if kind == "code":
        cell.outputs = clean_outputs(outputs)
    if kind == "markdown" and (pictures := clean_attachments(raw.get("attachments"))):
        cell.attachments = nbformat.from_dict(pictures)
    return cell


def _grade_id(metadata: Any) -> str | None:
    mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = mark.get("grade_id") if isinstance(mark, dict) else None
    return name if isinstance(name, str) else None


def _other_language(metadata: Any) -> str | None:
    """The language of the notebook's kernel, one word, if the notebook says one and it is not Python."""
    kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    named = kernel.get("language") if isinstance(kernel, dict) else None
    if not isinstance(named, str) or named.lower() in LANGUAGES:
        return None
    return "".join(c for c in named[:30] if c.isascii() and (c.isalnum() or c in "+#.-")) or None
