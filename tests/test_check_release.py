"""`autograder check` on the real releases, and as students have it: without graders."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autograder import student_check
from autograder.cli import app
from tests.checkout import ROOT
from tests.this_course import ASSIGNMENTS


def as_students_have_it(folder: Path) -> dict[str, str]:
    """Lay out the release and those files of the package that the check names; the environment to run them in."""
    for name, data in student_check.published(ASSIGNMENTS.values()).items():
        place = folder / "autograder" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    shutil.copytree(ROOT / "release", folder / "release")
    return os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def test_needs_no_graders(tmp_path: Path) -> None:
    """With the release and the files that the check names, and no other file of the repository, the check works."""
    environment = as_students_have_it(tmp_path)
    outside = "import runpy, sys, autograder\nassert autograder.__file__.startswith(sys.argv.pop(1))\n"
    outside += 'runpy.run_module("autograder", run_name="__main__")'
    assignment = ASSIGNMENTS["transformer-fundamentals"]
    ran = subprocess.run(
        [sys.executable, "-c", outside, str(tmp_path), "check", str(assignment.solution)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"All {len(assignment.upstream)} quick checks hold" in ran.stdout


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_a_release_as_handed_out_is_all_to_do(name: str, tmp_path: Path) -> None:
    """Every part is to do, none is wrong, and no written answer counts as given."""
    assignment = ASSIGNMENTS[name]
    ran = CliRunner().invoke(app, ["check", shutil.copy(assignment.release, tmp_path)])
    code, output = ran.exit_code, ran.output
    assert code == 1
    assert "fails" not in output
    assert f"0 of {len(assignment.upstream)} parts" in output
    assert "10 written answers are still the placeholder" in output


def test_colour_in_a_terminal_and_none_in_a_pipe(tmp_path: Path) -> None:
    """Colours are for eyes: a pipe gets plain text."""
    line = [sys.executable, "-m", "autograder", "check", str(ASSIGNMENTS["transformer-fundamentals"].release)]
    plain = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "CLICOLOR_FORCE")}
    in_pipe = subprocess.run(line, cwd=tmp_path, env=plain, capture_output=True, text=True, timeout=120).stdout
    in_terminal = subprocess.run(
        line,
        cwd=tmp_path,
        env=plain | {"FORCE_COLOR": "1", "TERM": "xterm"},
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    assert "\x1b[" not in in_pipe and "to do" in in_pipe
    assert "\x1b[" in in_terminal
