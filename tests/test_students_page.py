"""The page for students is true: each of its commands is run, or checked to exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autograder import limits
from tests.checkout import ROOT
from tests.this_course import ASSIGNMENTS

PAGE = (ROOT / "docs" / "students.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (\S.*)$", PAGE, re.MULTILINE)
BIN = Path(sys.executable).parent


def test_every_command_is_known_here() -> None:
    """A new command on the page needs a test in this file."""
    assert COMMANDS == [
        "conda env create --file environment.yml",
        "conda activate transformer-course",
        "python3 -m venv .venv",
        ". .venv/bin/activate",
        "python -m pip install --requirement requirements.txt",
        "jupyter lab",
        "python -m autograder check transformer-fundamentals/transformer_fundamentals.ipynb",
    ]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What students are given."""
    folder = tmp_path_factory.mktemp("students") / "course"
    subprocess.run(
        [sys.executable, "-m", "autograder", "publish", folder, "--quiet"], cwd=ROOT, check=True, timeout=120
    )
    return folder


def test_the_environment_has_the_name_and_the_versions_that_the_page_says(published: Path) -> None:
    """conda makes the environment that the next line activates, from the list that pip takes, too."""
    text = (published / "environment.yml").read_text(encoding="utf-8")
    assert re.search(r"^name: transformer-course$", text, re.MULTILINE)
    assert "-r requirements.txt" in text


def test_pip_can_read_the_requirements(published: Path) -> None:
    """`python -m pip install --requirement requirements.txt`: where all is installed, pip has nothing to do."""
    line = [sys.executable, "-m", "pip", "install", "--no-index", "--dry-run", "--quiet"]
    done = subprocess.run([*line, "--requirement", "requirements.txt"], cwd=published, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "jupyterlab==" in (published / "requirements.txt").read_text(encoding="utf-8")


def test_jupyter_lab_is_part_of_the_environment() -> None:
    """`jupyter lab` starts; that notebooks work in it is what tests/browser shows."""
    done = subprocess.run([BIN / "jupyter", "lab", "--version"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("4."), done.stderr


def test_check_does_what_the_page_says(published: Path) -> None:
    """As written, in the students' folder, on the notebook as it was handed out: exit code 1, everything is to do."""
    words = COMMANDS[-1].split()
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [BIN / words[0], *words[1:]], cwd=published, env=plain, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    to_do = len(ASSIGNMENTS[Path(words[-1]).parent.name].upstream)
    assert f"{to_do} cells are not filled in" in done.stdout and "hidden tests" in done.stdout


def test_what_the_page_quotes_is_what_is_said() -> None:
    """Limits, placeholders and messages on the page are those of the notebooks and of grading."""
    assert f"{limits.CELL_SECONDS:g} seconds for a cell, {limits.CALL_SECONDS:g} for one call" in PAGE
    releases = [a.release.read_text(encoding="utf-8") for a in ASSIGNMENTS.values()]
    for quoted in (
        "raise NotImplementedError()",
        "fetch_models()",
        "No model in",
        "is missing: start Jupyter",
        "data.zip",
    ):
        assert any(quoted in text for text in releases), quoted


def test_files_that_the_page_names_exist(published: Path) -> None:
    """Nothing is promised that is not there."""
    named = set(re.findall(r"`([\w./-]+\.(?:yml|txt|lock|ipynb))`", PAGE))
    assert named == {"environment.yml", "requirements.txt"} and all((published / name).is_file() for name in named)
