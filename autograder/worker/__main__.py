"""The worker's loop: `python -m worker CHANNEL LIMITS`, started by the grader inside the sandbox."""

import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from .confine import confine


class TookTooLong(BaseException):
    """The soft limit of one request is over. Not an Exception, so that an `except Exception` does not swallow it."""


def _alarm(*_: object) -> None:
    raise TookTooLong("stopped at the time limit")


class Nowhere:
    """A text stream that keeps nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def main() -> None:
    channel, limits = socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2])
    confine(limits)
    serve(channel, prepare(simulated="gpu" not in limits), limits)


def prepare(*, simulated: bool) -> Any:
    """What every worker needs before it hears of a submission: torch, an accelerator if simulated, IPython's shell."""
    import torch

    from . import simgpu
    from .shell import new_shell

    torch.set_num_threads(1)
    if simulated:
        simgpu.register()
    return new_shell()


def serve(channel: socket.socket, shell: Any, limits: dict[str, Any]) -> None:
    """Answer requests until the channel closes. The process is confined already, as `limits` says."""
    from .cuda import open_gpu
    from .namespace import NotebookNamespace
    from .shell import describe_error, run_cell
    from .wire import receive_frame, send_frame

    # the folders in which a warm worker's shell was made are its parent's
    Path(shell.profile_dir.location).mkdir(parents=True, exist_ok=True)
    space = NotebookNamespace(shell.user_ns)
    signal.signal(signal.SIGALRM, _alarm)

    def answer(request: dict[str, Any]) -> Any:
        match request.pop("do"):
            case "cell":
                return run_cell(shell, request["id"], request["source"])
            case verb:
                with contextlib.redirect_stdout(Nowhere()), contextlib.redirect_stderr(Nowhere()):
                    return getattr(space, verb)(**request)

    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # until here it told why a worker does not start; it is a file of the grader's
    if "gpu" in limits:
        try:
            open_gpu(limits["gpu"])
        except Exception as error:  # nothing of the student's has run: this is the machine's fault
            send_frame(channel, {"ready": False, "reason": f"CUDA does not start ({error})"})
            return
    send_frame(channel, {"ready": True})
    while True:
        request = receive_frame(channel)
        seconds, number = request.pop("seconds"), request.pop("number")
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            reply = {"value": answer(request)}
            signal.setitimer(signal.ITIMER_REAL, 0)
        except BaseException as error:  # whatever the student's code raises is an answer, SystemExit too
            signal.setitimer(signal.ITIMER_REAL, 0)
            reply = {"error": describe_error(error)}
        try:
            send_frame(channel, reply | {"number": number})
        except Exception as error:
            send_frame(channel, {"error": describe_error(error), "number": number})


if __name__ == "__main__":
    main()
