"""Fixtures that several tests share."""

import os

import pytest

from autograder.sandbox.tiers import NoSandbox, choose
from tests.this_course import COURSE

collect_ignore = ["third_assignment"]  # a folder that a test copies into a course
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def tier() -> str:
    """The sandbox of this machine; tests of confinement are skipped, with the reason, where there is none."""
    try:
        return choose("auto", COURSE.root)
    except NoSandbox as reason:
        pytest.skip(str(reason))


def pytest_configure(config: pytest.Config) -> None:
    """Hidden tests, which some tests import, carry this marker; their own plugin is not active here."""
    config.addinivalue_line("markers", "points(points, cell, role=None, slow=False, chance=False): a hidden test")
