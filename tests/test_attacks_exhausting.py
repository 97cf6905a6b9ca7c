"""Attacks on the machine: each ends at a limit, which the message names, and the grader goes on."""

import contextlib
import os
import threading
import time

import pytest
import torch

from autograder import limits
from autograder.sandbox import usage
from autograder.sandbox.session import Died, OverLimit, Raised, Session, TimedOut
from autograder.worker import bounds
from tests.attack_tools import findings, needs_namespaces, said
from tests.defences import stopped_by
from tests.toy_course import toy, toy_course  # noqa: F401

pytest_plugins = ["tests.attack_tools"]

STUBBORN = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nsignal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))\n"


@pytest.fixture
def hold(defence):
    """Time in which the watch must end the worker; short where it is switched off."""
    return f"import time\ntime.sleep({1 if defence else 30})"


@pytest.fixture
def soon(monkeypatch, defence):
    """A short time of grace, unless the limits on time are switched off; the seconds in which a worker must end."""
    if not defence:
        monkeypatch.setattr(limits, "GRACE_SECONDS", 0.5)
    return 2.5


def ends(session, source, seconds=20.0):
    """How the attack ends: the error's own text."""
    try:
        return said(session, source, seconds)
    except (Died, TimedOut) as error:
        assert not session.alive
        return str(error)


@stopped_by("time_limits")
@pytest.mark.parametrize(
    "loop",
    [
        "while True: pass",
        "import time\nwhile True:\n    try: time.sleep(100)\n    except Exception: pass",
        "class A:\n    def __repr__(self):\n        while True: pass\nA()",
        "class B:\n    def __del__(self):\n        while True: pass\nb = B()\ndel b",
        "class C:\n    def __getattr__(self, name):\n        while True: pass\nC()",
        "import re\nre.match('(a*)*b', 'a' * 60)",
        "10 ** 10 ** 9",
        "import threading\nlock = threading.Lock()\nlock.acquire(); lock.acquire()",
    ],
)
def test_loops_end(shared, soon, loop):
    """In a cell, in `__repr__`, in `__del__`, in the regular expressions' engine, in a lock."""
    start = time.monotonic()
    ends(shared, loop, 0.3)
    assert time.monotonic() - start < soon


@stopped_by("time_limits")
def test_a_loop_that_blocks_every_signal_ends(session, soon):
    """The soft limit can be switched off; the hard one is outside. The message names it."""
    start = time.monotonic()
    assert ends(session, f"{STUBBORN}while True: pass", 0.3) == "did not finish within 0.3 s"
    assert time.monotonic() - start < soon


def test_loops_in_a_call_name_their_limit(toy, tier, monkeypatch):
    """A component that never ends costs its own tests."""
    monkeypatch.setattr(limits, "CALL_SECONDS", 0.5)
    monkeypatch.setattr(limits, "GRACE_SECONDS", 0.5)
    found = findings(
        toy,
        tier,
        double=f"def double(x):\n    {STUBBORN.strip().replace(chr(10), chr(10) + '    ')}\n    while True: pass",
    )
    assert str(found["test_double_values"].error) == "did not finish within 0.5 s"


@stopped_by("resource_limits")
def test_one_huge_tensor_is_an_error(shared):
    """Beyond the address space: an error of the cell that names the limit."""
    assert f"{limits.ADDRESS_BYTES // 2**30} GB of memory" in ends(
        shared, "import torch\ntorch.zeros(2 * 10**9, dtype=torch.float64)"
    )


@stopped_by("watch")
def test_memory_of_one_process_is_limited(confined, monkeypatch, hold):
    """Touched memory over the limit ends the worker, and the message names the limit."""
    monkeypatch.setattr(limits, "MEMORY_BYTES", 512 * 2**20)
    with Session(confined) as session, pytest.raises(OverLimit, match="more than 512 MB of memory"):
        said(session, f"held = bytearray(b'x' * (600 * 2**20))\n{hold}")


@stopped_by("watch")
def test_memory_spread_over_processes_is_limited(confined, monkeypatch, hold):
    """Six children with 100 MB each are 600 MB."""
    monkeypatch.setattr(limits, "MEMORY_BYTES", 512 * 2**20)
    spread = f"import os\nfor _ in range(6):\n    if os.fork() == 0:\n        held = bytearray(b'x' * (100 * 2**20))\n        os.setsid()\n        {hold.replace(chr(10), chr(10) + '        ')}\n{hold}"
    with Session(confined) as session, pytest.raises(OverLimit, match="all its processes together"):
        said(session, spread)


def test_pages_shared_with_children_count_once(confined, monkeypatch):
    """Twenty idle copies of one process are no more than that process."""
    monkeypatch.setattr(limits, "MEMORY_BYTES", 700 * 2**20)
    copies = "import os, time\nheld = bytearray(b'x' * (200 * 2**20))\nfor _ in range(20):\n    if os.fork() == 0:\n        time.sleep(3); os._exit(0)\ntime.sleep(1.5)\nprint('well')"
    with Session(confined) as session:
        assert said(session, copies) == "well"


@stopped_by("watch")
def test_memory_between_calls_is_watched(confined, monkeypatch):
    """A thread that goes on while the grader thinks is caught, too."""
    monkeypatch.setattr(limits, "MEMORY_BYTES", 512 * 2**20)
    with Session(confined) as session:
        said(
            session,
            "import threading, time\ndef grow():\n    time.sleep(0.3)\n    global held\n    held = bytearray(b'x' * (600 * 2**20))\nthreading.Thread(target=grow).start()",
        )
        time.sleep(1.5)
        with pytest.raises(OverLimit):
            said(session, "1")


@stopped_by("no_hidden_pages")
@pytest.mark.parametrize(
    "hiding",
    [
        "os.memfd_create('hidden')",
        "mmap.mmap(-1, 2**20)",
        "mmap.mmap(os.open('/dev/zero', os.O_RDWR), 2**20)",
        "mmap.mmap(os.open('/dev/zero', os.O_RDONLY), 2**20, prot=mmap.PROT_READ)",
        "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) and 1 / 0",
    ],
)
def test_memory_has_no_place_to_hide(shared, hiding):
    """No memory that belongs to no process, and no process that may not be looked into."""
    assert "Error" in ends(shared, f"import ctypes, mmap, os\n{hiding}")


@needs_namespaces
@stopped_by("watch")
def test_files_in_memory_count_as_memory(monkeypatch, hold):
    """What stands in the scratch folders of the first tier is memory."""
    monkeypatch.setattr(limits, "MEMORY_BYTES", 300 * 2**20)
    fill = "for i in range(4): open(f'/dev/shm/{i}', 'wb').write(bytes(50 * 2**20))\n"
    with Session("namespaces") as session, pytest.raises(OverLimit, match="more than 300 MB of memory"):
        said(session, fill + hold)


@stopped_by("resource_limits")
def test_a_file_is_limited(shared):
    """One file."""
    assert "(the limit is 64 MB a file)" in ends(
        shared, f"with open('big', 'wb') as f: f.write(bytes({limits.FILE_BYTES + 1}))"
    )


@stopped_by("watch")
def test_all_files_together_are_limited(confined, hold):
    """Many files that are each within the limit."""
    fill = f"import os\nfor i in range(6):\n    with open(f'{{i}}', 'wb') as f: f.write(os.urandom(1) * ({limits.FILE_BYTES} - 1)); f.flush(); os.fsync(f.fileno())\n"
    with Session(confined) as session:
        assert "the limit" in ends(session, fill + hold)


@stopped_by("watch")
def test_deleted_files_that_are_open_count(monkeypatch, hold):
    """Room on disk that no folder lists."""
    monkeypatch.setattr(limits, "SCRATCH_BYTES", 64 * 2**20)
    fill = "import os\nheld = []\nfor i in range(3):\n    f = open('x', 'wb'); f.write(b'x' * (40 * 2**20)); f.flush(); os.remove('x'); held.append(f)\n"
    with Session("landlock") as session, pytest.raises(OverLimit, match="64 MB of files"):
        said(session, fill + hold)


@stopped_by("watch")
@pytest.mark.parametrize(
    "source",
    [
        "for i in range(300): open(f'f{i}', 'w').close()",
        "import os\nfor i in range(300): os.makedirs(f'd{i}/a/b/c/d')",
        "import os\nfor i in range(300): os.symlink('x', f's{i}')",
        "import os\nfor i in range(300): os.mkfifo(f'p{i}')",
        "import os\nfor i in range(300): os.mkdir('d'); os.chdir('d')",
        "import os\nfor i in range(3_000): os.mkdir('d'); os.chdir('d')",
    ],
)
def test_the_number_of_files_is_limited(confined, monkeypatch, hold, source):
    """Files, folders, links, pipes, and a folder in a folder in a folder: removed at the end, whatever the depth."""
    monkeypatch.setattr(limits, "SCRATCH_FILES", 200)
    with Session(confined) as session, pytest.raises(OverLimit, match=r"200 files|hid files"):
        said(session, f"{source}\n{hold}")


def test_files_that_cannot_be_counted_hide_no_memory(monkeypatch):
    """Names that are files and folders by turns make the count of files fail at each look; memory is watched all the same."""

    def flips(*args):
        raise NotADirectoryError

    monkeypatch.setattr(usage, "folder", flips)
    monkeypatch.setattr(limits, "MEMORY_BYTES", 512 * 2**20)
    with Session("landlock") as session, pytest.raises(OverLimit, match="512 MB of memory"):
        said(session, "import time\nheld = bytearray(b'x' * (600 * 2**20))\ntime.sleep(30)")


@stopped_by("resource_limits")
def test_open_files_are_limited(session):
    """Descriptors run out in the worker, not in the system."""
    assert "(the limit is 256 open files)" in ends(session, "import os\nfor _ in range(300): os.open('/dev/null', 0)")


@stopped_by("resource_limits")
def test_threads_are_limited(session):
    """Threads count as processes."""
    threads = "import threading, time\nfor _ in range(200): threading.Thread(target=time.sleep, args=(2,)).start()"
    assert f"(the limit is {limits.PROCESSES} processes and threads)" in ends(session, threads)


@stopped_by("resource_limits")
def test_a_fork_bomb_is_limited(confined):
    """Processes that multiply reach their limit, and all of them are gone with the worker."""
    bomb = "import os, time\nfor _ in range(8):\n    try: os.fork()\n    except OSError: pass\ntime.sleep(30)"
    with Session(confined) as session:
        inside = session._started.inside()
        counted, ended = [0], threading.Event()

        def count() -> None:
            while not ended.wait(0.1):
                with contextlib.suppress(OSError):  # the last of them may just have gone
                    counted.append(len(inside.processes()))

        counting = threading.Thread(target=count)
        counting.start()
        over = ends(session, bomb, 5.0)
        ended.set()
        counting.join()
    assert over and 2 < max(counted) <= limits.PROCESSES
    start = time.monotonic()
    with Session(confined) as after:
        assert said(after, "print('well')") == "well"
    assert time.monotonic() - start < 30


FLOOD = "import os, sys\nfrom IPython.display import display\nfor _ in range(20): "


@stopped_by("sizes")
@pytest.mark.parametrize("flood", ["print('x' * 10**6)", "sys.stderr.write('x' * 10**6)", "display('x' * 10**6)"])
def test_output_is_cut(shared, flood):
    """Gigabytes of output are neither kept nor sent."""
    reply = shared.request("cell", 20.0, id="here", source=FLOOD + flood)
    assert reply["error"] is None
    assert len(str(reply)) < (bounds.DISPLAYS + 2) * 1.2 * bounds.TEXT_CHARACTERS


@stopped_by("no_files_of_the_graders")
@pytest.mark.parametrize("descriptor", [1, 2])
def test_output_does_not_reach_the_graders_disk(shared, descriptor):
    """What a worker writes past Python goes nowhere."""
    assert said(shared, f"{FLOOD}os.write({descriptor}, b'x' * 10**6)") == ""
    assert os.fstat(shared._errors.fileno()).st_size < 10**6


@stopped_by("sizes")
def test_pictures_are_limited(shared):
    """Pictures beyond the limit are told of, and the others are shown."""
    noise = "import os\nfrom IPython.display import Image, display\nfor n in (10, 10**7, 10, 10**6 * 2, 10**6 * 2, 10**6 * 2, 10**6 * 2, 10**6 * 2): display(Image(os.urandom(n), format='png'))"
    reply = shared.request("cell", 20.0, id="here", source=noise)
    shown = ["image/png" in o["data"] for o in reply["outputs"]]
    assert shown == [True, False, True, True, True, True, True, False]
    assert any("the limit is 2 MB a picture" in o["data"].get("text/plain", "") for o in reply["outputs"])


def test_large_replies_come(shared):
    """48 MB are no attack."""
    said(shared, "import torch\ndef f(): return torch.zeros(12 * 2**20)")
    assert shared.request("call", 10.0, name="f", args=(), kwargs={}, seed=0).numel() == 12 * 2**20


@stopped_by("sizes")
@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("torch.zeros(2**25)", "the limit is 4096 of 64 MB"),
        ("torch.zeros(1).expand(2**40)", "the limit is 4096 of 64 MB"),
        ("[torch.zeros(1)] * 5000", "the limit is 4096 of 64 MB"),
        ("'x' * 2**25", "the limit is 16 MB"),
        ("[1] * 1_500_000", "parts"),
    ],
)
def test_replies_are_limited(shared, value, limit):
    """A value that is too large is an error that names the limit, and costs no worker where the worker can tell."""
    said(shared, f"import torch\ndef f(): return {value}")
    with pytest.raises((Raised, Died), match=limit):
        shared.request("call", 10.0, name="f", args=(), kwargs={}, seed=0)


@pytest.mark.parametrize(
    "deep",
    ["a = []\nfor _ in range(10**6): a = [a]", "a = {}\nfor _ in range(10**5): a = {1: a}", "a = []\na.append(a)"],
)
def test_nesting_is_limited(shared, deep):
    """Lists in lists in lists arrive as something nested too deeply."""
    said(shared, f"{deep}\ndef f(): return a")
    assert "nested too deeply" in str(shared.request("call", 5.0, name="f", args=(), kwargs={}, seed=0))


@stopped_by("sizes")
def test_depth_is_limited(shared):
    """The same where Python itself would go along."""
    said(shared, "a = []\nfor _ in range(100): a = [a]\ndef f(): return a")
    assert "nested too deeply" in str(shared.request("call", 5.0, name="f", args=(), kwargs={}, seed=0))


def test_recursion_ends(shared):
    """Without end, in Python or below it."""
    assert ends(shared, "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()", 2.0)


@stopped_by("no_input")
@pytest.mark.parametrize(
    "way",
    [
        "import sys\nprint(repr(sys.stdin.readline()))",
        "import os\nprint(os.read(0, 1))",
        "import sys\nprint(list(sys.stdin))",
    ],
)
def test_input_does_not_wait(shared, way):
    """Reading what nobody types fails at once, by every way in."""
    assert "TookTooLong" not in ends(shared, way, 2.0)


@pytest.mark.parametrize("way", ["input('name? ')", "import getpass\ngetpass.getpass()"])
def test_questions_are_errors(shared, way):
    """A cell that asks does not hang."""
    assert "TookTooLong" not in ends(shared, way, 2.0)


@stopped_by("patience")
def test_a_trickling_reply_ends(session, soon):
    """A reply that comes byte by byte does not stretch the limit."""
    trickle = "import gc, socket, time\nc = max((o for o in gc.get_objects() if isinstance(o, socket.socket)), key=lambda s: s.fileno())\nc.send(b'\\x30\\0\\0\\0' + bytes(8))\nwhile True:\n    try: time.sleep(0.1); c.send(b' ')\n    except BaseException: pass"
    start = time.monotonic()
    with pytest.raises((TimedOut, Died)):
        said(session, trickle, 0.5)
    assert time.monotonic() - start < soon


@stopped_by("patience")
def test_a_worker_that_does_not_read_ends(session, soon):
    """A request that is not taken up does not hold the grader."""
    said(
        session,
        "import ctypes, threading\nthreading.Timer(0.2, lambda: ctypes.PyDLL(None).sleep(4)).start()",
    )
    time.sleep(0.5)
    start = time.monotonic()
    with pytest.raises((TimedOut, Raised)):
        session.request("call", 0.3, name="f", args=(torch.zeros(15 * 2**20),), kwargs={}, seed=0)
    assert time.monotonic() - start < soon


def test_the_rest_is_graded(toy, tier, monkeypatch):
    """A component that exhausts memory loses its points; the others are graded."""
    monkeypatch.setattr(limits, "MEMORY_BYTES", 600 * 2**20)
    glutton = "def double(x):\n    held = [bytearray(b'x' * 2**28) for _ in range(64)]\n    return 2 * x"
    found = findings(toy, tier, double=glutton, quadruple="def quadruple(x):\n    return 4 * x")
    assert not found["test_double_values"].passed
    assert found["test_quadruple_values"].passed
