"""Files that are handed in and should not be: what can still be graded, and what cannot."""

import base64
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.limits import SUBMISSION_BYTES
from tests.toy_course import DOUBLE, QUADRUPLE, notebook

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 3, 2) + b"\x08\x02\0\0\0").decode()


def solved() -> dict[str, Any]:
    return json.loads(nbformat.writes(notebook(double=DOUBLE, quadruple=QUADRUPLE), split_lines=False))


def text(change: Callable[[dict[str, Any]], object] = lambda raw: None) -> str:
    """A solved notebook with this change, as JSON."""
    raw = solved()
    change(raw)
    return json.dumps(raw)


def nested(depth: int, bracket: str = "[]") -> str:
    return bracket[0] * depth + bracket[1] * depth


def old_format(major: int) -> str:
    """Both keep their cells in worksheets, and a cell's code as `input`; format 3 as a list of lines."""
    old: NotebookNode = nbformat.convert(nbformat.from_dict(solved()), 3)
    for cell in old.worksheets[0].cells:
        lines = "".join(cell["input"]).splitlines(keepends=True)
        cell["input"] = lines if major == 3 else "".join(lines)
    return json.dumps(old | {"nbformat": major})


def shuffled(raw: dict[str, Any]) -> None:
    raw["cells"].reverse()


def hostile_types(raw: dict[str, Any]) -> None:
    """Everything beside the source of a cell is of a type that it should not be."""
    junk: list[Any] = [7, "x", [], None, {"a": []}, [{"b": 1}]]
    for n, cell in enumerate(raw["cells"]):
        cell |= {key: junk[(n + i) % 6] for i, key in enumerate(("id", "outputs", "execution_count", "attachments"))}
        cell["metadata"] |= {"tags": junk[n % 6], "collapsed": junk[(n + 1) % 6], "": {}}
        cell["metadata"]["nbgrader"] |= {"points": junk[n % 6], "grade": junk[(n + 2) % 6], "schema_version": []}
    raw |= {"metadata": [], "nbformat": "four", "nbformat_minor": {}}


def tampered(raw: dict[str, Any]) -> None:
    """Edited points, tests, locked cells, ids and kinds."""
    for cell in raw["cells"]:
        cell["metadata"]["nbgrader"] |= {"points": 1e9, "grade": True, "solution": True, "locked": False}
    raw["cells"][2] |= {"source": "pass", "cell_type": "markdown"}
    raw["cells"][0]["source"] = "import sys"
    raw["cells"].append({"cell_type": "code", "source": "1", "metadata": {"nbgrader": {"grade_id": "bonus-tests"}}})


def other_kernel(raw: dict[str, Any]) -> None:
    raw["metadata"] = {
        "kernelspec": {"name": "ir", "display_name": "R", "language": "R"},
        "language_info": {"name": "R"},
    }


# What each is handed in as, and the points that it earns: 6 where the meaning is clear
GRADED: dict[str, Callable[[], str | bytes]] = {
    "format 2": lambda: old_format(2),
    "format 3": lambda: old_format(3),
    "format 4.0": lambda: text(lambda raw: [raw.update(nbformat_minor=0), [c.pop("id") for c in raw["cells"]]]),
    "format of the future": lambda: text(lambda raw: raw.update(nbformat=7)),
    "no format": lambda: text(lambda raw: [raw.pop("nbformat"), raw.pop("nbformat_minor"), raw.pop("metadata")]),
    "byte order mark": lambda: b"\xef\xbb\xbf" + text().encode(),
    "utf-16": lambda: text().encode("utf-16"),
    "utf-16 without mark": lambda: text().encode("utf-16-le"),
    "utf-32": lambda: text().encode("utf-32"),
    "windows": lambda: text().replace("import torch", "import torch # \u00fcber").encode("cp1252"),
    "wrong types": lambda: text(hostile_types),
    "source as lists": lambda: text(
        lambda raw: [c.update(source=[*c["source"].splitlines(keepends=True), 7, None]) for c in raw["cells"]]
    ),
    "cells that are none": lambda: text(lambda raw: raw.update(cells=[None, 7, "x", [], {}, *raw["cells"]])),
    "reversed": lambda: text(shuffled),
    "every cell twice": lambda: text(lambda raw: raw.update(cells=raw["cells"] * 2)),
    "tests deleted": lambda: text(lambda raw: [raw["cells"].pop(5), raw["cells"].pop(2)]),
    "tampered": lambda: text(tampered),
    "other kernel": lambda: text(other_kernel),
    "nan and infinity": lambda: text(
        lambda raw: raw["metadata"].update(a=float("nan"), b=[float("inf"), -float("inf")])
    ),
    "huge integer": lambda: text(lambda raw: raw["metadata"].update(n=0)).replace('"n": 0', '"n": ' + "9" * 6_000),
    "deep metadata": lambda: text(lambda raw: raw["cells"][1]["metadata"].update(n=0)).replace(
        '"n": 0', '"n": ' + nested(400)
    ),
    "deep output": lambda: text(lambda raw: raw["cells"][1].update(outputs=[{"output_type": "display_data"}])).replace(
        '"output_type": "display_data"', '"output_type": "display_data", "data": ' + '{"a":' * 400 + "1" + "}" * 400
    ),
    "lone surrogates": lambda: text(
        lambda raw: [
            raw["metadata"].update({"\ud800": "\udfff"}),
            raw["cells"].append({"cell_type": "markdown", "source": "\ud83d", "attachments": {"\ud800": {"image/png": PNG}}}),
            raw["cells"].append({"cell_type": "code", "source": "# \udc00", "outputs": [
                {"output_type": "stream", "name": "\ud800", "text": "\ud800"}]}),
        ]
    ),
    "null characters": lambda: text(
        lambda raw: raw["cells"].append({"cell_type": "code", "source": "a = '\0'\0", "metadata": {"\0": "\0"}})
    ),
    "odd attachments": lambda: text(
        lambda raw: raw["cells"].append({"cell_type": "markdown", "source": "![x](attachment:a)", "attachments": {
            "a": {"image/png": 5}, "b": 7, "": {"": ""}, "c": {"image/png": ["iVBOR", 7]}}})
    ),
    "many empty cells": lambda: text(lambda raw: raw["cells"].extend([{"cell_type": "code", "source": ""}] * 1_900)),
    "large outputs": lambda: text(
        lambda raw: raw["cells"][3].update(outputs=[{"output_type": "stream", "text": "x" * 20_000_000}])
    ),
}  # fmt: skip
REFUSED: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "empty": (lambda: b"", "empty"),
    "blank": (lambda: b" \n\t", "empty"),
    "cut": (lambda: text()[:-200], "not JSON, or was cut short"),
    "binary": (lambda: bytes(range(256)) * 40, "not UTF-8"),
    "nulls": (lambda: bytes(4096), "not"),
    "archive": (lambda: b"PK\x03\x04" + bytes(range(256)), "not"),
    "python": (lambda: DOUBLE, "not JSON"),
    "page": (lambda: "<!doctype html><html></html>", "not JSON"),
    "merge": (lambda: text().replace("[", "\n<<<<<<< HEAD\n[\n=======\n[\n>>>>>>> main\n", 1), "git merge"),
    "list": (lambda: "[1, 2]", "no cells"),
    "text": (lambda: '"cells"', "no cells"),
    "no cells": (lambda: text(lambda raw: raw.update(cells=[])), "no cells"),
    "cells of a wrong type": (lambda: text(lambda raw: raw.update(cells="x")), "not a list"),
    "no dictionaries": (lambda: text(lambda raw: raw.update(cells=[1, [2], None])), "not a notebook of"),
    "too many cells": (lambda: text(lambda raw: raw.update(cells=raw["cells"] * 500)), "more than 2000 cells"),
    "too many parts": (lambda: '{"cells": [' + "[]," * 2_500_000 + "0]}", "too many parts"),
    "deep": (lambda: '{"cells": ' + nested(100_000) + "}", "not JSON"),
    "deep dictionaries": (lambda: '{"cells": [' + '{"a":' * 100_000, "not JSON"),
    "broken format 3": (lambda: json.dumps({"nbformat": 3, "worksheets": [{"cells": [{"cell_type": 5}]}]}), "not a"),
    "worksheets": (lambda: json.dumps({"nbformat": 3, "worksheets": 7}), "not a notebook"),
    "only text": (
        lambda: json.dumps({"nbformat": 4, "cells": [{"cell_type": "markdown", "source": "# My essay"}]}),
        "not a notebook of",
    ),
    "another": (lambda: json.dumps({"cells": [{"cell_type": "code", "source": "x <- 1"}]}), "not a notebook of"),
}


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def strange_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """What is no ordinary file, with a word of the reason that it is refused for."""
    outside = put(folder / "elsewhere" / "secret.ipynb", text())
    made = {name: folder / f"{name}.ipynb" for name in ("link", "out", "dangling", "loop", "device", "pipe", "folder")}
    made["link"].symlink_to(put(folder / "whole.ipynb", text()))
    made["out"].symlink_to(outside)
    made["dangling"].symlink_to(folder / "nobody")
    made["loop"].symlink_to(made["loop"])
    made["device"].symlink_to("/dev/zero")
    os.mkfifo(made["pipe"])
    made["folder"].mkdir()
    made["giant"] = folder / "giant.ipynb"
    with made["giant"].open("wb") as file:
        file.truncate(2 * SUBMISSION_BYTES)
    reasons = {"pipe": "not an ordinary file", "folder": "not an ordinary file", "giant": "larger than 50 MB"}
    return {name: (path, reasons.get(name, "a symbolic link")) for name, path in made.items()}
