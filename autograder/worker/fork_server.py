"""A worker's parent that has imported what notebooks need: `python -m worker.fork_server CONTROL SETTINGS`.

It holds no secret, runs nothing of a student's, and has one thread, so that it can fork. For each socket that it is
sent it forks a child into namespaces of its own: the first process there, with its own processes, mounts and scratch
folders, which then gives up everything, as a worker that starts cold does. Killing that process ends all it started.
"""

import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .confine import confine
from .cuda import opened
from .syscalls import call

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID = 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
PR_SET_DUMPABLE = 4
NICE = 5  # workers, like grading processes, come behind what records results
MESSAGE_BYTES = 65536


class NotAlone(Exception):
    """The parent has more than one thread, so a child of it might hang."""


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(sys.argv[2])
    shell = warm_up(settings["modules"], simulated=not settings["gpu"])
    if found := opened():
        sys.exit(f"the warm parent has opened {found[0]}: its workers could not")
    call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)  # no child may look into it
    os.nice(NICE)
    control.send(b"ready")
    answer(control, settings, shell)


def answer(control: socket.socket, settings: dict[str, Any], shell: Any) -> None:
    """Fork what is asked for on `control`, until that is closed.

    A message that holds limits, with a socket to talk on, asks for a worker. One that holds `null`, with another
    control socket, asks for a parent like this one, for another grading process: see `_parent`.
    """
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 1)
        if not message:
            return
        made = None
        try:
            limits = json.loads(message)
            if limits is None:
                made = fork(partial(_parent, descriptors[0], control, settings, shell), settings["nested"])
            else:
                made = fork(partial(_worker, descriptors[0], limits, settings, shell), settings["nested"])
                socket.send_fds(control, [b"forked"], [made])
        except Exception as error:
            if message != b"null":  # who asked for a parent finds its socket closed
                control.send(f"{type(error).__name__}: {error}"[:500].encode())
        finally:
            for descriptor in (*descriptors, *([made] if made is not None else [])):
                os.close(descriptor)


def warm_up(modules: list[str], *, simulated: bool) -> Any:
    """Import `modules`, and do once what is slow the first time; the shell for all.

    Nothing here may start a thread, or CUDA.
    """
    gc.disable()  # imports make much that stays, and each look through all of it would find nothing
    import torch

    from . import landlock_rules, namespace, seccomp  # noqa: F401 - so that no child has to
    from .__main__ import prepare

    shell = prepare(simulated=simulated)
    for name in ("IPython.core.interactiveshell", "matplotlib.pyplot", "torch._dynamo", *modules):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # the first optimizer step imports much; a backward pass would start autograd's threads, so the gradient is set
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.zeros(2, 2)
    torch.optim.Adam([weight]).step()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.subplots().set_title("x")
    figure.savefig(io.BytesIO(), format="png")  # finds the fonts
    gc.enable()
    gc.collect()
    gc.freeze()  # a child that collects its garbage would otherwise touch, and so copy, all of this memory
    return shell


def fork(worker: Callable[[], None], nested: bool) -> int:
    """Call `worker` in a new process, the first of new namespaces; a descriptor of that process."""
    if sum(1 for _ in Path("/proc/self/task").iterdir()) != 1:
        raise NotAlone("the warm parent has more than one thread")
    first = _fork_nested(worker) if nested else _fork(worker)
    try:
        return os.pidfd_open(first)
    except ProcessLookupError:
        raise OSError("the worker ended at once") from None


def _fork(worker: Callable[[], None]) -> int:
    """With the power to make namespaces. To have a process in between would copy this one's memory map twice."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    try:
        _libc("unshare", CLONE_NEWPID)  # of the processes that are forked from now on
        first = os.fork()
        if first == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a student's code waits for its own children
                _libc("unshare", CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)
                worker()
            finally:
                os._exit(1)
        return first
    finally:
        _libc("setns", own, CLONE_NEWPID)
        os.close(own)


def _fork_nested(worker: Callable[[], None]) -> int:
    """Without: a process in between makes a user namespace, in which it may make the others."""
    back, there = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            os.close(back)
            _between(there, worker)
        finally:
            os._exit(1)
    os.close(there)
    with os.fdopen(back, "rb") as said:
        told = said.read()
    with contextlib.suppress(ChildProcessError):  # `_reap` may have been faster
        os.waitpid(between, 0)
    if not told.isdigit():
        raise OSError(told.decode(errors="replace") or "the fork did not answer")
    return int(told)


def _between(there: int, worker: Callable[[], None]) -> None:
    """Make new namespaces and, as their first process, the worker; tell its number."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)  # else its maps could not be written
        user, group = os.getuid(), os.getgid()
        _libc("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        ready, go = os.pipe()
        first = os.fork()
        if first == 0:
            os.close(go)
            os.read(ready, 1)
            os.close(ready)
            os.close(there)  # else who asked would wait until this process ends
            worker()
        os.write(there, str(first).encode())
        os.close(there)
        os.close(go)
        os._exit(0)
    except BaseException as error:
        os.write(there, f"{type(error).__name__}: {error}"[:300].encode())
        os._exit(1)


def _parent(number: int, beside: socket.socket, settings: dict[str, Any], shell: Any) -> None:
    """The first process of new namespaces: a parent for one grading process, with all that this one has set up.

    It answers on its own control socket, first with a descriptor of itself. When that socket is closed it ends, and so
    do all its workers, whatever they do: their namespaces lie in its own.
    """
    try:
        beside.detach()
        os.closerange(3, number)
        os.closerange(number + 1, 4096)
        call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
        control = socket.socket(fileno=number)
        itself = os.pidfd_open(os.getpid())
        socket.send_fds(control, [b"ready"], [itself])
        os.close(itself)
        answer(control, settings, shell)
    finally:
        os._exit(1)


def _reap(*_: object) -> None:
    """Let go of workers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _worker(channel: int, limits: dict[str, Any], settings: dict[str, Any], shell: Any) -> None:
    """The first process of the new namespaces: fresh folders, then the confinement, then the worker's loop.

    It talks on `channel`, and ends in here.
    """
    try:
        kept = os.dup2(channel, 100)
        with Path(os.devnull).open("r+b", buffering=0) as nowhere:
            for number in (0, 1, 2):  # the parent's own, which all its children would share
                os.dup2(nowhere.fileno(), number)
        os.closerange(3, 100)
        os.closerange(101, 4096)
        _own_folders(settings)
        os.chdir(settings["scratch"])
        confine(limits)
        from .__main__ import serve

        serve(socket.socket(fileno=kept), shell, limits)
    finally:
        os._exit(1)


def _own_folders(settings: dict[str, Any]) -> None:
    """New temporary file systems, a `/proc` of the new processes, and the assignment's data."""
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    below = {place: os.open(place, os.O_PATH) for place in settings["below"]}
    for place in settings["writable"]:
        _mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777,size={settings['bytes']}")
    for covered, descriptor in below.items():
        Path(covered).mkdir(parents=True)
        _mount_to_read(f"/proc/self/fd/{descriptor}", covered)
        os.close(descriptor)
    files = Path(settings["files"])  # is not there where the assignment has no data
    for entry in sorted(files.iterdir()) if files.is_dir() else ():
        place = Path(settings["scratch"]) / entry.name
        place.mkdir()
        _mount_to_read(str(entry), str(place))


def _mount_to_read(source: str, place: str) -> None:
    _mount(source, place, "", MS_BIND | MS_REC)
    _mount("none", place, "", MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _mount(source: str, place: str, kind: str, flags: int, options: str = "") -> None:
    _libc("mount", source.encode(), place.encode(), kind.encode() or None, flags, options.encode() or None)


def _libc(name: str, *arguments: Any) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}", str(arguments[:2]))


if __name__ == "__main__":
    main()
