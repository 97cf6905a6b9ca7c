"""`autograder prepare`: the data sets and models of the assignments."""

from autograder.course.course import Course
from autograder.datasets.prepare import prepare as prepare_data


def prepare(course: Course, assignment: str | None, quiet: bool) -> None:
    """Prepare one assignment's data, or those of all. Raises DataError."""
    prepare_data(course.chosen(assignment), quiet)
