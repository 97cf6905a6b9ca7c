"""The Gradescope package, run in the platform's layout: its zip, its command, its results.json."""

import json
import subprocess
import sys
import tarfile
import zipfile

import pytest

from autograder.commands.gradescope import gradescope
from autograder.datasets.download import cache_folder
from autograder.gradescope.results import nothing_to_grade, results
from autograder.notebooks.released import declared_points
from autograder.results.result import CellOutcome, Result, TestOutcome
from tests.checkout import ROOT
from tests.this_course import LLM_INTERNALS, TRANSFORMER_FUNDAMENTALS

TF = TRANSFORMER_FUNDAMENTALS
NO_NAMESPACES = """
from autograder.sandbox import bubblewrap
bubblewrap.executable = lambda: None
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The zip for transformer-fundamentals."""
    path = tmp_path_factory.mktemp("gradescope") / "autograder.zip"
    gradescope(TF.name, path, quiet=True)
    return path


@pytest.fixture
def layout(package, tmp_path):
    """/autograder as the platform has it after set-up, with the course from the zip; Python is this one."""
    root = tmp_path / "autograder"
    for folder in ("source", "submission", "results", "venv/bin", "course", "patch"):
        (root / folder).mkdir(parents=True)
    with zipfile.ZipFile(package) as opened:
        opened.extractall(root / "source")
    with tarfile.open(root / "source" / "course.tar") as archive:
        archive.extractall(root / "course", filter="data")
    # containers like the platform's forbid namespaces
    (root / "patch" / "sitecustomize.py").write_text(NO_NAMESPACES)
    places = f"{root / 'patch'}:{root / 'course'}"
    for name, words in (("python", '"$@"'), ("autograder", '-m autograder "$@"')):
        script = root / "venv" / "bin" / name
        script.write_text(f"#!/bin/sh\nPYTHONPATH={places} exec {sys.executable} {words}\n")
        script.chmod(0o755)
    return root


def run(layout):
    """Run the command that the platform runs; the results that it reads."""
    done = subprocess.run(
        ["bash", str(layout / "source" / "run_autograder")],
        env={"AUTOGRADER_ROOT": str(layout), "PATH": "/usr/bin:/bin", "HOME": str(layout)},
        capture_output=True, text=True, timeout=280, cwd=layout,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((layout / "results" / "results.json").read_text())


def check_format(found):
    """What the platform's documentation asks of results.json."""
    assert isinstance(found["score"], int | float) and found.get("output_format", "text") in (
        "text",
        "html",
        "md",
        "ansi",
    )
    for test in found["tests"]:
        assert {"name", "score", "max_score", "output", "status"} <= test.keys()
        assert 0 <= test["score"] <= test["max_score"] and test["status"] in ("passed", "failed")
        assert test["visibility"] in ("hidden", "after_due_date", "after_published", "visible")


def test_the_zip_is_what_the_platform_expects(package):
    """Two executable scripts at the top that bash can read, and the course without submissions, gradebook or caches."""
    with zipfile.ZipFile(package) as opened:
        names = opened.namelist()
        assert names == ["setup.sh", "run_autograder", "course.tar"]
        for name in names[:2]:
            assert opened.getinfo(name).external_attr >> 16 & 0o111
            checked = subprocess.run(["bash", "-n"], input=opened.read(name), capture_output=True)
            assert checked.returncode == 0, checked.stderr
        with opened.open("course.tar") as file, tarfile.open(fileobj=file) as archive:
            inside = archive.getnames()
    assert {"autograder/cli.py", "requirements.lock", ".course-secret"} <= set(inside)
    forbidden = ("submitted", "gradebook.db", "autograded", "feedback/", "results", "solutions", ".venv", ".git/")
    assert not [name for name in inside if name.startswith(forbidden) or "__pycache__" in name]


def test_a_solved_notebook_gets_full_points_in_the_second_tier(layout):
    """The whole way: from the submission folder to results.json, where namespaces are forbidden."""
    from autograder.sandbox import landlock

    if reason := landlock.works():
        pytest.skip(reason)
    solved = ROOT / "solutions" / TF.name / f"{TF.stem}.ipynb"
    (layout / "submission" / "my work (1).ipynb").write_text(solved.read_text())
    (layout / "cache").symlink_to(cache_folder())
    found = run(layout)
    check_format(found)
    assert found["score"] == sum(declared_points(TF).values()), [t for t in found["tests"] if t["status"] != "passed"]
    assert found["extra_data"] == {"tier": "landlock", "status": "graded"}


def test_no_notebook_and_several_are_told(layout):
    """Something that cannot be graded gets a score of 0 and one line."""
    found = run(layout)
    check_format(found)
    assert found["score"] == 0 and "There is no notebook" in found["output"]
    assert "several notebooks (a, b)" in nothing_to_grade(["b", "a"], "x.ipynb")["output"]


def test_a_notebook_that_is_none_is_told(layout):
    """The reason of a refusal stands in the output."""
    (layout / "submission" / "broken.ipynb").write_text("{")
    found = run(layout)
    check_format(found)
    assert found["score"] == 0 and "not JSON" in found["output"] and found["extra_data"]["status"] == "could-not-run"


def test_scores_are_clamped_and_texts_plain():
    """Whatever a result holds, the platform gets points within range and text that it does not render."""
    test = TestOutcome("test_x", "<b>title</b>", "failed", 2.0, 5.0, "<script>alert(1)</script>")
    result = Result(LLM_INTERNALS.name, "x.ipynb", "graded", 9.0, 2.0, 1.0, {"x-tests": CellOutcome(9.0, 2.0, (test,))})
    found = results(result)
    check_format(found)
    assert found["score"] == 2.0 and found["tests"][0]["score"] == 2.0
    assert {found["output_format"], found["tests"][0]["output_format"], found["tests"][0]["name_format"]} == {"text"}
