"""Runs cells that come as JSON on standard input and tells what became of each, a line of JSON for each.

`python cell_runner.py`, in a process of its own: the student's own notebook on the student's own machine, unconfined as
in Jupyter, and on any system.
"""

import json
import os
import re
import sys
from typing import IO, Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class QuietShell(InteractiveShell):
    """An IPython shell that shows nothing by itself."""

    def enable_gui(self, gui: str | None = None) -> None:
        """Figures need no event loop here."""

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        pass


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the notebook prints must not mix with the answers
    cells = json.load(sys.stdin)
    shell = QuietShell.instance(config=Config({"HistoryManager": {"enabled": False}}), colors="nocolor")
    for cell in cells:
        _tell(answers, {"starts": cell["index"]})
        _tell(answers, {"index": cell["index"], **_run(shell, cell)})
    answers.flush()
    os._exit(0)  # threads that the notebook has left must not keep the process


def _tell(answers: IO[str], message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _run(shell: QuietShell, cell: dict[str, Any]) -> dict[str, Any]:
    shell.compile.get_code_name = lambda *_: f"<cell {cell['index']}>"  # type: ignore[method-assign]
    with capture_output() as shown:
        outcome = shell.run_cell(cell["source"], store_history=False)
    error = outcome.error_before_exec or outcome.error_in_exec
    undefined = [name for name in cell["names"] if name not in shell.user_ns]
    return {"printed": ANSI.sub("", shown.stdout)[-20_000:], "error": _described(error, cell), "undefined": undefined}


def _described(error: BaseException | None, cell: dict[str, Any]) -> dict[str, Any] | None:
    """Type, text, and the line of this cell that raised it."""
    if error is None:
        return None
    line, traceback = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == f"<cell {cell['index']}>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    lines = cell["source"].splitlines()
    code = lines[line - 1].strip() if isinstance(line, int) and 0 < line <= len(lines) else ""
    text = error.msg if isinstance(error, SyntaxError) else ANSI.sub("", str(error))
    return {"type": type(error).__name__, "text": text[:2000], "line": line, "code": code[:200]}


if __name__ == "__main__":
    main()
