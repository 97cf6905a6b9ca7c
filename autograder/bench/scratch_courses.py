"""The benchmark's notebook as a course of ours, of stock nbgrader, and of otter, in scratch folders."""

import shutil
from pathlib import Path

import nbformat

from autograder.bench.notebook import CALLS, CHECKS, EPOCHS, NAME, NAMES, SETUP, SOLUTIONS, blank, notebook, submissions
from autograder.course.assignment import ROOMS
from autograder.course.manifest import MANIFEST

CHECKOUT = Path(__file__).resolve().parents[2]
MANIFEST_TEXT = """
[cells.softmax]
defines = ["{softmax}"]

[cells.attention]
defines = ["{attention}"]
upstream = ["softmax"]

[cells.layer-norm]
defines = ["{layer-norm}"]

[cells.train]
defines = ["{train}"]
"""
TEST = '''

@pytest.mark.points(2, cell="{cell}", role="value")
def test_{name}(student):
    """{cell} is right"""
    {setup}
    found = student.call("{function}", {arguments})
    {check}
'''


def lay_out_ours(folder: Path, count: int, epochs: int = EPOCHS) -> list[Path]:
    """A course for `autograder`, with hidden tests that make the same checks; its submissions."""
    import jupytext  # takes a while, and who grades the course imports this module, too

    graders = folder / "autograder" / "graders"
    folder.mkdir(parents=True)
    shutil.copy(CHECKOUT / "nbgrader_config.py", folder)
    (graders / NAME / "drivers").mkdir(parents=True)
    (graders / NAME / MANIFEST).write_text(MANIFEST_TEXT.format(**NAMES))
    for name in ("conftest.py", "pytest.ini"):
        shutil.copy(CHECKOUT / ROOMS / name, graders / name)
    tests = '"""The benchmark\'s checks."""\n\nimport pytest\nimport torch\nfrom torch import nn\n'
    for cell, function in NAMES.items():
        tests += TEST.format(
            cell=cell,
            name=function,
            function=function,
            setup=SETUP[cell].replace("\n", "\n    "),
            arguments=CALLS[cell].partition("(")[2].removesuffix(")"),
            check=CHECKS[cell],
        )
    (graders / NAME / "test_bench.py").write_text(tests)
    for place, answers in (("release", blank()), ("source", SOLUTIONS)):
        (folder / place / NAME).mkdir(parents=True)
        nbformat.write(notebook(answers, checks=False, epochs=epochs), folder / place / NAME / f"{NAME}.ipynb")
    text = nbformat.read(folder / "source" / NAME / f"{NAME}.ipynb", as_version=4)
    jupytext.write(text, folder / "source" / NAME / f"{NAME}.py", fmt="py:percent")
    paths = []
    for number, made in enumerate(submissions(count, epochs)):
        paths.append(folder / "submitted" / f"student{number}" / NAME / f"{NAME}.ipynb")
        paths[-1].parent.mkdir(parents=True)
        nbformat.write(made, paths[-1])
    return paths


def lay_out_nbgrader(folder: Path, count: int, epochs: int = EPOCHS) -> None:
    """A course for stock nbgrader: the checks stand in the notebook's test cells."""
    (folder / "source" / NAME).mkdir(parents=True)
    nbformat.write(notebook(SOLUTIONS, checks=True, epochs=epochs), folder / "source" / NAME / f"{NAME}.ipynb")
    (folder / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'bench'\nc.ExecutePreprocessor.timeout = 120\n"
    )
    for number, made in enumerate(submissions(count, epochs)):
        path = folder / "submitted" / f"student{number}" / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(made, path)


def lay_out_otter(folder: Path, count: int, epochs: int = EPOCHS) -> list[Path]:
    """Submissions and tests for `otter run`: the checks stand in test files."""
    tests = folder / "tests"
    tests.mkdir(parents=True)
    for cell in NAMES:
        lines = f"{SETUP[cell]}\nfound = {CALLS[cell]}\n{CHECKS[cell]}".splitlines()
        case = {"code": "".join(f">>> {line}\n" for line in lines), "hidden": False, "locked": False}
        suite = {"cases": [case], "scored": True, "setup": "", "teardown": "", "type": "doctest"}
        name = NAMES[cell]
        test = {"name": name, "points": 2, "suites": [suite]}
        (tests / f"{name}.py").write_text(f"OK_FORMAT = True\n\ntest = {test!r}\n")
    paths = []
    for number, made in enumerate(submissions(count, epochs)):
        paths.append(folder / f"student{number}" / f"{NAME}.ipynb")
        paths[-1].parent.mkdir()
        nbformat.write(made, paths[-1])
    return paths
