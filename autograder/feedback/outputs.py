"""Outputs of cells, put together by ourselves."""

from typing import Any

import nbformat
from nbformat import NotebookNode


def new_output(kind: str, data: dict[str, Any] | None = None, **fields: Any) -> NotebookNode:
    """An output as nbformat's function of this name makes it.

    That one holds each against the format's schema, which is nearly a tenth of what recording a submission takes; what
    is put in here are our own texts, and what `clean` has let through.
    """
    bundle = {} if kind in ("stream", "error") else {"metadata": {}, "data": data or {}}
    made: NotebookNode = nbformat.from_dict({"output_type": kind} | bundle | fields)
    return made
