"""The worker answers with data, is confined, and every request to it ends."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch

from autograder import limits
from autograder.sandbox import landlock, warm
from autograder.sandbox.session import Died, Raised, Session, TimedOut
from autograder.sandbox.view import SandboxView


@pytest.fixture(scope="module")
def shared(tier, tmp_path_factory):
    """One worker for the tests that leave it alive, with a file of the assignment to read."""
    files = tmp_path_factory.mktemp("release")
    (files / "data").mkdir()
    (files / "data" / "rows.tsv").write_text("one\n")
    (files / "notebook.ipynb").write_text("not for the worker")
    with Session(tier, SandboxView(files)) as session:
        yield session


@pytest.fixture
def session(tier):
    with Session(tier) as session:
        yield session


def run(session, source, seconds=20.0):
    return session.request("cell", seconds, id="here", source=source)


def said(session, source):
    """What the cell prints, or how it failed."""
    reply = run(session, source)
    if reply["error"]:
        return f"{reply['error']['type']}: {reply['error']['text']}"
    return "".join(o["text"] for o in reply["outputs"] if o["output_type"] == "stream").strip()


def test_functions_are_called_with_tensors(shared):
    """A notebook's function gets tensors and gives tensors, numbers and text."""
    run(shared, "def f(x, times=1):\n    return x * times, {'n': x.shape[0]}, 'text'")
    value = shared.request("call", 5, name="f", args=(torch.arange(3.0),), kwargs={"times": 2}, seed=0)
    assert torch.equal(value[0], torch.tensor([0.0, 2.0, 4.0]))
    assert value[1:] == ({"n": 3}, "text")


def test_seeds_make_calls_repeatable(shared):
    """The same seed gives the same random numbers in torch, numpy and random."""
    draws = "[float(torch.rand(1)), random.random(), float(numpy.random.rand())]"
    run(shared, f"import torch, random, numpy\ndef g(): return {draws}")
    first, again, other = (shared.request("call", 5, name="g", args=(), kwargs={}, seed=s) for s in (1, 1, 2))
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_errors_name_the_cell(shared):
    """An error comes back with its type, its text and the line of the cell in which it arose."""
    run(shared, "def broken():\n    return 1 / 0")
    with pytest.raises(Raised) as error:
        shared.request("call", 5, name="broken", args=(), kwargs={}, seed=0)
    assert (error.value.type_name, error.value.place) == ("ZeroDivisionError", "here:2")
    assert "ArithmeticError" in error.value.bases


def test_a_figure_is_shown_as_png(shared):
    """matplotlib's figures arrive as PNG."""
    reply = run(shared, "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    assert any("image/png" in o.get("data", {}) for o in reply["outputs"])


@pytest.mark.parametrize(
    "loop",
    ["while True: pass", "import time\ntime.sleep(60)", "while True:\n  try:\n    x = 1\n  except Exception: pass"],
)
def test_a_loop_stops_softly(shared, loop):
    """An endless cell is stopped at its limit, and the worker goes on with its names."""
    run(shared, "kept = 5")
    assert run(shared, loop, 0.5)["error"]["type"] == "TookTooLong"
    assert said(shared, "print(kept)") == "5"


def test_a_loop_that_swallows_everything_ends_with_its_worker(session):
    """Code that ignores the soft limit is killed after the grace time."""
    start = time.monotonic()
    stubborn = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"
    with pytest.raises(TimedOut):
        run(session, stubborn, 0.3)
    assert time.monotonic() - start < 0.3 + limits.GRACE_SECONDS + 5
    assert not session.alive


@pytest.mark.parametrize("end", ["import os\nos._exit(0)", "import ctypes\nctypes.string_at(0)"])
def test_a_process_that_ends_itself_is_told_apart(session, end):
    """Ending the process costs the worker, not the grader."""
    with pytest.raises(Died):
        run(session, end)


def test_exit_is_an_error_like_any_other(shared):
    """`exit()`-like calls in a function do not end the worker."""
    run(shared, "def leave(): raise SystemExit(3)")
    with pytest.raises(Raised, match="SystemExit"):
        shared.request("call", 5, name="leave", args=(), kwargs={}, seed=0)


def test_only_the_assignments_folders_are_there(shared, tier):
    """The data can be read and not changed; notebook, source, tests, graders and the home folder are absent."""
    listing = "print(open('data/rows.tsv').read(), *(n for n in __import__('os').listdir('.') if n[0] != '.'))"
    assert said(shared, listing).split() == ["one", "data"]
    refusal = {"namespaces": "Read-only file system", "landlock": "Permission denied"}[tier]
    assert refusal in said(shared, "open('data/new', 'w')")
    root = Path(__file__).resolve().parent.parent
    places = [str(root / name) for name in ("source", "tests", "autograder", "solutions", "data")]
    # in the second tier they can be seen to be there, but not looked into
    look = f"""
import os
for place in {places}:
    try: print(os.listdir(place))
    except OSError as error: print(error.strerror)"""
    refusal = {"namespaces": "No such file or directory", "landlock": "Permission denied"}[tier]
    assert said(shared, look).splitlines() == [refusal] * len(places)
    assert "autograder" not in said(shared, "import sys\nprint([m for m in sys.modules if 'autograder' in m])")


def test_the_environment_is_not_inherited(tier, monkeypatch):
    """No variable of the grader's reaches the worker."""
    monkeypatch.setenv("COURSE_SECRET_FILE", "/somewhere")
    with Session(tier) as session:
        assert said(session, "import os\nprint('COURSE_SECRET_FILE' in os.environ)") == "False"


def test_there_is_no_network(shared):
    """Neither a listening server on this machine nor an abstract socket can be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "Error" in said(shared, f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)")


def test_the_worker_is_nobody(shared, tier):
    """No root, no way to gain any right, and no capability, but for reading the interpreter where that needs one."""
    status = dict(
        line.split(":", 1)
        for line in said(shared, "print(open('/proc/self/status').read())").splitlines()
        if ":" in line
    )
    assert "0" not in status["Uid"].split()
    kept = landlock.SEARCH if tier == "landlock" and landlock.needs_search() else 0
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == kept
    assert status["NoNewPrivs"].strip() == "1"


def test_other_processes_are_out_of_sight(shared, tier):
    """The worker sees its own processes alone; in the second tier there is no list of them."""
    seen = said(shared, "import os\nprint(sum(p.isdigit() for p in os.listdir('/proc')))")
    if tier == "landlock":
        assert seen == "PermissionError: [Errno 13] Permission denied: '/proc'"
    else:
        assert int(seen) <= 4


def test_memory_and_files_are_limited(shared):
    """A tensor beyond the limit, and a file beyond it, are errors of the cell."""
    assert "memory" in said(shared, "import torch\ntorch.zeros(2 * 10**9, dtype=torch.float64)").lower()
    assert "File too large" in said(shared, f"with open('big', 'wb') as f: f.write(bytes({limits.FILE_BYTES + 1}))")


def test_daemons_die_with_their_worker(tier):
    """A process that detached itself is gone when the worker is closed."""
    mark = f"daemon-{os.getpid()}-{time.monotonic_ns()}"
    child = f"[sys.executable, '-c', 'import time; time.sleep(300)', {mark!r}]"
    source = f"import subprocess, sys\nsubprocess.Popen({child}, start_new_session=True)"
    with Session(tier) as session:
        assert run(session, source)["error"] is None
        assert _settles(lambda: _processes(mark) == 1)
    assert _settles(lambda: _processes(mark) == 0)


@pytest.mark.parametrize("cold", ["0", "1"])
def test_a_second_close_ends_nobody_else(tier, cold, monkeypatch):
    """Numbers of processes and descriptors are used again: a closed session no longer knows those that it had."""
    monkeypatch.setenv(warm.COLD, cold)
    seen = SandboxView(modules=(f"no_such_module_for_closing_{cold}",))
    first = Session(tier, seen)
    first.close()
    with Session(tier, seen):
        pass  # the warm parent now lets go of the first worker's descriptor
    ended = []
    for module, name in ((os, "killpg"), (signal, "pidfd_send_signal")):
        monkeypatch.setattr(module, name, lambda *call: ended.append(call))
    first.close()
    assert ended == []


def test_a_second_close_spares_the_next_worker(tier):
    """The same, as it happens: the next worker's descriptor has the number that the closed session's had."""
    if tier != "namespaces":
        pytest.skip("only warm workers, which need namespaces, have descriptors")
    first = Session(tier)
    number = first._started.descriptor
    first.close()
    with Session(tier):
        pass
    while (later := Session(tier))._started.descriptor != number:
        later.close()
    first.close()
    assert said(later, "print('alive')") == "alive"
    later.close()


def test_input_does_not_wait(shared):
    """A cell that asks for input fails at once."""
    assert "Error" in said(shared, "input('name? ')")


def test_a_flood_of_output_is_cut(shared):
    """Megabytes of print arrive as a few thousand characters."""
    assert len(said(shared, "for _ in range(200_000): print('x' * 40)")) < 50_000


def test_workers_of_two_submissions_do_not_meet(tier):
    """What one worker writes, another does not see."""
    with Session(tier) as one, Session(tier) as two:
        own = said(one, "import os, tempfile\nprint(os.getcwd(), tempfile.gettempdir())").split()
        for place in own:
            assert said(one, f"print(open('{place}/message', 'w').write('x'))") == "1"
        for place in (*own, "/tmp", "/dev/shm", "/scratch"):
            run(one, f"open('{place}/message', 'w').write('x')")
            assert "Error" in said(two, f"open('{place}/message').read()")


def test_the_worker_has_one_thread(session):
    """A fresh worker can be forked, and costs one core."""
    assert said(session, "import os\nprint(len(os.listdir('/proc/self/task')))") == "1"


def _settles(condition, seconds=5.0):
    """Whether `condition` comes to hold."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def _processes(mark: str) -> int:
    """How many processes of this machine carry `mark` on their command line."""
    lines = (p / "cmdline" for p in Path("/proc").iterdir() if p.name.isdigit())
    return sum(mark in _text(line) for line in lines)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
