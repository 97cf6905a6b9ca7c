"""Grading that is interrupted or killed half way: it ends at once, leaves no process, and goes on where it was."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from autograder.course.course import VARIABLE
from tests.toy_course import DOUBLE, QUADRUPLE, lay_out, notebook

pytestmark = [
    pytest.mark.usefixtures("tier"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
REPOSITORY = Path(__file__).resolve().parent.parent
ENDLESS = ("ben", "cleo")


@dataclass(frozen=True)
class Class:
    """A toy course with submissions of three students; `command` grades them, and gives a result in `results` each."""

    root: Path
    command: tuple[str, ...]
    results: Path

    def path(self, student: str) -> Path:
        return self.root / "submitted" / student / "toy" / f"{'toy' if 'autograde' in self.command else student}.ipynb"

    def submit(self, student: str, *, endless: bool = False) -> None:
        """A right notebook; an endless one has an experiment that runs for minutes."""
        given = notebook(double=DOUBLE, quadruple=QUADRUPLE)
        if endless:
            given.cells.append(new_code_cell("while True:\n    pass", metadata={"tags": ["experiment"]}))
        self.path(student).parent.mkdir(parents=True, exist_ok=True)
        # the longest file is graded first
        self.path(student).write_text(nbformat.writes(given) + ("" if endless else " " * 2000))

    def start(self) -> subprocess.Popen[bytes]:
        surroundings = {VARIABLE: self.root, "COURSE_SECRET_FILE": self.root / "secret", "PYTHONPATH": REPOSITORY}
        return subprocess.Popen(
            [sys.executable, "-m", "autograder", *self.command, "--execute", "all"],
            cwd=self.root,
            env=os.environ | {name: str(value) for name, value in surroundings.items()},
            stderr=self.said.open("wb"),
            start_new_session=True,
        )

    @property
    def said(self) -> Path:
        return self.root / "said.txt"

    def finished(self) -> set[str]:
        return {path.stem for path in self.results.glob("*.json")}


@pytest.fixture
def course(request, tmp_path):
    """The class, with the words of the command that is to be interrupted."""
    lay_out(tmp_path)
    shutil.copy(REPOSITORY / "nbgrader_config.py", tmp_path)
    command, *jobs = request.param.split()
    if command == "autograde":
        made = Class(tmp_path, (command, "toy", *jobs), tmp_path / "results" / "toy")
    else:
        files = [f"submitted/{name}/toy/{name}.ipynb" for name in ("ada", *ENDLESS)]
        made = Class(tmp_path, (command, *files, "--assignment", "toy", "--output", "out", *jobs), tmp_path / "out")
    made.submit("ada")
    for student in ENDLESS:
        made.submit(student, endless=True)
    return made


def born(pid: int) -> tuple[str, int] | None:
    """When a process was started, and by whom; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (fields[19], int(fields[1])) if fields[0] != "Z" else None


def below(pid: int) -> dict[int, str]:
    """The processes that a process has started, and those that they have; by id, with the time of their start."""
    there = {int(path.name): known for path in Path("/proc").glob("[0-9]*") if (known := born(int(path.name)))}
    found, more = {pid}, {pid}
    while more:
        more = {child for child, (_, parent) in there.items() if parent in found} - found
        found |= more
    return {child: there[child][0] for child in found - {pid}}


def assert_ended(started: dict[int, str]) -> None:
    until(lambda: not any((known := born(pid)) and known[0] == time for pid, time in started.items()))


def until(condition: Callable[[], bool], program: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline and (program is None or program.poll() is None)
        time.sleep(0.05)


def halfway(course: Class, program: subprocess.Popen[bytes]) -> dict[int, str]:
    """Wait until one student is finished and the next is at work; the processes that there are then."""
    until(lambda: "ada" in course.finished() and "ada" in course.said.read_text(), program)
    until(lambda: len(below(program.pid)) >= 3, program)
    return below(program.pid)


def assert_the_rest_is_graded_by_the_same_command(course: Class) -> None:
    before = (course.results / "ada.json").read_bytes()
    for student in ENDLESS:
        course.submit(student)
    assert course.start().wait(timeout=120) == 0
    lines = course.said.read_text().splitlines()
    assert ["(unchanged)" in line for line in lines] == [line.startswith("ada") for line in lines] and len(lines) == 3
    assert course.finished() == {"ada", *ENDLESS} and (course.results / "ada.json").read_bytes() == before


@pytest.mark.parametrize(
    ("course", "send"),
    [("autograde --jobs 2", os.killpg), ("grade --jobs 1", os.kill)],
    indirect=["course"],
)
def test_ctrl_c_ends_grading_with_one_line_and_the_same_command_goes_on(course, send):
    """Exit code 130, no traceback, what is finished is counted; nothing keeps running, though it could for minutes."""
    program = course.start()
    started = halfway(course, program)
    for _ in range(2):  # people press twice
        send(program.pid, signal.SIGINT)
    assert program.wait(timeout=90) == 130
    *lines, last = course.said.read_text().splitlines()
    assert last.startswith("autograder: interrupted; 1 of 3 are finished") and "run the command again" in last
    assert len(lines) == 1 and lines[0].startswith("ada")
    assert_ended(started)
    assert course.finished() == {"ada"}
    assert_the_rest_is_graded_by_the_same_command(course)


@pytest.mark.parametrize("course", ["autograde --jobs 2"], indirect=True)
def test_a_killed_command_leaves_no_process_and_loses_nothing(course):
    """Neither graders nor sandboxes outlive it."""
    program = course.start()
    started = halfway(course, program)
    program.kill()
    program.wait()
    assert_ended(started)
    assert_the_rest_is_graded_by_the_same_command(course)
