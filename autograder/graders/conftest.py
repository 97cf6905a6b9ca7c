"""Makes `pytest autograder/graders/ASSIGNMENT --submission FILE.ipynb` work."""

import pytest

from autograder.grading.prepare_submission import pass_over
from autograder.testing.findings import Pass
from autograder.testing.plugin import (  # noqa: F401
    assignment_of,
    draw,
    grading_pass,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_call,
    pytest_runtest_setup,
    reference,
    student,
)


@pytest.fixture
def pass_over_file(request: pytest.FixtureRequest) -> Pass:
    """A pass over the notebook that the command line names, for who runs hidden tests by hand."""
    path = request.config.getoption("--submission")
    if path is None:
        pytest.exit("name the notebook: --submission FILE.ipynb", returncode=2)
    options = (request.config.getoption(name) for name in ("--sandbox", "--execute"))
    return pass_over(path, assignment_of(request.path), *options)
