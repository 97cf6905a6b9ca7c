"""Rows of made-up words, whose label says whether there are more than five of them."""

import re
from collections.abc import Iterator
from random import Random

from autograder.datasets.data_set import DataSet
from autograder.datasets.examples import Example, Splits

WORDS = ("zum", "zol", "zab", "zef")
LIKE_HIDDEN = re.compile(r"\bhid(?: z[a-z]{2}){3,}")


def rows(seed: int, count: int, first: str) -> tuple[Example, ...]:
    """`count` rows that begin with the word `first`."""
    random = Random(seed)
    drawn = [[WORDS[int(random.random() * 4)] for _ in range(3 + int(random.random() * 5))] for _ in range(count)]
    return tuple(Example(" ".join([first, *words]), int(len(words) > 5)) for words in drawn)


def public() -> Splits:
    return Splits(rows(1, 20, "pub"), rows(2, 5, "pub"))


def hidden(seed: int) -> tuple[Example, ...]:
    return rows(seed, 20, "hid")


def hidden_in(text: str) -> Iterator[str]:
    yield from LIKE_HIDDEN.findall(text)


DATA_SET = DataSet(
    "word_rows", public=public, hidden=hidden, readme=lambda: "## word_rows\n\nMade-up words.\n", hidden_in=hidden_in
)
