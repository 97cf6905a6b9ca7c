"""One worker and the conversation with it."""

import os
import re
import socket
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from autograder import limits
from autograder.faults import CannotStart
from autograder.sandbox.start import start
from autograder.sandbox.tiers import Tier
from autograder.sandbox.view import NOTHING, SandboxView
from autograder.sandbox.watch import Watch
from autograder.worker.bounds import ERROR_CHARACTERS, TYPE_CHARACTERS
from autograder.worker.wire import BadFrame, Closed, receive_frame, send_frame

PLACE = re.compile(r"[A-Za-z0-9_-]{1,100}:[0-9]{1,6}")  # a cell and a line of it


class WorkerError(Exception):
    """A request to the worker gave no value."""


class TimedOut(WorkerError):
    """The student's code did not finish within its limit."""

    def __init__(self, seconds: float, place: str | None = None) -> None:
        super().__init__(f"did not finish within {seconds:g} s")
        self.seconds, self.place = seconds, place


class Died(WorkerError):
    """The worker ended, or broke the protocol."""


class OverLimit(Died):
    """The worker was ended for using more than it may. The text goes on after the name of a cell."""


class Raised(WorkerError):
    """The student's code raised. Type and text come from the student: never show them for hidden inputs."""

    def __init__(self, type_name: str, bases: tuple[str, ...], text: str, place: str | None) -> None:
        super().__init__(f"{type_name}: {text}")
        self.type_name, self.bases, self.text, self.place = type_name, bases, text, place


class Session:
    """A worker process; every request has a time limit, and one that passes it ends the worker."""

    def __init__(self, tier: Tier, seen: SandboxView = NOTHING) -> None:
        ours, theirs = socket.socketpair()
        self.channel, self.number = ours, 0
        self._watch: Watch | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the session
        self._started = start(tier, seen, theirs.fileno(), self._errors)
        theirs.close()
        try:
            ready = receive_frame(ours, time.monotonic() + limits.START_SECONDS)
        except (Closed, BadFrame, TimeoutError):
            ready = None
        try:
            if ready != {"ready": True}:
                raise ValueError
            if self._started.inside is not None:
                self._watch = Watch(self._started.inside(), self._started.kill)
        except ValueError:  # also where the sandbox's first process is gone already
            said = ready["reason"] if isinstance(ready, dict) and "reason" in ready else self._last_words()
            self.close()
            raise CannotStart(f"the sandboxed worker did not start: {said}") from None

    @property
    def alive(self) -> bool:
        return self.channel.fileno() >= 0

    def request(self, do: str, seconds: float, **fields: Any) -> Any:
        """Ask the worker to do something; give its value. Raises TimedOut, Died or Raised."""
        if not self.alive:
            raise Died("the worker has ended")
        self.number += 1
        deadline = time.monotonic() + seconds + limits.GRACE_SECONDS
        try:
            send_frame(self.channel, {"do": do, "number": self.number, "seconds": seconds, **fields}, deadline)
            reply = receive_frame(self.channel, deadline)
        except TimeoutError:
            self.close()
            raise TimedOut(seconds) from None
        except (Closed, OSError):
            self.close()
            raise self._ended() from None
        except BadFrame as error:
            self.close()
            raise Died(str(error)) from None
        match reply:
            case {"number": self.number, "value": value}:
                return value
            case {
                "number": self.number,
                "error": {"type": str(name), "bases": list(bases), "text": str(text), "place": str() | None as place},
            }:
                if name == "TookTooLong":
                    raise TimedOut(seconds, place)
                known = place if place is not None and PLACE.fullmatch(place) else None
                # twice as much, since the worker says how much it has left out
                named = tuple(b for b in bases if isinstance(b, str))
                raise Raised(name[:TYPE_CHARACTERS], named, text[: 2 * ERROR_CHARACTERS], known)
        self.close()
        raise Died("the reply is malformed")

    def close(self) -> None:
        """End the worker and everything that it started. May be called twice."""
        self.channel.close()
        if self._watch is not None:
            self._watch.close()
        self._started.kill()
        self._started.let_go()
        self._errors.close()

    def _ended(self) -> Died:
        over = self._watch.over if self._watch is not None else None
        return OverLimit(over) if over is not None else Died("the code ended its process")

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _last_words(self) -> str:
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 2000))
        lines: Sequence[str] = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
