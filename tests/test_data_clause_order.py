"""clause_order: no bag of words and no bag of bigrams tells the label; order does."""

import hashlib
import re
from collections import Counter, defaultdict
from random import Random

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from autograder.datasets.public_files import table
from autograder.graders.transformer_fundamentals.data_sets import clause_order
from autograder.graders.transformer_fundamentals.data_sets.clause_order import bag, examples, hidden, public

SPLITS = {
    "train": public().train,
    "validation": public().validation,
    "hidden 1": hidden(1),
    "hidden 2": hidden(2**64 - 1, 400),
}
RELEASED = {"train": "60eac1d922966cdd", "validation": "c772db9f4a6fa4d4"}  # SHA-256 of the rows
SAME_SEED = hidden(clause_order.PUBLIC_SEED, 400)


def with_full_stops(text: str) -> list[str]:
    return text.split()


def without_full_stops(text: str) -> list[str]:
    return [word for word in text.split() if word != "."]


def with_cls(text: str) -> list[str]:
    return ["<CLS>", *text.split()]


def with_borders(text: str) -> list[str]:
    return ["<s>", *text.split(), "</s>"]


def with_borders_without_full_stops(text: str) -> list[str]:
    return ["<s>", *without_full_stops(text), "</s>"]


def ngrams(words: list[str], n: int) -> tuple:
    return tuple(sorted(zip(*(words[i:] for i in range(n)), strict=False)))


READERS = (with_full_stops, without_full_stops, with_cls, with_borders, with_borders_without_full_stops)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("n", [1, 2])
def test_every_bag_carries_both_labels_equally_often(split, read, n):
    """Whatever a reader takes for words, each bag of words and of bigrams occurs once with either label or more often."""
    labels = defaultdict(Counter)
    for text, label in SPLITS[split]:
        labels[ngrams(read(text), n)][label] += 1
    assert all(count[0] == count[1] for count in labels.values())


@pytest.mark.parametrize("split", SPLITS)
def test_partners_stand_together(split):
    """Rows 2i and 2i + 1 are partners: the same bags, opposite labels, two clauses exchanged. So no split divides a pair."""
    rows = SPLITS[split]
    for one, other in zip(rows[::2], rows[1::2], strict=True):
        clauses, exchanged = one.text.split(" . "), other.text.split(" . ")
        assert {one.label, other.label} == {0, 1}
        assert sorted(clauses) == sorted(exchanged)
        assert sum(a != b for a, b in zip(clauses, exchanged, strict=True)) == 2


@pytest.mark.parametrize("split", SPLITS)
def test_label_is_the_polarity_of_the_last_clause(split):
    """Two to four clauses of the stated form, each number often, no noun twice, and the last one decides."""
    lengths = Counter(text.count(" was ") for text, _ in SPLITS[split])
    assert set(lengths) == {2, 3, 4} and min(lengths.values()) > len(SPLITS[split]) / 6
    for text, label in SPLITS[split]:
        assert re.fullmatch(r"(the [a-z]+ was [a-z]+ \. ){2,4}the end \.", text)
        nouns, adjectives = re.findall(r"the (\w+) was", text), re.findall(r"was (\w+)", text)
        assert len(set(nouns)) == len(nouns) and set(nouns) <= set(clause_order.NOUNS)
        assert adjectives[-1] in (clause_order.POSITIVE if label else clause_order.NEGATIVE)


def test_no_bag_stands_in_two_splits():
    """Train, validation and hidden sets share no text and no bag of words, also if the secret is the public seed."""
    bags = {name: {bag(text) for text, _ in rows} for name, rows in SPLITS.items()}
    assert not bags["train"] & bags["validation"]
    public_bags = bags["train"] | bags["validation"]
    for other in (bags["hidden 1"], bags["hidden 2"], {bag(text) for text, _ in SAME_SEED}):
        assert not public_bags & other
    assert len(SAME_SEED) == 400


@pytest.mark.parametrize("split", SPLITS)
def test_no_text_is_repeated(split):
    """All texts of a split are different, whatever their case and punctuation."""
    texts = [" ".join(without_full_stops(text)) for text, _ in SPLITS[split]]
    assert len(set(texts)) == len(texts)


def test_sizes_and_balance():
    """3,200 and 400 public texts, as many hidden ones as asked for, both labels equally often, odd counts refused."""
    assert {name: len(rows) for name, rows in SPLITS.items()} == {
        "train": 3200,
        "validation": 400,
        "hidden 1": 1000,
        "hidden 2": 400,
    }
    assert all(sum(e.label for e in rows) * 2 == len(rows) for rows in SPLITS.values())
    with pytest.raises(ValueError, match="pairs"):
        hidden(1, 7)


def test_label_does_not_follow_from_the_order_within_a_pair():
    """The positive text is first in about half of the pairs."""
    assert 0.45 < sum(e.label for e in SPLITS["train"][::2]) / 1600 < 0.55


def test_there_are_tens_of_thousands_of_texts():
    """Twenty thousand different texts are found without effort, so that the hidden ones cannot be listed in advance."""
    assert len({text for text, _ in examples(3, 20_000, frozenset())}) == 20_000


def test_same_seed_same_texts_another_seed_other_texts():
    """Sets follow from their seed alone; two secrets share next to nothing."""
    clause_order.public.cache_clear()
    assert public() == (SPLITS["train"], SPLITS["validation"])
    assert hidden(1) == SPLITS["hidden 1"]
    assert len({e.text for e in hidden(1)} & {e.text for e in hidden(2)}) < 100


def test_public_rows_are_the_ones_that_were_released():
    """The public texts never change unnoticed, nor with the version of Python."""
    rows = {name: table(clause_order.DATA_SET, SPLITS[name]) for name in ("train", "validation")}
    released = {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in rows.items()}
    assert released == RELEASED


def test_pick_is_uniform_over_all_items():
    """Every item can be drawn, each about equally often."""
    random = Random(0)
    counts = Counter(clause_order.pick(random, "abcd") for _ in range(4000))
    assert set(counts) == set("abcd") and min(counts.values()) > 850


@pytest.mark.parametrize("evaluation", ["validation", "hidden 1"])
@pytest.mark.parametrize("pattern", [r"\S+", r"(?u)\b\w\w+\b"], ids=["full stops are words", "scikit-learn's default"])
@pytest.mark.parametrize("n", [1, 2])
def test_tf_idf_baseline_is_at_exactly_half(evaluation, pattern, n):
    """Logistic regression on TF-IDF of words, and of words and bigrams, is right on exactly half of unseen texts."""
    assert tf_idf_accuracy(evaluation, pattern, n) == 0.5


def test_sight_of_the_last_clause_tells_the_label():
    """The set can be learnt by whoever sees order: four words in a row (ADJECTIVE . the end) suffice."""
    assert tf_idf_accuracy("validation", r"\S+", 4) > 0.99


def tf_idf_accuracy(evaluation: str, pattern: str, n: int) -> float:
    vectorizer = TfidfVectorizer(token_pattern=pattern, ngram_range=(1, n))
    texts, labels = zip(*SPLITS["train"], strict=True)
    model = LogisticRegression(max_iter=1000).fit(vectorizer.fit_transform(texts), labels)
    unseen, expected = zip(*SPLITS[evaluation], strict=True)
    return model.score(vectorizer.transform(unseen), expected)
