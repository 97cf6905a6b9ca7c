"""Starts a worker, confined as its tier says."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

from autograder import limits
from autograder.sandbox import bubblewrap, landlock, usage, warm
from autograder.sandbox.bubblewrap import NO_VARIABLES
from autograder.sandbox.tiers import Tier
from autograder.sandbox.view import SandboxView
from autograder.sandbox.watch import Inside

_slots = count()


@dataclass(frozen=True)
class Started:
    """A worker's outermost process, a way to look inside once it is up (None: it is not watched), and its remains."""

    process: subprocess.Popen[bytes]
    inside: Callable[[], Inside] | None = None
    remove: Callable[[], None] = lambda: None

    def kill(self) -> None:
        """End the worker and all that it has started. After `let_go` this does nothing."""
        if self.process.stdin is not None:
            self.process.stdin.close()  # its supervisor sees that, and kills the worker's group
        elif self.process.returncode is None:  # once it was waited for, its number may be another's
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def let_go(self) -> None:
        """After `kill`: wait for the end, and remove what it has left."""
        try:
            self.process.wait(limits.START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.remove()


def start(tier: Tier, seen: SandboxView, channel: int, errors: IO[bytes]) -> Started | warm.Child:
    """Start a worker that talks on the socket `channel` and, until it is ready, writes to `errors`."""
    match tier:
        case "namespaces":
            return _in_namespaces(seen, channel, errors)
        case "landlock":
            return _under_landlock(seen, channel, errors)
        case "none":
            return _unconfined(seen, channel, errors)


def _in_namespaces(seen: SandboxView, channel: int, errors: IO[bytes]) -> Started | warm.Child:
    uid = bubblewrap.worker_uid(next(_slots))
    confined = _confined(uid, seen)
    with contextlib.suppress(warm.NotWarm):
        return warm.child(seen, channel, confined)
    process = _run(bubblewrap.command(_worker(channel, confined), seen), channel, errors, environment=NO_VARIABLES)
    return Started(process, lambda: bubblewrap.Inside(*usage.children(process.pid)))


def _under_landlock(seen: SandboxView, channel: int, errors: IO[bytes]) -> Started:
    uid = bubblewrap.worker_uid(next(_slots))
    place = landlock.Place(seen, uid)
    try:
        confined = _confined(uid, seen) | landlock.confinement(place, uid)
        line = landlock.command(_worker(channel, confined), place)
        process = _run(line, channel, errors, place.work, place.environment(seen), subprocess.PIPE)
    except BaseException:
        _remove(place)
        raise
    # its supervisor removes the place, unless that did not come up or was killed
    return Started(
        process, lambda: landlock.Inside(process.pid, place), lambda: _remove(place) if process.returncode else None
    )


def _remove(place: landlock.Place) -> None:
    subprocess.run(["rm", "-rf", "--one-file-system", "--", str(place.top)], stderr=subprocess.DEVNULL)


def _unconfined(seen: SandboxView, channel: int, errors: IO[bytes]) -> Started:
    own = Path(tempfile.mkdtemp(prefix="worker-")) if seen.files is None else None
    environment = os.environ | bubblewrap.python_environment(bubblewrap.WORKER.parent) | dict(seen.variables)
    confined: dict[str, Any] = {**limits.resource_limits(None, gpu=seen.gpu is not None)}
    if seen.gpu is not None:  # nothing hides the others
        confined |= {"gpu": seen.gpu.name.removeprefix("nvidia")}
    process = _run(_worker(channel, confined), channel, errors, own or seen.files, environment)
    return Started(process, remove=lambda: shutil.rmtree(own, ignore_errors=True) if own is not None else None)


def _confined(uid: int | None, seen: SandboxView) -> dict[str, Any]:
    limited: dict[str, Any] = {**limits.resource_limits(uid, gpu=seen.gpu is not None), "sealed": True}
    return limited | ({"gpu": None} if seen.gpu is not None else {})


def _worker(channel: int, confined: dict[str, Any]) -> list[str]:
    return [sys.executable, "-P", "-m", "worker", str(channel), json.dumps(confined)]


def _run(
    line: list[str],
    channel: int,
    errors: IO[bytes],
    where: Path | None = None,
    environment: dict[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        line,
        pass_fds=[channel],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        cwd=where,
        env=environment,
        start_new_session=True,
    )
