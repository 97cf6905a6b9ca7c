"""Run notebook cells with IPython's shell, without a kernel, and keep what they show."""

import base64
import io
import re
import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import CapturedIO, capture_output
from traitlets.config import Config

from .bounds import (
    BASE_TYPES,
    DISPLAYS,
    ERROR_CHARACTERS,
    PICTURE_BYTES,
    PICTURES_BYTES,
    PRINTED_CHARACTERS,
    TEXT_CHARACTERS,
    TYPE_CHARACTERS,
)
from .over_limit import limit_behind

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
CELL_NAME = re.compile(r"<cell ([A-Za-z0-9_-]{1,100})>")


class QuietShell(InteractiveShell):
    """An IPython shell that keeps errors as data and shows figures as PNG."""

    def enable_gui(self, gui: str | None = None) -> None:
        """Figures need no event loop here."""

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        self.last_traceback = stb


class Printed(io.StringIO):
    """A text stream that keeps as much as a cell may print."""

    def write(self, text: str) -> int:
        room = PRINTED_CHARACTERS - self.tell()
        if room > 0:
            super().write(text[:room])
            if len(text) > room:
                super().write(f"\n... (no more is kept: the limit of a cell is {PRINTED_CHARACTERS:,} characters)")
        return len(text)


class Capture(capture_output):
    """IPython's capture of what a cell shows, which keeps no more than it may."""

    def __enter__(self) -> CapturedIO:
        captured = super().__enter__()
        captured._stdout, captured._stderr = sys.stdout, sys.stderr = Printed(), Printed()
        return captured


def new_shell() -> QuietShell:
    quiet = Config({"HistoryManager": {"enabled": False}})  # the history's thread would forbid a fork
    shell = QuietShell.instance(config=quiet, colors="nocolor")
    shell.xmode = "Context"
    return shell


def run_cell(shell: QuietShell, cell_id: str, source: str) -> dict[str, Any]:
    """Run one cell; give its notebook outputs and, where it failed, the error.

    Tracebacks call the cell's code `<cell ID>`, so that a message can name the cell.
    """
    shell.compile.get_code_name = lambda *_: f"<cell {cell_id}>"  # type: ignore[method-assign]
    shell.last_traceback = []
    with Capture() as captured:
        outcome = shell.run_cell(source, store_history=False)
    outputs: list[dict[str, Any]] = []
    for name, text in (("stdout", captured.stdout), ("stderr", captured.stderr)):
        if text:
            outputs.append({"output_type": "stream", "name": name, "text": shorten(settle(text))})
    outputs += _displays(captured.outputs)
    error = outcome.error_before_exec or outcome.error_in_exec
    if error is None:
        return {"outputs": outputs, "error": None}
    described = describe_error(error)
    trace = shorten(ANSI.sub("", "\n".join(map(str, shell.last_traceback))))
    outputs.append(
        {"output_type": "error", "ename": described["type"], "evalue": described["text"], "traceback": [trace]}
    )
    return {"outputs": outputs, "error": described}


def describe_error(error: BaseException) -> dict[str, Any]:
    """Type, text and innermost notebook cell of an error."""
    place, traceback = None, error.__traceback__
    while traceback is not None:
        if found := CELL_NAME.fullmatch(traceback.tb_frame.f_code.co_filename):
            place = f"{found[1]}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    try:
        text = str(error)
    except Exception:
        text = "(its text could not be made)"
    if limit := limit_behind(error):
        text = f"{text} (the limit is {limit})"
    bases = [base.__name__[:TYPE_CHARACTERS] for base in type(error).__mro__][:BASE_TYPES]
    return {"type": bases[0], "bases": bases, "text": shorten(ANSI.sub("", text), ERROR_CHARACTERS), "place": place}


def settle(text: str) -> str:
    """What a terminal shows in the end: carriage returns overwrite the line, as progress bars do."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in ANSI.sub("", text).split("\n"))


def shorten(text: str, most: int = TEXT_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[:most]}\n... ({len(text) - most} more characters)"


def _displays(shown: list[Any]) -> list[dict[str, Any]]:
    """The first displays of a cell; a text stands for a picture that is too large."""
    outputs, total = [], 0
    for made in filter(None, map(_display, shown[:DISPLAYS])):
        size = len(made["data"].get("image/png", "")) * 3 // 4
        total += size
        if size > PICTURE_BYTES or total > PICTURES_BYTES:
            total -= size
            limit = f"{PICTURE_BYTES // 2**20} MB a picture and {PICTURES_BYTES // 2**20} MB a cell"
            made["data"] = {"text/plain": f"(A picture of {size / 2**20:.1f} MB is not shown: the limit is {limit}.)"}
        outputs.append(made)
    return outputs


def _display(rich: Any) -> dict[str, Any] | None:
    data = {}
    plain, picture = rich.data.get("text/plain"), rich.data.get("image/png")
    if isinstance(plain, str):
        data["text/plain"] = shorten(plain)
    if isinstance(picture, bytes):
        picture = base64.b64encode(picture).decode()
    if isinstance(picture, str):
        data["image/png"] = picture
    return {"output_type": "display_data", "data": data, "metadata": {}} if data else None
