"""Fixtures that several tests share."""

import os

import pytest

from autograder.sandbox.tiers import NoSandbox, choose
from tests.this_course import COURSE

collect_ignore = ["third_assignment"]  # a folder that a test copies into a course
os.environ["OMP_NUM_THREADS"] = "1"

# `make check` leaves out what takes long or needs a sandbox, a model, a browser or programs of its own: what uses these
# fixtures, and all of these modules. What is new is part of the check.
SLOW_FIXTURES = {"tier", "toy_course"}
SLOW_MODULES = {
    "test_any_order", "test_attacks_exhausting", "test_attacks_forging", "test_attacks_leaving",
    "test_attacks_reading", "test_authors_page", "test_bench", "test_broken_files", "test_check_release",
    "test_cli", "test_cluster", "test_colab", "test_data_movie_snippets", "test_data_pip", "test_demo",
    "test_diagnosis", "test_docs", "test_explain", "test_fuzz_notebooks", "test_graders", "test_gradescope",
    "test_instructors", "test_interrupt", "test_landlock", "test_models", "test_nbgrader_autograde",
    "test_nbgrader_formgrader", "test_nothing_lost", "test_other_model", "test_processes", "test_publish",
    "test_readme", "test_release", "test_session", "test_simgpu", "test_sketch_large", "test_solution",
    "test_students_page", "test_verify", "test_warm",
}  # fmt: skip


@pytest.fixture(scope="session")
def tier() -> str:
    """The sandbox of this machine; tests of confinement are skipped, with the reason, where there is none."""
    try:
        return choose("auto", COURSE.root)
    except NoSandbox as reason:
        pytest.skip(str(reason))


def pytest_configure(config: pytest.Config) -> None:
    """Hidden tests, which some tests import, carry the marker `points`; their own plugin is not active here."""
    config.addinivalue_line("markers", "slow: not part of `make check`; see SLOW_FIXTURES and SLOW_MODULES")
    config.addinivalue_line("markers", "points(points, cell, role=None, slow=False, chance=False): a hidden test")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if fixtures or item.path.stem in SLOW_MODULES or item.path.parent.name == "browser":
            item.add_marker(pytest.mark.slow)
