"""Progress: what is said while a class is graded, and where nothing is said."""

import io
from collections import Counter
from functools import partial

import pytest
from rich.console import Console

from autograder.commands import progress
from autograder.commands.progress import counting, state

LONG = "x" * 200


@pytest.mark.parametrize(
    ("counts", "jobs", "seconds", "said"),
    [
        ({}, 2, 30, "0 of 60 done, 2 running"),
        ({"graded": 1}, 2, 30, "1 of 60 done, 2 running"),
        ({"graded": 10, "could-not-run": 2}, 2, 60, "12 of 60 done, 2 running, 2 failed, about 4 min left"),
        ({"graded": 10, "unchanged": 20}, 2, 60, "30 of 60 done, 2 running, about 3 min left"),
        ({"graded": 58, "fault": 1}, 2, 59, "59 of 60 done, 1 running, 1 failed, less than a minute left"),
        ({"graded": 10}, None, 60, "10 of 60 done, about 5 min left"),
        ({"graded": 60}, 2, 60, "60 of 60 done"),
    ],
)
def test_how_it_stands(counts, jobs, seconds, said):
    """Time left is by the rate of what was really graded, and not told before each process has shown one."""
    assert state(Counter(counts), 60, jobs, seconds) == said


def count(monkeypatch, *, terminal: bool, quiet: bool = False) -> str:
    file = io.StringIO()
    monkeypatch.setattr(progress, "Console", partial(Console, file=file, force_terminal=terminal, width=80))
    with counting("grading", 2, quiet, 1) as step:
        step(LONG, "graded")
        step("[bold]bob", "could-not-run")
    return file.getvalue()


def test_a_file_gets_plain_lines_only(monkeypatch):
    """One line for each that is done, whole, as it is."""
    assert count(monkeypatch, terminal=False) == f"{LONG}\n[bold]bob\n"


def test_a_terminal_shows_how_it_stands_and_is_left_with_the_lines(monkeypatch):
    """The status is wiped at the end."""
    said = count(monkeypatch, terminal=True)
    assert "grading: 0 of 2 done, 1 running" in said and "[bold]bob" in said
    assert not said.rsplit("\x1b[2K", 1)[1].strip("\x1b[A2K\r\n")


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_says_nothing(monkeypatch, terminal):
    """Nor does it touch the terminal."""
    assert count(monkeypatch, terminal=terminal, quiet=True) == ""


def test_an_interrupt_is_told_how_far_it_came():
    """A fault is not finished; what is refused is."""
    with pytest.raises(KeyboardInterrupt, match="2 of 9 are finished"), counting("grading", 9, True) as step:
        for outcome in ("unchanged", "could-not-run", "fault"):
            step("a line", outcome)
        raise KeyboardInterrupt
