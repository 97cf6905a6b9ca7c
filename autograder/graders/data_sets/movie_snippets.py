"""Sentences from film reviews with human ratings (Hutto and Gilbert 2014), as positive and negative examples.

The pool is divided by an unsalted hash of the text: train, validation, and a reserve that nobody is given. The hidden
test set is the half of the reserve that the course secret picks.
"""

import hashlib
import html
import re
from fractions import Fraction
from functools import cache
from pathlib import Path

from autograder.datasets.data_set import DataSet
from autograder.datasets.download import fetch
from autograder.datasets.examples import Example, Splits
from autograder.datasets.sources import source
from autograder.faults import DataError

NAME = "movie_snippets"
FILE = "movieReviewSnippets_GroundTruth.txt"
NEUTRAL = 0.5  # a mean rating nearer to 0 says too little to be a label
TRAIN = Fraction(60, 100)
VALIDATION = Fraction(15, 100)
README = """\
## movie_snippets

Sentences from film reviews, each with the mean of human ratings turned into a label: 1 above 0, 0 below. Ratings
between -0.5 and 0.5 are left out, and so are repeated sentences.

- Source: `{file}` in the source distribution of `{package}` {version}.
- Origin: {origin}
- Licence: {licence}; see `movie_snippets/LICENSE.txt`.
- Citation: {citation}
- Held back: about a quarter of the sentences. The hidden tests measure on some of them, which no model has been trained
  on. The source is public, so they can be looked up; that would tell you nothing about your model.
"""


def public() -> Splits:
    """What students are given; the same in every checkout."""
    train, validation, _ = parts()
    return Splits(train, validation)


def hidden(secret_seed: int) -> tuple[Example, ...]:
    """The test set of this seed: about half of the reserve, equally many of both labels, in an order of its own."""

    def rank(example: Example, purpose: str) -> Fraction:
        return position(f"{secret_seed} {purpose}\n{normalise(example.text)}")

    _, _, reserve = parts()
    chosen = sorted((e for e in reserve if rank(e, "pick") < Fraction(1, 2)), key=lambda e: rank(e, "pick"))
    negative, positive = ([e for e in chosen if e.label == label] for label in (0, 1))
    count = min(len(negative), len(positive))
    # In the order of picking, the end would be of one label: the surplus of the other has gone from there.
    return tuple(sorted(negative[:count] + positive[:count], key=lambda e: rank(e, "order")))


def licence() -> bytes:
    """The licence text that copies of the sentences must carry."""
    return (fetch(NAME) / "LICENSE.txt").read_bytes().replace(b"\r\n", b"\n")


def parse(content: str) -> list[Example]:
    """Examples from lines `number<TAB>mean rating<TAB>text`; near-neutral ones are left out.

    >>> parse("1\\t2.3\\tA  gem &amp; a joy.\\n2\\t0.1\\tIt is a film.\\n3\\t-1.5\\tDull.")
    [Example(text='A gem & a joy.', label=1), Example(text='Dull.', label=0)]
    """
    examples = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            _, rating, text = line.split("\t")
            value = float(rating)
        except ValueError as error:
            raise DataError(f"{NAME}: line {number} of {FILE} is not number, rating and text") from error
        if abs(value) >= NEUTRAL:
            examples.append(Example(" ".join(html.unescape(text).split()), int(value > 0)))
    return examples


def normalise(text: str) -> str:
    """What decides whether two texts are the same: the words, without case, punctuation and spacing.

    >>> normalise("It 's  GREAT , really!") == normalise("it's great, really")
    True
    """
    return " ".join(re.findall(r"\w+", text.lower()))


def without_duplicates(examples: list[Example]) -> list[Example]:
    """The first of each set of equal texts; none of them where their labels differ."""
    first: dict[str, Example] = {}
    labels: dict[str, set[int]] = {}
    for example in examples:
        key = normalise(example.text)
        first.setdefault(key, example)
        labels.setdefault(key, set()).add(example.label)
    return [example for key, example in first.items() if len(labels[key]) == 1]


def position(text: str) -> Fraction:
    """Where SHA-256 puts this text between 0 and 1: an order, and a split, that no change to other texts disturbs."""
    return Fraction(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"), 2**64)


def divide(examples: list[Example]) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]:
    """Train, validation and reserve, each in the order of `position`."""
    placed = sorted((position(normalise(e.text)), e) for e in without_duplicates(examples))
    train = tuple(e for p, e in placed if p < TRAIN)
    validation = tuple(e for p, e in placed if TRAIN <= p < TRAIN + VALIDATION)
    return train, validation, tuple(e for p, e in placed if p >= TRAIN + VALIDATION)


def parts() -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]:
    """Train, validation and reserve of the downloaded file."""
    return read(fetch(NAME) / FILE)


@cache
def read(path: Path) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]:
    return divide(parse(path.read_text(encoding="utf-8")))


def readme() -> str:
    entry = source(NAME)
    return README.format(
        file=FILE,
        origin=entry.origin,
        package=entry.package,
        version=entry.version,
        licence=entry.licence,
        citation=entry.citation,
    )


def withheld() -> tuple[str, ...]:
    """The reserve, of which any secret makes its hidden test set."""
    return tuple(example.text for example in parts()[2])


DATA_SET = DataSet(
    NAME,
    public=lambda: public(),
    hidden=lambda seed: hidden(seed),
    readme=readme,
    withheld=withheld,
    files=lambda: {"LICENSE.txt": licence()},
    downloads=(NAME,),
)
