"""What the attack tests share: both confinements, a worker in each, and a toy submission's marks."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograder.course.assignment import Assignment
from autograder.grading.execution import Budget, Execution
from autograder.sandbox import bubblewrap, landlock
from autograder.sandbox.session import Session
from autograder.sandbox.tiers import Tier
from autograder.sandbox.view import NOTHING, SandboxView
from autograder.testing.findings import Finding, Pass
from autograder.testing.pytest_run import run_pass
from tests.defences import UID
from tests.toy_course import with_cell

pytest_plugins = ["tests.defences"]

SETTLE_SECONDS = 5.0

needs_namespaces = pytest.mark.skipif(bubblewrap.works() is not None, reason=f"no namespaces: {bubblewrap.works()}")


@pytest.fixture(scope="module", params=["namespaces", "landlock"])
def confined(request: pytest.FixtureRequest) -> Tier:
    """Each confinement that this machine has."""
    reason = {"namespaces": bubblewrap, "landlock": landlock}[request.param].works()
    if reason is not None:
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> SandboxView:
    """The view of an assignment that has a data folder."""
    files = tmp_path_factory.mktemp("release")
    (files / "data").mkdir()
    (files / "data" / "rows.tsv").write_text("one\n")
    (files / "notebook.ipynb").write_text("not for the worker")
    return SandboxView(files)


@pytest.fixture(scope="module")
def _workers(confined: Tier, seen: SandboxView) -> Iterator[list[Session]]:
    workers = [Session(confined, seen)]
    yield workers
    for worker in workers:
        worker.close()


@pytest.fixture
def shared(_workers: list[Session], confined: Tier, seen: SandboxView, defence: str) -> Iterator[Session]:
    """A worker for many attacks; another one after an attack that ended it, and where a defence is switched off."""
    if defence:
        with Session(confined, seen) as worker:
            yield worker
        return
    if not _workers[-1].alive:
        _workers.append(Session(confined, seen))
    yield _workers[-1]


@pytest.fixture
def session(confined: Tier, defence: str) -> Iterator[Session]:
    with Session(confined) as session:
        yield session


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A sleeping process; where root grades, of the unused user that some tests give to workers, too."""
    user = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen(["/usr/bin/env", "sleep", "120"], cwd="/", **user)
    yield process
    process.kill()
    process.wait()


def said(session: Session, source: str, seconds: float = 20.0) -> str:
    """What the cell prints, or how it failed."""
    reply = session.request("cell", seconds, id="here", source=source)
    if reply["error"]:
        return f"{reply['error']['type']}: {reply['error']['text']}"
    return "".join(o["text"] for o in reply["outputs"] if o["output_type"] == "stream").strip()


def findings(assignment: Assignment, tier: Tier, cell: str = "", **answers: str) -> dict[str, Finding]:
    """What the hidden tests of the toy assignment find, with `cell` added by the student before everything else."""
    notebook = with_cell(1, cell, **answers)
    execution = Execution(notebook, tier, NOTHING, "definitions", Budget())
    try:
        return {f.name: f for f in run_pass(Pass(assignment, execution)).findings}
    finally:
        execution.close()


def settles(condition: Callable[[], bool]) -> bool:
    """Whether `condition` comes to hold."""
    end = time.monotonic() + SETTLE_SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def marked(text: str) -> int:
    """How many processes of this machine carry `text` on their command line, this one not counted."""
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                count += text.encode() in (entry / "cmdline").read_bytes()
    return count
