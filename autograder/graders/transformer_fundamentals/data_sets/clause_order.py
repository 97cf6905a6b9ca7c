"""Texts whose label only the order of their clauses tells.

A text is two to four clauses "the NOUN was ADJECTIVE ." and a closing "the end ."; its label is the polarity of the
last clause. Texts come in pairs: the partner has the last clause exchanged with an earlier one of the other polarity.
Every clause begins with "the", ends with "." and is followed by "the", so partners have opposite labels, but the same
words and the same pairs of neighbouring words, whether or not a full stop or the border of the text counts as a word.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import TypeVar

from autograder.datasets.data_set import DataSet
from autograder.datasets.examples import Example, Splits

# Words enough for tens of thousands of texts already with two clauses, and few enough to be learnt in a few epochs.
# fmt: off
NOUNS = (
    "plot", "cast", "music", "dialogue", "script", "opening", "finale", "hero", "villain", "scenery", "editing",
    "humour", "romance", "lighting", "pacing", "acting", "camera", "story", "chase", "song",
)
POSITIVE = (
    "brilliant", "charming", "clever", "delightful", "fresh", "funny", "gripping", "lovely", "moving", "superb",
    "thrilling", "witty",
)
NEGATIVE = (
    "awful", "bland", "boring", "clumsy", "dreary", "dull", "feeble", "flat", "messy", "shallow", "silly", "tedious",
)
# fmt: on
CLOSING = "the end ."
LIKE_HIDDEN = re.compile(r"(?:the \w+ was \w+ \. ){2,}the end \.")
PUBLIC_SEED = 20170612
TRAIN = 3200
VALIDATION = 400
README = """\
## clause_order

Made for this course by a generator. A text is a row of short clauses, and its label is the polarity of the last one.
Texts come in pairs, one after the other: same words, same pairs of neighbouring words, opposite labels. A model that
cannot see the order of the clauses is right exactly half the time.

- Source and licence: part of this course, under its licence; nothing is downloaded.
- Held back: the texts that the hidden tests measure on. They are made from a secret number, and none of them is a text
  of these files or the same words in another order.
"""

Clause = tuple[str, str, int]  # noun, adjective, polarity
Bag = tuple[str, ...]
T = TypeVar("T")


@cache
def public() -> Splits:
    """What students are given; the same in every checkout. Partners stand next to each other."""
    texts = examples(PUBLIC_SEED, TRAIN + VALIDATION, avoid=frozenset())
    return Splits(texts[:TRAIN], texts[TRAIN:])


def hidden(seed: int, count: int = 1000) -> tuple[Example, ...]:
    """The test set of this seed, `count` texts in pairs; no bag of words of theirs occurs in the public texts."""
    return examples(seed, count, avoid=frozenset(bag(e.text) for split in public() for e in split))


def examples(seed: int, count: int, avoid: frozenset[Bag]) -> tuple[Example, ...]:
    """`count` texts (an even number) in pairs, no two pairs with the same bag of words and none with one in `avoid`."""
    if count % 2:
        raise ValueError(f"texts come in pairs, {count} is odd")
    found: list[Example] = []
    used = set(avoid)
    for pair in pairs(Random(seed)):
        if len(found) >= count:
            break
        if (words := bag(pair[0].text)) not in used:
            used.add(words)
            found += pair
    return tuple(found)


def bag(text: str) -> Bag:
    """The words of a text without their order: equal for partners, and what no two splits share."""
    return tuple(sorted(text.split()))


def pairs(random: Random) -> Iterator[tuple[Example, Example]]:
    """Partners without end, in random order within the pair."""
    while True:
        clauses = draw_clauses(random)
        last = clauses[-1]
        others = [i for i, clause in enumerate(clauses) if clause[2] != last[2]]
        if others:
            i = pick(random, others)
            partner = clauses.copy()
            partner[i], partner[-1] = last, clauses[i]
            yield example(clauses), example(partner)


def draw_clauses(random: Random) -> list[Clause]:
    """Two to four clauses of random polarity, no noun and no adjective twice."""
    nouns, adjectives = list(NOUNS), (list(NEGATIVE), list(POSITIVE))
    clauses = []
    for _ in range(pick(random, (2, 3, 4))):
        polarity = pick(random, (0, 1))
        noun, adjective = pick(random, nouns), pick(random, adjectives[polarity])
        nouns.remove(noun)
        adjectives[polarity].remove(adjective)
        clauses.append((noun, adjective, polarity))
    return clauses


def example(clauses: list[Clause]) -> Example:
    text = " ".join(f"the {noun} was {adjective} ." for noun, adjective, _ in clauses)
    return Example(f"{text} {CLOSING}", clauses[-1][2])


def pick(random: Random, items: Sequence[T]) -> T:
    """One of `items`. Every version of Python promises the same `random()` from a seed, but not the same `choice()`."""
    return items[int(random.random() * len(items))]


def hidden_in(text: str) -> Iterator[str]:
    """Texts like those of this data set that are not public: any secret may hide them."""
    for one in dict.fromkeys(LIKE_HIDDEN.findall(" ".join(text.split()))):
        if one not in _public_texts():
            yield one


@cache
def _public_texts() -> frozenset[str]:
    return frozenset(example.text for split in public() for example in split)


DATA_SET = DataSet("clause_order", public=public, hidden=hidden, readme=lambda: README, hidden_in=hidden_in)
