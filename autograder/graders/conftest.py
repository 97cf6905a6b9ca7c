"""Makes `pytest autograder/graders/ASSIGNMENT --submission FILE.ipynb` work."""

from autograder.grading.plugin import (  # noqa: F401
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
