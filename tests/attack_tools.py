"""What the attack tests share: both confinements, a worker in each, and a toy submission's marks."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograder.grading.execution import Budget, Execution
from autograder.grading.plugin import Finding, Pass
from autograder.grading.pytest_run import run_pass
from autograder.sandbox import bubblewrap, landlock
from autograder.sandbox.session import Session
from autograder.sandbox.surroundings import NOTHING, Surroundings
from autograder.sandbox.tiers import Tier
from tests.toy_course import TOY, with_cell


@pytest.fixture(scope="module", params=["namespaces", "landlock"])
def confined(request: pytest.FixtureRequest) -> Tier:
    """Each confinement that this machine has."""
    reason = {"namespaces": bubblewrap, "landlock": landlock}[request.param].works()
    if reason is not None:
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="module")
def _workers(confined: Tier, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Session]]:
    files = tmp_path_factory.mktemp("release")
    (files / "data").mkdir()
    (files / "data" / "rows.tsv").write_text("one\n")
    (files / "notebook.ipynb").write_text("not for the worker")
    workers = [Session(confined, Surroundings(files))]
    yield workers
    for worker in workers:
        worker.close()


@pytest.fixture
def shared(_workers: list[Session], confined: Tier) -> Session:
    """A worker for many attacks, with a data folder of its assignment; another one after an attack that ended it."""
    if not _workers[-1].alive:
        _workers.append(Session(confined))
    return _workers[-1]


@pytest.fixture
def session(confined: Tier) -> Iterator[Session]:
    with Session(confined) as session:
        yield session


def said(session: Session, source: str, seconds: float = 20.0) -> str:
    """What the cell prints, or how it failed."""
    reply = session.request("cell", seconds, id="here", source=source)
    if reply["error"]:
        return f"{reply['error']['type']}: {reply['error']['text']}"
    return "".join(o["text"] for o in reply["outputs"] if o["output_type"] == "stream").strip()


def findings(tier: Tier, cell: str = "", **answers: str) -> dict[str, Finding]:
    """What the toy's hidden tests find, with `cell` added by the student before everything else."""
    notebook = with_cell(1, cell, **answers)
    execution = Execution(notebook, tier, NOTHING, "definitions", Budget())
    try:
        return {f.name: f for f in run_pass(Pass(TOY, execution)).findings}
    finally:
        execution.close()


def settles(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether `condition` comes to hold."""
    end = time.monotonic() + seconds
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
