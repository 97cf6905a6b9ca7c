"""Warm workers: what they give is what cold ones give, and no worker can tell that there was one before it."""

import os
import signal
import time
from pathlib import Path

import pytest

from autograder.batch.processes import processes
from autograder.sandbox import warm
from autograder.sandbox.session import Died, Session
from autograder.sandbox.view import SandboxView
from tests.attack_tools import needs_namespaces

pytestmark = needs_namespaces


@pytest.fixture
def seen(tmp_path):
    """A view of its own for each test, so that each has a warm parent of its own."""
    folder = tmp_path / "release"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "rows.txt").write_text("rows")
    seen = SandboxView(folder)
    yield seen
    if seen in warm._parents:
        warm._parents.pop(seen).close()


def run(session, source, seconds=20):
    """What a cell printed; its error, where it failed."""
    reply = session.request("cell", seconds, id="x", source=source)
    return reply["error"]["text"] if reply["error"] else "".join(o.get("text", "") for o in reply["outputs"]).strip()


def test_workers_are_forked(seen):
    """The second worker is a child of the parent that the first one had."""
    with Session("namespaces", seen) as session:
        assert run(session, "print(open('/scratch/data/rows.txt').read())") == "rows"
        assert run(session, "import os; print(os.getpid())") == "1"
    parent = warm._parents[seen]
    with Session("namespaces", seen) as session:
        assert run(session, "import torch; print(torch.ones(2).sum().item())") == "2.0"
    assert warm._parents[seen] is parent


def test_garbage_is_collected(seen):
    """The parent does without while it imports; a student's cells do not."""
    with Session("namespaces", seen) as session:
        assert run(session, "import gc; print(gc.isenabled(), gc.get_freeze_count() > 10_000)") == "True True"


def test_cold_workers_can_be_asked_for(seen, monkeypatch):
    """With the variable set, every worker starts anew."""
    monkeypatch.setenv(warm.COLD, "1")
    with Session("namespaces", seen) as session:
        assert run(session, "print(open('/scratch/data/rows.txt').read())") == "rows"
    assert seen not in warm._parents


def test_a_worker_leaves_nothing_to_the_next(seen):
    """Files, byte code, patches and processes of one worker are gone in the next."""
    with Session("namespaces", seen) as first:
        run(
            first,
            "import os, subprocess, sys, torch\n"
            "for place in ('/scratch', '/tmp', '/dev/shm'): open(place + '/left', 'w').write('left')\n"
            "torch.softmax = None\nos.environ['LEFT'] = '1'\n"
            "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)",
        )
    with Session("namespaces", seen) as second:
        found = run(
            second,
            "import os, torch\n"
            "print([p for p in ('/scratch', '/tmp', '/dev/shm') if os.path.exists(p + '/left')],"
            " torch.softmax is None, 'LEFT' in os.environ, sorted(p for p in os.listdir('/proc') if p.isdigit()))",
        )
    assert found == "[] False False ['1']"


def test_a_worker_can_reach_neither_parent_nor_sibling(seen):
    """Two workers at once see only themselves, and no descriptor leads to the parent."""
    with Session("namespaces", seen) as one, Session("namespaces", seen) as other:
        run(one, "open('/tmp/mine', 'w').write('x')")
        look = "import os; print(sorted(p for p in os.listdir('/proc') if p.isdigit()), os.path.exists('/tmp/mine'))"
        assert run(other, look) == "['1'] False"
        sockets = (
            "import os\nprint(sum(os.readlink(f'/proc/self/fd/{f}').startswith('socket') "
            "for f in os.listdir('/proc/self/fd') if os.path.islink(f'/proc/self/fd/{f}')))"
        )
        assert run(other, sockets) == "1"
        assert run(one, "print('alive')") == "alive"


def test_data_stays_as_it_is(seen):
    """The assignment's data can be read and not written."""
    with Session("namespaces", seen) as session:
        assert "ead-only" in run(session, "open('/scratch/data/rows.txt', 'w')")
    assert (seen.files / "data" / "rows.txt").read_text() == "rows"


def test_everything_ends_with_the_worker(seen):
    """After the session, no process of the worker's user is left, however it tried to stay."""
    with Session("namespaces", seen) as session:
        uid = int(run(session, "import os; print(os.getuid())"))
        run(session, "import os\nfor _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n        import time\n"
                     "        time.sleep(600)")  # fmt: skip
    assert _processes(uid) == [] or os.geteuid() != 0


def _processes(uid):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = [p for p in Path("/proc").iterdir() if p.name.isdigit() and _owner(p) == uid]
        if not found:
            return []
        time.sleep(0.05)
    return found


def _owner(process):
    try:
        return process.stat().st_uid
    except OSError:
        return None


def test_a_worker_that_ends_itself_is_reported(seen):
    """`os._exit` in a cell ends that worker alone."""
    with Session("namespaces", seen) as session, pytest.raises(Died):
        run(session, "import os; os._exit(0)")
    with Session("namespaces", seen) as session:
        assert run(session, "print(1)") == "1"


def test_a_dead_parent_is_replaced(seen):
    """Where the parent was killed, the next worker gets another."""
    with Session("namespaces", seen):
        pass
    killed = warm._parents[seen]
    os.killpg(killed.process.pid, signal.SIGKILL)
    with Session("namespaces", seen) as session:
        assert run(session, "print(1)") == "1"
    assert warm._parents[seen] is not killed


def test_a_figure_is_shown(seen):
    """Inline figures work although pyplot was imported before the shell was made."""
    with Session("namespaces", seen) as session:
        reply = session.request(
            "cell", 20, id="x", source="import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
        )
    assert ["image/png" in o["data"] for o in reply["outputs"]] == [True]


def test_without_a_warm_parent_workers_start_cold(seen, monkeypatch):
    """Where no parent comes up, workers start anew, and nobody waits for one again."""
    monkeypatch.setattr(warm, "_start", lambda seen: (_ for _ in ()).throw(warm.NotWarm("no")))
    with Session("namespaces", seen) as session:
        assert run(session, "print(1)") == "1"
    assert warm._refusals.pop(seen) == "no"


def test_idle_parents_are_not_heaped_up(tmp_path):
    """At most two parents stay; one whose worker is alive is not ended."""
    folders = [tmp_path / name for name in "abcd"]
    for folder in folders:
        folder.mkdir()
    with Session("namespaces", SandboxView(folders[0])) as first:
        for folder in folders[1:]:
            with Session("namespaces", SandboxView(folder)) as other:
                assert run(other, "print(1)") == "1"
        assert run(first, "print('alive')") == "alive"
        mine = [seen for seen in warm._parents if seen.files in folders]
        assert len(mine) == 2 and mine[0].files == folders[0]
    for seen in mine:
        warm._parents.pop(seen).close()


def work(seen, source):
    """In a grading process: what a cell prints, whether the worker's parent came from another, and who this is."""
    with Session("namespaces", seen) as session:
        return run(session, source), warm._parents[seen].process is None, os.getpid()


def stay(seen, told):
    """In a grading process: a worker with a process that stays, whose user is told; then this one waits."""
    with Session("namespaces", seen) as session:
        told.write_text(run(session, "import os\nif os.fork() == 0:\n    os.setsid()\n    import time\n"
                                     "    time.sleep(600)\nprint(os.getuid())"))  # fmt: skip
        time.sleep(600)


WHERE = "import os, torch\nprint(os.getpid(), os.getppid(), torch.ones(2).sum().item(), sorted(os.listdir('/scratch')))"


def test_grading_processes_share_what_one_parent_has_set_up(seen):
    """Each has a parent of its own, forked by the first, and workers of it, one after another, that are like any."""
    warm.start_ahead(seen)
    with processes(2) as submit:
        found = [future.result(60) for future in [submit(work, seen, WHERE) for _ in range(6)]]
    assert {one[:2] for one in found} == {("1 0 2.0 ['data']", True)}
    with Session("namespaces", seen) as session:
        assert run(session, WHERE) == "1 0 2.0 ['data']"


@pytest.mark.skipif(os.geteuid() != 0, reason="workers of their own users need root")
def test_a_killed_grading_process_takes_its_workers_along(seen, tmp_path):
    """Its parent was forked by another, which lives on; what it started ends all the same."""
    warm.start_ahead(seen)
    told = tmp_path / "user"
    with processes(1) as submit:
        submit(stay, seen, told)
        deadline = time.monotonic() + 60
        while not (told.is_file() and told.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _owned(int(told.read_text())) >= 2
    assert _processes(int(told.read_text())) == []
    assert work(seen, "print(1)")[0] == "1"


def test_without_the_first_parent_each_starts_its_own(seen):
    """Where the one that forks parents was killed, a grading process starts one."""
    warm.start_ahead(seen)
    assert work(seen, "print(1)")[0] == "1"
    os.killpg(warm._parents[seen].process.pid, signal.SIGKILL)
    with processes(1) as submit:
        assert submit(work, seen, "print(1)").result(60)[:2] == ("1", False)


def _owned(uid):
    return sum(_owner(p) == uid for p in Path("/proc").iterdir() if p.name.isdigit())
