"""Warm workers: one parent a grading process and view of the machine, and a confined child of it for each worker.

The parent runs in a sandbox of its own, or it was forked, all warm, by the parent that the grading command started.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from autograder import limits
from autograder.sandbox import bubblewrap
from autograder.sandbox.view import SandboxView

FILES = Path("/opt/files")
MOST_PARENTS = 2  # idle ones beyond that are ended: each holds some 300 MB
COLD = "COURSE_COLD_WORKERS"  # set to 1 to start every worker anew


class NotWarm(Exception):
    """There is no warm worker to be had; one that starts cold will do."""


@dataclass
class Child:
    """A worker that was forked; `pid` is its number outside of the sandbox."""

    descriptor: int
    pid: int
    on_gpu: bool = False
    killed: bool = False

    def inside(self) -> bubblewrap.Inside:
        return bubblewrap.Inside(self.pid)

    def kill(self) -> None:
        """End the worker, and with it all of its namespace. After `let_go` this does nothing."""
        if not self.killed:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)

    def let_go(self) -> None:
        """After `kill`: it runs no more; what the system has to clear away is waited for by the parent, later.

        Only a GPU has to be free at once, for the next worker.
        """
        self.killed = True
        if self.on_gpu:
            self._wait()

    def end(self) -> None:
        """Until the system has cleared it away."""
        self._wait()
        os.close(self.descriptor)
        self.descriptor = -1  # the number may be another worker's from now on

    def _wait(self) -> None:
        select.select([self.descriptor], [], [], limits.START_SECONDS)


class Parent:
    """The warm parent of all workers of this process that have the same view.

    It lies in a sandbox of this process's own, which `process` is, or was forked inside that of another process.
    """

    def __init__(self, control: socket.socket, process: subprocess.Popen[bytes] | None, errors: IO[bytes]) -> None:
        self.control, self.process, self._errors = control, process, errors
        self.children: list[Child] = []
        self._itself: int | None = None
        self._ready = False

    def fork(self, channel: int, confined: dict[str, object]) -> Child:
        """A new worker that talks on `channel`; the first one waits until the parent is warm. Raises NotWarm."""
        if not self._ready:
            self._wait()
        self._clear(1)
        try:
            socket.send_fds(self.control, [json.dumps(confined).encode()], [channel])
            self.control.settimeout(limits.START_SECONDS)
            message, descriptors, _, _ = socket.recv_fds(self.control, 1024, 1)
        except OSError as error:
            raise NotWarm(f"the warm parent does not answer ({error})") from None
        if message != b"forked" or len(descriptors) != 1:
            raise NotWarm(message.decode(errors="replace") or "the warm parent has ended")
        try:
            self.children.append(Child(descriptors[0], _pid(descriptors[0]), "gpu" in confined))
            return self.children[-1]
        except ValueError:
            os.close(descriptors[0])
            raise NotWarm("the worker ended at once") from None

    def idle(self) -> bool:
        """Whether no worker of it is left, which would end with it."""
        return all(child.killed for child in self.children)

    def close(self) -> None:
        """End it, and all its workers with it. May be called twice."""
        self.control.close()
        self._errors.close()
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self._itself is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._itself, signal.SIGKILL)
            select.select([self._itself], [], [], limits.START_SECONDS)
            os.close(self._itself)
            self._itself = None
        self._clear(0)

    def _clear(self, most: int) -> None:
        """Wait until all but `most` of the workers that were killed are gone."""
        dying = [child for child in self.children if child.killed]
        for child in dying[: len(dying) - most]:
            child.end()
            self.children.remove(child)

    def _wait(self) -> None:
        self.control.settimeout(limits.START_SECONDS)
        try:
            message, descriptors, _, _ = socket.recv_fds(self.control, 1024, 1)
        except OSError:
            message, descriptors = b"", []
        self._itself = descriptors[0] if descriptors else None
        self._ready = message == b"ready"
        if not self._ready:
            self._errors.seek(0)
            said = self._errors.read()[-500:].decode(errors="replace").strip().splitlines()
            raise NotWarm(said[-1] if said else "the warm parent did not start")


def _start(seen: SandboxView) -> Parent:
    """A parent in a sandbox of its own, which warms up from now on."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    settings = {
        "modules": list(seen.modules),
        "gpu": seen.gpu is not None,
        "nested": os.geteuid() != 0,
        "writable": list(bubblewrap.WRITABLE),
        "scratch": str(bubblewrap.SCRATCH),
        "bytes": limits.SCRATCH_BYTES,
        "files": str(FILES),
        "below": [str(p) for p in _below_writable(seen)],
    }
    inside = [sys.executable, "-P", "-m", "worker.fork_server", str(theirs.fileno()), json.dumps(settings)]
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the parent
    with theirs:
        process = subprocess.Popen(
            bubblewrap.command(inside, seen, files=FILES, may_fork=True),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=bubblewrap.NO_VARIABLES,
            start_new_session=True,
        )
    return Parent(ours, process, errors)


def _forked_by(source: socket.socket) -> Parent:
    """A parent forked by another process's, which is asked on `source`. Raises NotWarm."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, source:
        try:
            socket.send_fds(source, [b"null"], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise NotWarm(f"there is no warm parent to ask ({error})") from None
    return Parent(ours, None, tempfile.TemporaryFile())


def _below_writable(seen: SandboxView) -> list[Path]:
    """Folders to be read that lie where workers have a folder of their own, as a checkout in /tmp does."""
    found = bubblewrap.outermost([*bubblewrap.interpreter(), *seen.readable])
    return [p for p in found if any(p.is_relative_to(place) for place in bubblewrap.WRITABLE)]


_parents: dict[SandboxView, Parent] = {}
_sources: dict[SandboxView, socket.socket] = {}
_refusals: dict[SandboxView, str] = {}


def start_ahead(seen: SandboxView) -> None:
    """Start the parent of workers with this view, which warms up while this process does something else."""
    if os.environ.get(COLD) != "1" and seen not in _parents:
        _parents[seen] = _start(seen)


def sources() -> list[tuple[SandboxView, socket.socket]]:
    """What `use` takes in another process that this one starts: its parents' control sockets."""
    return [(seen, parent.control) for seen, parent in _parents.items()]


def use(given: Iterable[tuple[SandboxView, socket.socket]]) -> None:
    """Have the parents of this process forked by those of another one, where it has such: that takes no time."""
    _sources.update(given)


def child(seen: SandboxView, channel: int, confined: dict[str, object]) -> Child:
    """A warm worker with this view. Raises NotWarm where cold ones have to do, and from then on at once."""
    if os.environ.get(COLD) == "1":
        raise NotWarm(f"{COLD} is set")
    if seen in _refusals:
        raise NotWarm(_refusals[seen])
    for last in (False, True):
        try:
            if seen not in _parents:
                _make_room()
                _parents[seen] = _forked_by(_sources.pop(seen)) if seen in _sources else _start(seen)
            return _parents[seen].fork(channel, confined)
        except NotWarm as reason:  # the parent may have been killed: another one is tried, once
            if seen in _parents:
                _parents.pop(seen).close()
            if last:
                _refusals[seen] = str(reason)
                raise
    raise AssertionError


def _make_room() -> None:
    """End the oldest parents that are idle, until there is room for another."""
    for seen in [seen for seen, parent in _parents.items() if parent.idle()]:
        if len(_parents) < MOST_PARENTS:
            return
        _parents.pop(seen).close()


@atexit.register
def close_parents() -> None:
    """End the parents, and with them whatever still runs below."""
    while _parents:
        _parents.popitem()[1].close()


def _pid(descriptor: int) -> int:
    """The number, in this process's view, of the process behind a descriptor."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
        if line.startswith("Pid:") and (pid := int(line.split()[1])) > 0:
            return pid
    raise ValueError("no process")
