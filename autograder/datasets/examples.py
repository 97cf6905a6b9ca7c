"""Records that data sets share."""

from typing import Any, NamedTuple


class Example(NamedTuple):
    """One text with its label: 1 positive, 0 negative."""

    text: str
    label: int


class Splits(NamedTuple):
    """The two parts of a data set that students are given."""

    train: tuple[Any, ...]
    validation: tuple[Any, ...]
