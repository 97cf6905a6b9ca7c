"""The second tier on older kernels and for users who are not root, and machines that no tier knows."""

import os
import platform
import tempfile
import time
from pathlib import Path

import pytest

from autograder.faults import CannotStart
from autograder.sandbox import bubblewrap, landlock, start, supervisor
from autograder.sandbox.session import Session
from autograder.sandbox.tiers import NoSandbox, choose
from autograder.worker import landlock_rules as rules
from autograder.worker import seccomp, syscalls
from tests.attack_tools import said

NEWEST = rules.abi()
reason = landlock.works()
needs_landlock = pytest.mark.skipif(reason is not None, reason=str(reason))


@needs_landlock
@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_every_version_of_landlock_confines(version, monkeypatch, tmp_path):
    """What an older version does not see, the filter refuses: signals, and losing content without writing."""
    monkeypatch.setattr(rules, "abi", lambda: version)
    monkeypatch.setattr(bubblewrap, "worker_uid", lambda slot: None)  # as the user who grades, with all its files
    mine = tmp_path / "mine"
    mine.write_text("content")
    tries = f"""
import os
for way in (lambda: os.kill({os.getpid()}, 0), lambda: os.kill(os.getppid(), 0), lambda: os.truncate({str(mine)!r}, 0),
            lambda: os.open({str(mine)!r}, os.O_RDONLY | os.O_TRUNC), lambda: open({str(mine)!r}).read()):
    try:
        print(way())
    except OSError:
        print('refused')
open('own', 'w').write('x'); os.rename('own', 'other'); print(open('other').read())
os.kill(os.getpid(), 0)"""
    with Session("landlock") as session:
        assert said(session, tries).split() == ["refused"] * 5 + ["x"]
    assert mine.read_text() == "content"


@needs_landlock
def test_threads_and_processes_are_counted_above_the_users_own(monkeypatch):
    """A user with many processes can still grade."""
    monkeypatch.setattr(bubblewrap, "worker_uid", lambda slot: None)
    with Session("landlock") as session:
        assert said(session, "import subprocess\nprint(subprocess.run(['/usr/bin/env', 'true']).returncode)") == "0"


def _fail(*_, **__):
    raise OSError("no more processes")


FAULTS = {
    "supervisor": (supervisor, "__file__", "/nowhere/supervisor.py"),
    "process": (start, "_run", _fail),
    "rules": (landlock, "confinement", _fail),
    "program": (start, "_worker", lambda *_: ["/nowhere/python"]),
}


@needs_landlock
@pytest.mark.parametrize("fault", FAULTS)
def test_a_start_that_fails_leaves_no_folder(fault, monkeypatch, tmp_path):
    """Wherever it fails: a full machine would be fuller with each try."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(*FAULTS[fault])
    with pytest.raises((CannotStart, OSError)):
        Session("landlock")
    until = time.monotonic() + 30
    while list(tmp_path.glob("worker-*")) and time.monotonic() < until:
        time.sleep(0.1)  # where there is a supervisor, it removes the folder in the background
    assert not list(tmp_path.glob("worker-*"))


def test_unknown_machines_have_no_sandbox(monkeypatch):
    """Without the numbers of its system calls nothing is filtered, so nothing starts: in either tier."""
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(syscalls.UnknownMachine, match="riscv64"):
        seccomp.program(seccomp.rules())
    landlock.works.cache_clear()
    bubblewrap.works.cache_clear()
    try:
        with pytest.raises(NoSandbox, match="riscv64"):
            choose("auto")
    finally:
        landlock.works.cache_clear()
        bubblewrap.works.cache_clear()


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_programs_are_well_formed(machine, monkeypatch):
    """Every jump of the filter stays inside, and every path ends in a return, on both kinds of machine."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    program = seccomp.program(seccomp.rules() + seccomp.rules_without_namespaces(1, 4321))
    assert len(program) < 4096
    for at, (code, if_true, if_false, _) in enumerate(program):
        if code in (seccomp.JUMP_EQUAL, seccomp.JUMP_AT_LEAST):
            assert at + 1 + max(if_true, if_false) < len(program)
    assert program[-1] == (seccomp.RETURN, 0, 0, seccomp.ALLOW)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the table of x86-64")
def test_numbers_are_the_kernels():
    """The table of this machine's kernel headers, where they are installed, has the same numbers."""
    table = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not table.is_file():
        pytest.skip("no kernel headers")
    lines = [line.split() for line in table.read_text().splitlines() if line.startswith("#define __NR_")]
    known = {parts[1].removeprefix("__NR_"): int(parts[2]) for parts in lines}
    assert {n: known.get(n) for n in syscalls.NUMBERS} == {n: ours[0] for n, ours in syscalls.NUMBERS.items()}
