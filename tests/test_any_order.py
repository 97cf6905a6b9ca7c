"""A result depends on the file alone: not on how many are graded at a time, in which order, or by a warm worker."""

import os
import random
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nbformat
import pytest

from autograder.batch.many import Settings, grade_many
from autograder.results.result import Result
from tests.toy_course import DOUBLE, QUADRUPLE, notebook, toy, toy_course, with_cell  # noqa: F401

REPOSITORY = Path(__file__).resolve().parent.parent
NOISY = "import torch, random, numpy\ndef double(x):\n    return 2 * x + torch.rand(()) + random.random() + numpy.random.rand()"
DYING = "import os\ndef double(x):\n    os._exit(1)"
SUBMISSIONS = {
    "right": notebook(double=DOUBLE, quadruple=QUADRUPLE),
    "wrong": notebook(double="def double(x):\n    return 3 * x", quadruple=QUADRUPLE),
    "blank": notebook(),
    "noisy": notebook(double=NOISY, quadruple=QUADRUPLE),
    "dying": notebook(double=DYING, quadruple=QUADRUPLE),
    "leaving": with_cell(
        3, "import builtins, os\nbuiltins.float = int\nopen('/tmp/left', 'a').write('here')\nos.nice(5)"
    ),
    "looking": with_cell(1, "import os\nassert not os.path.exists('/tmp/left') and float(0.5) == 0.5"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """The class, with a file that is no notebook."""
    folder = tmp_path_factory.mktemp("submitted")
    for name, given in SUBMISSIONS.items():
        nbformat.write(given, folder / f"{name}.ipynb")
    (folder / "broken.ipynb").write_text("{")
    return sorted(folder.iterdir())


def but_seconds(result: Result) -> dict[str, Any]:
    return asdict(result) | {"seconds": 0}


@pytest.fixture(scope="module")
def by_command(toy_course, files, tmp_path_factory):
    """Grade the class from the command line; gives results and pages by name."""

    def run(*options: str, **variables: str) -> dict[str, Any]:
        output = tmp_path_factory.mktemp("out")
        program = [sys.executable, "-m", "autograder", "grade", *files]
        subprocess.run(
            [*program, "--assignment", "toy", "--output", output, "--quiet", *options],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | variables,
            check=True,
        )
        results = {path.stem: Result.from_json(path.read_text()) for path in output.glob("*.json")}
        pages = {path.stem: path.read_text() for path in output.glob("*.html")}
        return {name: (but_seconds(result), pages[name]) for name, result in results.items()}

    return run


@pytest.fixture(scope="module")
def one_by_one(by_command):
    return by_command("--jobs", "1")


@pytest.mark.usefixtures("tier")
@pytest.mark.parametrize(
    ("jobs", "variables"), [("2", {}), ("3", {}), ("1", {"COURSE_COLD_WORKERS": "1"})], ids=["two", "three", "cold"]
)
def test_results_and_pages_are_the_same_however_many_at_a_time_and_in_cold_workers(
    by_command, one_by_one, jobs, variables
):
    """Right, wrong, blank, random, dying and broken ones, and one that leaves something behind for the next."""
    assert one_by_one.keys() == {*SUBMISSIONS, "broken"}
    assert {name: result["score"] for name, (result, _) in one_by_one.items()} == {
        "right": 6, "wrong": 3, "blank": 0, "noisy": 3, "dying": 3, "leaving": 3, "looking": 6, "broken": 0
    }  # fmt: skip
    assert by_command("--jobs", jobs, **variables) == one_by_one


@pytest.mark.usefixtures("tier")
@pytest.mark.parametrize("seed", [1, 2])
def test_results_are_the_same_in_any_order(toy, files, one_by_one, seed):
    """One after the other in this process, shuffled; a digest is what the command adds."""
    shuffled = random.Random(seed).sample(files, len(files))
    found = {path.stem: but_seconds(graded.result) for path, graded in grade_many(shuffled, Settings(toy))}
    assert found == {name: result | {"digest": ""} for name, (result, _) in one_by_one.items()}
