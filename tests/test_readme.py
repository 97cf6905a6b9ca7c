"""The README is true: its commands exist, and its paths are there."""

import re
import subprocess
import sys

import pytest

from tests.checkout import ROOT, run_in

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.strip().split("#")[0].strip()
    for line in README.splitlines()
    if re.match(r"    (make|\.venv/bin/|conda|jupyter) ?", line)
]


def test_there_are_two_commands_to_begin_with():
    """The first two commands are make's."""
    assert COMMANDS[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make")])
def test_make_knows_its_targets(command):
    """`make -n` resolves every target that the README names."""
    done = subprocess.run(["make", "-n", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if "autograder " in c])
def test_commands_take_the_options_that_the_readme_gives_them(command):
    """Each subcommand exists and lists every option that the README uses."""
    words = command.removeprefix(".venv/bin/").split()
    done = run_in(ROOT, words[0], words[1], "--help")
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in words if word.startswith("--"))


def test_the_grade_command_does_what_the_readme_says(tmp_path):
    """The command for unattended runs, as written, on the solved notebook."""
    written = next(c for c in COMMANDS if "autograder grade" in c).split()
    words = [w.replace("ada.ipynb", str(tmp_path / "ada.ipynb")).replace("results", str(tmp_path)) for w in written[1:]]
    solved = ROOT / "solutions" / "transformer-fundamentals" / "transformer_fundamentals.ipynb"
    (tmp_path / "ada.ipynb").write_text(solved.read_text())
    done = run_in(ROOT, "autograder", *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {p.name for p in tmp_path.iterdir()} == {"ada.ipynb", "ada.json", "ada.html"}


def test_paths_that_the_readme_names_exist():
    """Folders, files and pictures are where the README says."""
    named = set(re.findall(r"`([\w./-]+\.(?:md|py|yml|lock))`", README)) | set(
        re.findall(r"\]\((\w[\w./-]+)\)", README)
    )
    named = {n for n in named if "NAME" not in n and "://" not in n}
    assert len(named) >= 5
    assert [n for n in named if not (ROOT / n).exists()] == []


def test_help_is_quick_to_import():
    """Nothing heavy is imported to show the help."""
    program = "import sys, autograder.cli; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.split()
    assert not {"torch", "numpy", "nbgrader", "pytest", "matplotlib"} & set(loaded)
