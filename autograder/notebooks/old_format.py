"""Cells of the notebook formats 2 and 3, which keep them in worksheets, as format 4 has them.

nbformat has a converter, but it checks every part of the file on the way: a hostile one takes it minutes and gigabytes.
"""

from collections.abc import Iterator
from typing import Any

from autograder.limits import OUTPUTS

KINDS = {"pyout": "execute_result", "pyerr": "error"}


def upgraded_cells(worksheets: list[Any]) -> Iterator[dict[str, Any]]:
    """The cells one after another, with those outputs that can be shown."""
    for sheet in worksheets:
        cells = sheet.get("cells") if isinstance(sheet, dict) else None
        for cell in cells if isinstance(cells, list) else ():
            if isinstance(cell, dict):
                yield cell | _changes(cell)


def _changes(cell: dict[str, Any]) -> dict[str, Any]:
    match cell.get("cell_type"):
        case "code":
            outputs = cell.get("outputs")
            shown = outputs[:OUTPUTS] if isinstance(outputs, list) else []
            return {"source": cell.get("input", ""), "outputs": [_output(o) for o in shown if isinstance(o, dict)]}
        case "heading":
            level, source = cell.get("level"), cell.get("source", "")
            marks = "#" * min(max(level, 1), 6) if isinstance(level, int) else "#"
            lines = source if isinstance(source, list) else [source]
            return {"cell_type": "markdown", "source": [f"{marks} ", *lines]}
        case "html":
            return {"cell_type": "markdown"}
    return {}


def _output(output: dict[str, Any]) -> dict[str, Any]:
    kind, data = output.get("output_type"), {"text/plain": output.get("text"), "image/png": output.get("png")}
    return output | {"output_type": KINDS.get(str(kind), kind), "name": output.get("stream"), "data": data}
