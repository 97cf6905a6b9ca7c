"""Reduce a notebook that a student changed to what a feedback page may show."""

import re
from itertools import islice
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.feedback.outputs import new_output
from autograder.feedback.picture_limits import ATTACHMENTS, CELL_CHARACTERS, JPEG, PNG, clean_picture

TEXT_CHARACTERS = 20_000  # of one output
OUTPUTS = 60  # of one cell
# CSI and OSC sequences, then control characters other than tab and newline
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
CUT = re.compile(r"\n\.\.\. \(\d{1,12} more characters\)\Z")  # what was cut once says how much
GRADE_ID = re.compile(r"[a-zA-Z0-9_\-]{1,100}")
CELL_ID = re.compile(r"[a-zA-Z0-9_\-]{1,64}")
NBGRADER_KEYS = ("grade", "solution", "locked", "task", "points", "grade_id", "schema_version", "checksum", "cell_type")
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python", "pygments_lexer": "ipython3"}
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def clean_text(text: Any, most: int = TEXT_CHARACTERS) -> str:
    """Plain text without terminal escapes; a carriage return overwrites its line, as on a terminal."""
    if isinstance(text, list):
        text = "".join(piece for piece in text if isinstance(piece, str))
    if not isinstance(text, str):
        return ""
    if cut_before := CUT.search(text[-50:]):
        most += len(cut_before[0])
    cut = len(text) - most
    lines = text[:most].replace("\r\n", "\n").split("\n")
    kept = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
    kept = ESCAPES.sub("", kept).encode("utf-8", "replace").decode()
    return f"{kept}\n... ({cut} more characters)" if cut > 0 else kept


def clean_outputs(outputs: Any) -> list[NotebookNode]:
    """Of a cell's outputs: PNG pictures, plain text, streams and the text of errors. All metadata goes."""
    if not isinstance(outputs, list):
        return []
    cleaned = (_clean_output(o) for o in outputs[:OUTPUTS] if isinstance(o, dict))
    return [output for output in cleaned if output is not None]


def _clean_output(output: dict[str, Any]) -> NotebookNode | None:
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return new_output("stream", name=name, text=clean_text(output.get("text")))
    if kind == "error":
        trace = output.get("traceback")
        lines = [clean_text(line) for line in trace[:100]] if isinstance(trace, list) else []
        name, value = clean_text(output.get("ename"), 200), clean_text(output.get("evalue"), 2000)
        return new_output("error", ename=name, evalue=value, traceback=lines)
    if kind in ("execute_result", "display_data") and isinstance(output.get("data"), dict):
        data = {}
        if picture := clean_picture(output["data"].get("image/png")):
            data["image/png"] = picture
        if text := clean_text(output["data"].get("text/plain")):
            data["text/plain"] = text
        return new_output("display_data", data) if data else None
    return None


def clean_attachments(attachments: Any) -> dict[str, dict[str, str]]:
    """The PNG and JPEG pictures among a markdown cell's attachments."""
    found: dict[str, dict[str, str]] = {}
    left = CELL_CHARACTERS
    for name, bundle in islice(attachments.items(), ATTACHMENTS) if isinstance(attachments, dict) else ():
        for kind, magic in (("image/png", PNG), ("image/jpeg", JPEG)):
            picture = clean_picture(bundle.get(kind), magic) if isinstance(bundle, dict) else None
            if picture and len(picture) <= left:
                found[clean_text(name, 200)] = {kind: picture}
                left -= len(picture)
    return found


def is_test_cell(cell: NotebookNode) -> bool:
    """Whether this is a cell whose outputs are the graders' own."""
    mark = cell.metadata.get("nbgrader")
    return cell.cell_type == "code" and bool(mark) and bool(mark.get("grade")) and not mark.get("solution")


def clean_notebook(notebook: NotebookNode, *, keep_feedback: bool = False) -> None:
    """Clean every cell and the notebook's metadata in place.

    With `keep_feedback` the outputs of test cells, which the graders wrote, keep their HTML.
    """
    course = notebook.metadata.get("course")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    if keep_feedback and isinstance(course, dict):
        notebook.metadata.course = {k: clean_text(v, 200) for k, v in course.items()}
    taken: set[str] = set()
    for number, cell in enumerate(notebook.cells):
        cell.metadata = _clean_metadata(cell.metadata)
        cell.id = _clean_id(cell.get("id"), number, taken)
        if cell.cell_type == "code":
            if not (keep_feedback and is_test_cell(cell)):
                cell.outputs = clean_outputs(cell.get("outputs"))
            if type(cell.get("execution_count")) is not int:
                cell.execution_count = None
        elif cell.cell_type == "markdown" and "attachments" in cell:
            cell.attachments = nbformat.from_dict(clean_attachments(cell.attachments))


def _clean_id(given: Any, number: int, taken: set[str]) -> str:
    good = isinstance(given, str) and CELL_ID.fullmatch(given) and given not in taken
    chosen = given if good else f"cell-{number}"
    while chosen in taken:
        chosen += "-"
    taken.add(chosen)
    return chosen


def _clean_metadata(metadata: Any) -> NotebookNode:
    kept: dict[str, Any] = {}
    mark, tags, course = (metadata.get(key) for key in ("nbgrader", "tags", "course"))
    if isinstance(mark, dict) and isinstance(mark.get("grade_id"), str) and GRADE_ID.fullmatch(mark["grade_id"]):
        plain = {k: mark[k] for k in NBGRADER_KEYS if isinstance(mark.get(k), bool | int | float | str)}
        kept["nbgrader"] = {k: clean_text(v, 100) if isinstance(v, str) else v for k, v in plain.items()}
    if isinstance(tags, list):
        kept["tags"] = [tag for tag in tags if isinstance(tag, str) and GRADE_ID.fullmatch(tag)]
    if isinstance(course, dict):
        kept["course"] = {k: v for k, v in course.items() if isinstance(v, bool)}
    for key in ("deletable", "editable"):
        if isinstance(metadata.get(key), bool):
            kept[key] = metadata[key]
    cleaned: NotebookNode = nbformat.from_dict(kept)
    return cleaned
