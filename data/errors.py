"""The one error that this package raises on purpose."""


class DataError(Exception):
    """Data could not be prepared; the message is one line: what happened, where, and what to do."""
