"""The README is true: what it tells to begin with works (tests/test_docs.py looks through all of it)."""

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


def test_it_fits_on_a_screen_and_names_every_package():
    """At most 110 lines, and each folder of the package stands in the layout."""
    layout = README.split("## Layout")[1].split("\n## ")[0]
    packages = {path.parent.name for path in (ROOT / "autograder").glob("*/__init__.py")}
    assert len(packages) > 20 and {name for name in packages if f" {name}/" not in layout} == set()
    assert len(README.splitlines()) <= 110


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make")])
def test_make_knows_its_targets(command):
    """`make -n` resolves every target that the README names."""
    done = subprocess.run(["make", "-n", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_grade_command_does_what_the_readme_says(tmp_path):
    """The command for unattended runs, as written, on the solved notebook."""
    written = next(c for c in COMMANDS if "autograder grade" in c).split()
    words = [w.replace("ada.ipynb", str(tmp_path / "ada.ipynb")).replace("results", str(tmp_path)) for w in written[1:]]
    solved = ROOT / "solutions" / "transformer-fundamentals" / "transformer_fundamentals.ipynb"
    (tmp_path / "ada.ipynb").write_text(solved.read_text())
    done = run_in(ROOT, "autograder", *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {p.name for p in tmp_path.iterdir()} == {"ada.ipynb", "ada.json", "ada.html"}


def test_help_is_quick_to_import():
    """Nothing heavy is imported to show the help."""
    program = "import sys, autograder.cli; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.split()
    assert not {"torch", "numpy", "nbgrader", "pytest", "matplotlib"} & set(loaded)
