"""Grading processes: as many as this process may use, ready at once, in its environment, and deaf to Ctrl-C."""

import gc
import os
import signal
import subprocess
import sys

import pytest

from autograder.batch.processes import cores, processes, start_ahead

FIRST_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from autograder.batch.processes import cores
print(cores())
"""


def look(name: str) -> tuple[str | None, bool, int, bool, int]:
    """What a grading process finds: a variable, whether all is imported, frozen objects, SIGINT held back, its origin.

    Frozen are none where garbage is not collected.
    """
    held = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    ready = "autograder.batch.many" in sys.modules
    return os.environ.get(name), ready, gc.get_freeze_count() * gc.isenabled(), held, os.getppid()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_only_cores_that_may_be_used_count():
    """A batch system gives a job some cores of a machine."""
    found = subprocess.run([sys.executable, "-c", FIRST_CORE], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1" and cores() >= 1


def test_processes_are_ready_and_see_this_ones_environment(monkeypatch):
    """Also where the process that they are forked from was started under another environment."""
    start_ahead("no such assignment", "auto", several=True)
    origins = set()
    for value in ("first", "second"):
        monkeypatch.setenv("SEEN_BY_GRADERS", value)
        with processes(2) as submit:
            found = [submit(look, "SEEN_BY_GRADERS").result(timeout=60) for _ in range(3)]
        assert {one[:2] for one in found} == {(value, True)}
        assert all(frozen > 10_000 and not held for _, _, frozen, held, _ in found)
        origins |= {origin for *_, origin in found}
    assert len(origins) == 1 and origins != {os.getpid()}


@pytest.mark.parametrize("module", ["autograder.batch.preload", "autograder.student_check.show"])
def test_who_renders_no_page_does_not_import_what_does(module):
    """It takes a fifth of a second: of each start of grading, and of each check of a student's."""
    program = f"import sys, {module}; print(*{{m.split('.')[0] for m in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "nbformat" in loaded and not {"nbconvert", "mistune"} & set(loaded)
