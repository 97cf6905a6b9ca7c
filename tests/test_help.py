"""What `--help` shows: every word that was written for it, also what stands in brackets."""

import re
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from autograder.cli import app
from autograder.student_check.command_line import app as student_app

COMMANDS = sorted(typer.main.get_command(app).commands)


def options(command: str) -> list[Any]:
    return typer.main.get_command(app).commands[command].params


def shown(arguments: list[str], of: typer.Typer = app) -> str:
    """The help text on a terminal that is wide enough for each option to be one line."""
    done = CliRunner().invoke(of, [*arguments, "--help"], env={"COLUMNS": "400", "TERMINAL_WIDTH": "400"})
    assert done.exit_code == 0
    return re.sub(r"\s+", " ", done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_of_a_help_text_is_swallowed(command):
    """Brackets in a help text are markup, which disappears; a default that is told must be seen."""
    text = shown([command])
    for option in options(command):
        assert option.help and option.help in text, option.name
        if isinstance(option.show_default, str):
            assert f"[default: ({option.show_default})]" in text, option.name


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_that_may_be_left_out_says_what_then_holds(command):
    """The number of cores, all assignments, the class list; where leaving it out means 'nothing', the text is enough."""
    nothing = {"student", "assignment", "scheduler", "tls_ca", "tls_cert", "tls_key", "arrived"}
    silent = [
        option.name
        for option in options(command)
        if not option.required and option.default is None and not isinstance(option.show_default, str)
    ]
    assert set(silent) <= nothing


def test_the_number_of_processes_is_told_where_it_differs():
    """`grade` takes one notebook at a time, the others all cores."""
    assert "[default: (all cores)]" not in shown(["grade"])
    assert "Notebooks at a time. [default: 1]" in shown(["grade"])
    for command in ("autograde", "verify", "demo"):
        assert "Notebooks at a time. [default: (all cores)]" in shown([command])


def test_students_read_the_same():
    """Their command line is plain text."""
    assert "[default: (seen from its cells)]" in shown(["check"], student_app)
