"""Warm workers: one parent a grading process and kind of surroundings, and a confined child of it for each worker."""

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
from dataclasses import dataclass
from pathlib import Path

from autograder import limits
from autograder.sandbox import bubblewrap
from autograder.sandbox.surroundings import Surroundings

FILES = Path("/opt/files")
MOST_PARENTS = 2  # idle ones beyond that are ended: each holds some 300 MB
COLD = "COURSE_COLD_WORKERS"  # set to 1 to start every worker anew
NESTED_UID = 65534


class NotWarm(Exception):
    """There is no warm worker to be had; one that starts cold will do."""


@dataclass
class Child:
    """A worker that was forked; `pid` is its number outside of the sandbox."""

    descriptor: int
    pid: int
    ended: bool = False

    def inside(self) -> bubblewrap.Inside:
        return bubblewrap.Inside(self.pid)

    def kill(self) -> None:
        """End the worker, and with it all of its namespace. May be called twice."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)

    def wait(self) -> None:
        """After `kill`: until it has ended."""
        if not self.ended:
            select.select([self.descriptor], [], [], limits.START_SECONDS)
            os.close(self.descriptor)
            self.ended = True


class Parent:
    """The warm parent of all workers of this process that have the same surroundings."""

    def __init__(self, seen: Surroundings) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control = ours
        self.children: list[Child] = []
        settings = {
            "modules": list(seen.modules),
            "nested": os.geteuid() != 0,
            "writable": list(bubblewrap.WRITABLE),
            "scratch": str(bubblewrap.SCRATCH),
            "bytes": limits.SCRATCH_BYTES,
            "files": str(FILES),
            "below": [str(p) for p in _below_writable(seen)],
        }
        inside = [sys.executable, "-P", "-m", "worker.warm", str(theirs.fileno()), json.dumps(settings)]
        with tempfile.TemporaryFile() as errors:
            self.process = subprocess.Popen(
                bubblewrap.command(inside, seen, files=FILES, may_fork=True),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=bubblewrap.NO_VARIABLES,
                start_new_session=True,
            )
            theirs.close()
            if self._receive() != b"ready":
                errors.seek(0)
                said = errors.read()[-500:].decode(errors="replace").strip().splitlines()
                self.close()
                raise NotWarm(said[-1] if said else "the warm parent did not start")

    def fork(self, channel: int, confined: dict[str, object]) -> Child:
        """A new worker that talks on `channel`. Raises NotWarm."""
        try:
            socket.send_fds(self.control, [json.dumps(confined).encode()], [channel])
            self.control.settimeout(limits.START_SECONDS)
            message, descriptors, _, _ = socket.recv_fds(self.control, 1024, 1)
        except OSError as error:
            raise NotWarm(f"the warm parent does not answer ({error})") from None
        if message != b"forked" or len(descriptors) != 1:
            raise NotWarm(message.decode(errors="replace") or "the warm parent has ended")
        try:
            self.children.append(Child(descriptors[0], _pid(descriptors[0])))
            return self.children[-1]
        except ValueError:
            os.close(descriptors[0])
            raise NotWarm("the worker ended at once") from None

    def idle(self) -> bool:
        """Whether no worker of it is left, which would end with it."""
        self.children = [child for child in self.children if not child.ended]
        return not self.children

    def close(self) -> None:
        self.control.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _receive(self) -> bytes:
        self.control.settimeout(limits.START_SECONDS)
        try:
            return self.control.recv(1024)
        except OSError:
            return b""


def _below_writable(seen: Surroundings) -> list[Path]:
    """Folders to be read that lie where workers have a folder of their own, as a checkout in /tmp does."""
    found = bubblewrap.outermost([*bubblewrap.interpreter(), *seen.readable])
    return [p for p in found if any(p.is_relative_to(place) for place in bubblewrap.WRITABLE)]


_parents: dict[Surroundings, Parent] = {}
_refusals: dict[Surroundings, str] = {}


def child(seen: Surroundings, channel: int, confined: dict[str, object]) -> Child:
    """A warm worker with these surroundings. Raises NotWarm where cold ones have to do, and from then on at once."""
    if os.environ.get(COLD) == "1":
        raise NotWarm(f"{COLD} is set")
    if seen in _refusals:
        raise NotWarm(_refusals[seen])
    for last in (False, True):
        try:
            if seen not in _parents:
                _make_room()
                _parents[seen] = Parent(seen)
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
