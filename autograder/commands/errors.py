"""Faults that a command reports as one line."""

from autograder.assignments import ASSIGNMENTS, Assignment
from autograder.faults import Fault
from data.errors import DataError


class CommandError(Fault):
    """Wrong usage, or something that the command needs is missing."""


KNOWN = (Fault, DataError, FileNotFoundError)


def assignment_named(name: str) -> Assignment:
    if name not in ASSIGNMENTS:
        raise CommandError(f"there is no assignment '{name}'; there are: {', '.join(ASSIGNMENTS)}")
    return ASSIGNMENTS[name]
