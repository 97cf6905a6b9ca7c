"""nbgrader's own server on a graded course: the pages that a marker uses."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from autograder.nbgrader_plugin.autograde import autograde_class
from tests.nbgrader_course import RIGHT, TINY_NAME, TINY_STEM, Course, fake_grade_all, scratch_course  # noqa: F401

PICTURE = "<img src=https://evil.example/pixel.png>"


@pytest.fixture
def server(course: Course) -> Iterator[str]:
    """The address of a Jupyter server in the root of a course with one graded submission."""
    course.submit("ada", {"double": RIGHT["double"], "q1-why": f"Because **so**. {PICTURE}"})
    autograde_class(course.tiny, fake_grade_all)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--IdentityProvider.token=", "--ServerApp.password=",
    ]  # fmt: skip
    homes = ("HOME", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    environment = os.environ | {name: str(course.root / ".jupyter") for name in homes}
    with (course.root / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=course.root, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                get(f"{address}/api/status")
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read().decode()


def test_the_formgrader_lists_and_shows_a_graded_submission(server):
    """The list with its marks; the submission with test results, and nothing of the student's that is fetched."""
    assert "Manual Grading" in get(f"{server}/formgrader/gradebook")
    (listed,) = json.loads(get(f"{server}/formgrader/api/submitted_notebooks/{TINY_NAME}/{TINY_STEM}"))
    assert (listed["student"], listed["score"], listed["max_score"]) == ("ada", 3.0, 5.3)
    assert listed["needs_manual_grade"] and listed["failed_tests"]
    page = get(f"{server}/formgrader/submissions/{listed['id']}/")
    assert "The value of triple is right" in page and "Likely cause: the factor" in page
    assert "<strong>so</strong>" in page and "evil.example" not in page
