"""Faults that a command reports as one line."""

from autograder.faults import Fault


class CommandError(Fault):
    """Wrong usage, or something that the command needs is missing."""


KNOWN = (Fault, FileNotFoundError)
