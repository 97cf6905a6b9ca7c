"""`autograder prepare`: the data sets and models of the assignments."""

from autograder.commands.options import AssignmentOrAll, Quiet
from autograder.course.course import this_course


def prepare(assignment: AssignmentOrAll = None, quiet: Quiet = False) -> None:
    """Fetch the data sets and models that the assignments need; what is there and intact is kept."""
    from autograder.datasets.prepare import prepare as prepare_data

    prepare_data(this_course().chosen(assignment), quiet)
