"""Faults that a command tells in one line, with exit code 2; any other exception is a bug of ours.

This module imports nothing, so that a command need not import what could fail before it can tell of it.
"""


class Fault(Exception):
    """Not the student's doing: wrong usage, or something that is missing or broken. Its text is the line."""


class CannotStart(Fault):
    """A sandboxed worker did not come up."""


class GraderFault(Fault):
    """The graders themselves could not run."""


class DataError(Fault):
    """Data could not be prepared: what happened, where, and what to do."""
