"""Attacks on what is outside: the network, files, other processes, and the time after the end."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autograder.sandbox import bubblewrap, usage
from autograder.sandbox.session import Died, Session
from tests.attack_tools import marked, said, settles
from tests.defences import UID, processes_of, stopped_by

pytest_plugins = ["tests.attack_tools"]

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {before}
        os.execv(sys.executable, [sys.executable, '-c', {body!r}, {mark!r}])
    os._exit(0)
os.wait()
"""

KILL_ALL = """
import os, signal
try:
    if os.getuid() != 0: os.kill(-1, signal.SIGKILL)  # a test without defences must not end the machine
except OSError:
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def mark():
    mark = f"daemon-{os.getpid()}-{time.monotonic_ns()}"
    yield mark
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


@pytest.fixture
def user(monkeypatch):
    """The user of this test's workers, by whose processes it sees what is left; None where everything runs as one."""
    if os.geteuid() != 0:
        return None
    monkeypatch.setattr(bubblewrap, "worker_uid", lambda slot: UID)
    return UID


@stopped_by("no_network")
def test_no_server_is_reached(shared, tmp_path):
    """Neither TCP, nor UDP, nor an abstract socket, nor one in a folder; not by a pair of sockets turned around either."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hidden,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there,
        ):
            hidden.bind(f"\0abstract-{os.getpid()}")
            there.bind(str(tmp_path / "socket"))
            for server in (tcp, udp, hidden, there):
                server.settimeout(0.2)
            source = f"""
import socket as s
def tries():
    yield lambda: s.create_connection(('127.0.0.1', {tcp.getsockname()[1]}), 1)
    yield lambda: s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp.getsockname()[1]}))
    for address in ('\\0abstract-{os.getpid()}', {str(tmp_path / "socket")!r}):
        yield lambda: s.socket(s.AF_UNIX, s.SOCK_DGRAM).sendto(b'x', address)
        for kind in (s.SOCK_DGRAM, s.SOCK_STREAM, s.SOCK_SEQPACKET):
            yield lambda: s.socketpair(s.AF_UNIX, kind)[0].sendto(b'x', address)
            yield lambda: s.socketpair(s.AF_UNIX, kind)[0].sendmsg([b'x'], [], 0, address)
            yield lambda: s.socketpair(s.AF_UNIX, kind)[0].connect(address)
    for family in (s.AF_NETLINK, s.AF_PACKET, s.AF_VSOCK, s.AF_ALG):
        yield lambda: s.socket(family, s.SOCK_RAW)
done = 0
for one in tries():
    try:
        one()
        done += 1
    except OSError:
        pass
print(done)"""
            assert said(shared, source) == "0"
            for server in (udp, hidden, there):
                with pytest.raises(TimeoutError):
                    server.recv(10)


def test_honest_uses_of_sockets_work(shared):
    """asyncio, which needs a connected pair, runs."""
    source = "import asyncio, socket\nasync def f(): await asyncio.sleep(0); return 'ran'\n"
    assert said(shared, f"{source}import threading\nprint(asyncio.new_event_loop().run_until_complete(f()))") == "ran"


@stopped_by("read_only")
def test_nothing_is_written_outside(shared, tmp_path):
    """No file appears, changes, loses its content, or changes its mode or times, in any place but the worker's own."""
    own = tmp_path / "victim"
    own.write_text("content")
    library = Path(os.__file__)
    before = {p: (p.stat().st_mode, p.stat().st_mtime_ns, p.stat().st_size, p.stat().st_uid) for p in (own, library)}
    source = f"""
import os, sys
made = []
for folder in ('/', '/dev', '/opt', '/etc', '/usr', '/var/tmp', os.path.dirname(os.__file__), {str(own.parent)!r}, '/proc/self', sys.prefix):
    try:
        open(os.path.join(folder, 'left-behind'), 'w')
        made.append(folder)
    except OSError: pass
for path in ({str(own)!r}, {str(library)!r}):
    for way in (lambda: open(path, 'a'), lambda: os.truncate(path, 0), lambda: os.open(path, os.O_RDONLY | os.O_TRUNC),
                lambda: os.remove(path), lambda: os.rename(path, 'gone'), lambda: os.link(path, 'linked')):
        try:
            way()
            made.append((path, way))
        except OSError: pass
    for way in (lambda: os.chmod(path, 0o777), lambda: os.utime(path, (1, 1)), lambda: os.chown(path, 1, 1),
                lambda: os.setxattr(path, 'user.a', b'x')):
        try:
            way()  # may pretend
        except OSError: pass
print(made)"""
    assert said(shared, source) == "[]"
    assert {p: (p.stat().st_mode, p.stat().st_mtime_ns, p.stat().st_size, p.stat().st_uid) for p in before} == before


@stopped_by("read_only_interpreter")
def test_no_byte_code_is_left_for_the_next(shared):
    """Python's caches of the course's own environment cannot be replaced."""
    source = "import json, os, importlib.util as u\ntry:\n    open(u.cache_from_source(json.__file__), 'r+b'); print('open')\nexcept OSError: print('shut')"
    assert said(shared, source) == "shut"


@stopped_by("one_end")
@pytest.mark.parametrize(
    "before",
    [
        "pass",
        "import signal; [signal.signal(n, signal.SIG_IGN) for n in set(signal.Signals) - {9, 19}]",
        "os.close(0); os.closerange(3, 256)",
        "os.setpgid(0, 0)",
    ],
)
def test_daemons_die_with_their_worker(confined, mark, before):
    """Twice forked, in a session of its own, deaf to signals: it is gone when the worker is closed."""
    with Session(confined) as session:
        said(session, DAEMON.format(before=before, body="import time; time.sleep(300)", mark=mark))
        # where the interpreter stands in a closed folder a worker cannot start another one
        if confined == "namespaces":
            assert settles(lambda: marked(mark) == 1)
    assert settles(lambda: marked(mark) == 0)


@stopped_by("one_end_of_a_user")
def test_forked_copies_die_with_their_worker(confined, user):
    """Copies of the worker, detached, and a chain in which each starts the next and ends."""
    chain = """
import os, time
def chain():
    while True:
        if os.fork(): os._exit(0)
        time.sleep(0.001)
if os.fork() == 0: os.setsid(); chain()
if os.fork() == 0: os.setsid(); time.sleep(300)
print(os.getpid())"""
    with Session(confined) as session:
        assert said(session, chain)
        inside = session._started.inside()
        leader = getattr(inside, "leader", None)
        time.sleep(0.3)
        assert len(inside.processes()) >= 2 or user is not None
    if user is not None:
        assert settles(lambda: not processes_of(user))
    elif leader is not None:
        assert settles(lambda: not usage.group(leader))
    else:
        assert settles(lambda: not inside.root.exists())


@stopped_by("one_end_of_a_user")
def test_a_killed_grader_leaves_no_worker(confined, user, defence, tmp_path):
    """When the grader is killed, its workers end, with all that they started, and their folders are removed."""
    if user is None:
        pytest.skip("who is not root cannot give the workers a user by which to find them")
    source = f"""
import sys, time
from pathlib import Path
import pytest
from autograder.sandbox import bubblewrap, usage
from autograder.sandbox.session import Session
from tests.defences import Machine, switch_off
if {defence!r}:
    switch_off({defence!r}, Machine(pytest.MonkeyPatch(), {confined!r}, Path({str(tmp_path)!r}), Path({str(tmp_path)!r})))
bubblewrap.worker_uid = lambda slot: {user}
session = Session({confined!r})
session.request('cell', 20, id='x', source="import os, time\\nif os.fork() == 0: os.setsid(); time.sleep(300)")
inside = session._started.inside()
print(getattr(inside, 'place', None) and inside.place.top, flush=True)
time.sleep(300)
"""
    tmp_path.chmod(0o755)
    grader = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent
    )
    assert grader.stdout is not None
    folder = grader.stdout.readline().strip()
    before = processes_of(user)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    grader.stdout.close()
    assert len(before) >= 2
    assert settles(lambda: not processes_of(user))
    if folder != "None":
        assert settles(lambda: not Path(folder).exists())


@stopped_by("own_user")
def test_the_grader_cannot_be_signalled_or_limited(bystander, shared, defence):
    """No signal, limit, priority or affinity reaches the grader or any other process."""
    # without defences these reach what they are tried on
    targets = (bystander.pid,) if defence else (bystander.pid, os.getpid(), os.getppid(), -1)
    source = f"""
import fcntl, os, resource
done = []
for target in {targets}:
    for name, way in dict(
        kill=lambda: os.kill(target, 0), killpg=lambda: os.killpg(abs(target), 0),
        limit=lambda: resource.prlimit(target, resource.RLIMIT_CPU, (1, 1)),
        priority=lambda: os.setpriority(os.PRIO_PROCESS, target, 19), affinity=lambda: os.sched_setaffinity(target, [0]),
    ).items():
        if target == -1 and 'kill' in name: continue  # that is another test
        try:
            way()
            done.append((target, name))
        except (OSError, ValueError): pass
for name, way in dict(user=lambda: os.setpriority(os.PRIO_USER, 0, 19),
                      owner=lambda: fcntl.fcntl(0, fcntl.F_SETOWN, {bystander.pid})).items():
    try:
        way()
        done.append(name)
    except OSError: pass
print(done)"""
    assert said(shared, source) == "[]"


@stopped_by("own_user")
def test_killing_everything_kills_the_worker_alone(confined, user, bystander):
    """A signal to every process that may be signalled ends at the sandbox's wall."""
    with Session(confined) as session, contextlib.suppress(Died):
        said(session, KILL_ALL)
    assert bystander.poll() is None


@stopped_by("filter_of_calls")
def test_namespaces_and_powers_cannot_be_had(shared):
    """No new namespace, no mount, no capability that writes, no traced child."""
    source = """
import ctypes, os
lib = ctypes.CDLL(None, use_errno=True)
done = [f for f in (0x10000000, 0x20000, 0x40000000) if lib.unshare(f) == 0]
if lib.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0: done.append('mount')
for identity in (os.setuid, os.setgid):
    try: identity(0); done.append(identity)
    except OSError: pass
status = dict(l.split(':', 1) for l in open('/proc/self/status').read().splitlines() if ':' in l)
print(done, status['NoNewPrivs'].strip(), status['Seccomp'].strip(), int(status['CapEff'], 16) & ~4, '0' in status['Uid'].split())"""
    assert said(shared, source) == "[] 1 2 0 False"
