"""The film sentences: labels, duplicates, and splits that share no sentence."""

import hashlib
from collections import Counter

import pytest

from autograder.datasets.examples import Example
from autograder.datasets.public_files import table
from autograder.faults import DataError
from autograder.graders.data_sets import movie_snippets
from autograder.graders.data_sets.movie_snippets import divide, hidden, normalise, parse, public, without_duplicates

RELEASED = {"train": "5cb715538926e6aa", "validation": "7bd40773e652a614"}  # SHA-256 of the rows
SEEDS = (0, 1, 2**64 - 1, 8675309)


@pytest.fixture(scope="module")
def splits():
    return public()


def keys(examples) -> set[str]:
    return {normalise(e.text) for e in examples}


def test_label_is_the_sign_of_a_rating_that_says_something():
    """Ratings above 0 are positive; ratings nearer to 0 than 0.5 are dropped, those at 0.5 are not."""
    lines = ["1\t0.5\tA", "2\t-0.5\tB", "3\t0.49\tC", "4\t-0.49\tD", "5\t-4\tE", "6\t0\tF", "7\t3.2\tG"]
    assert parse("\r\n".join(lines)) == [("A", 1), ("B", 0), ("E", 0), ("G", 1)]


def test_text_is_one_clean_line():
    """Entities are resolved and white space is collapsed."""
    assert parse("1\t2\t PB&amp;J   sandwich \r\n")[0].text == "PB&J sandwich"


def test_line_of_another_form_is_refused():
    """A file of another shape is one clear error with its line, not a wrong data set."""
    with pytest.raises(DataError, match="line 2"):
        parse("1\t2.0\tFine.\n2\tFine.")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It's great.", "it's GREAT ."),
        ("Good, bad.", "Good , bad ."),
        ("A  b\tc", "a b c"),
        ("...a mess...", "A mess!"),
        ("Écran", "écran"),
    ],
)
def test_same_words_are_the_same_text(one, other):
    """Case, white space and punctuation do not make another sentence."""
    assert normalise(one) == normalise(other)


def test_another_order_or_word_is_another_text():
    """Order counts, and so does every word."""
    assert len(keys([Example("not good", 0), Example("good not", 0), Example("good", 0)])) == 3


def test_duplicates_count_once_and_conflicts_not_at_all():
    """Of equal texts the first stays; where their labels differ none does."""
    examples = [Example("A b.", 1), Example("a B", 1), Example("C!", 1), Example("c", 0), Example("d", 0)]
    assert without_duplicates(examples) == [Example("A b.", 1), Example("d", 0)]


def test_no_sentence_stands_in_two_parts(splits):
    """Train, validation and reserve are disjoint by normalised text, and no text is repeated within one."""
    parts = movie_snippets.parts()
    assert parts[:2] == splits
    assert sum(map(len, parts)) == len(set().union(*map(keys, parts))) == 10070


def test_parts_have_the_sizes_they_should(splits):
    """60 % train, 15 % validation, 25 % reserve, within the chance of a hash."""
    sizes = [len(part) for part in movie_snippets.parts()]
    assert [size / sum(sizes) for size in sizes] == pytest.approx([0.60, 0.15, 0.25], abs=0.015)


def test_place_of_a_sentence_does_not_depend_on_the_others():
    """With half of the sentences taken away, every other one stays in its part."""
    everything = [e for part in movie_snippets.parts() for e in part]
    some = set(everything[::2])
    for whole, half in zip(divide(everything), divide(everything[::2]), strict=True):
        assert half == tuple(e for e in whole if e in some)


@pytest.mark.parametrize("seed", SEEDS)
def test_hidden_shares_no_sentence_with_what_is_public(splits, seed):
    """Whatever the secret, the hidden set comes from the reserve only."""
    found = keys(hidden(seed))
    assert found <= keys(movie_snippets.parts()[2])
    assert not found & keys(splits.train + splits.validation)
    assert len(found) == len(hidden(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_hidden_is_balanced_and_about_half_of_the_reserve(seed):
    """A constant answer is right exactly half the time, and enough sentences stay for a fine measure."""
    labels = Counter(e.label for e in hidden(seed))
    assert labels[0] == labels[1]
    assert 0.42 < sum(labels.values()) / len(movie_snippets.parts()[2]) < 0.54


def test_hidden_labels_are_mixed_and_balanced_from_any_reserve(monkeypatch):
    """Also where one label is three times as frequent, the order tells nothing: any hundred in a row has both."""
    reserve = tuple(Example(f"sentence {i}", int(i % 4 > 0)) for i in range(2000))
    monkeypatch.setattr(movie_snippets, "parts", lambda: ((), (), reserve))
    labels = [e.label for e in hidden(1)]
    assert len(labels) > 400 and sum(labels) * 2 == len(labels)
    assert all(20 <= sum(labels[i : i + 100]) <= 80 for i in range(len(labels) - 99))


def test_secret_decides_what_is_hidden_and_nothing_else(splits):
    """Two secrets pick different halves, independently; the same one picks the same; public() has no secret."""
    first, second = keys(hidden(1)), keys(hidden(2))
    assert hidden(1) == hidden(1)
    assert 0.40 < len(first & second) / len(first) < 0.60
    assert public() == splits


def test_public_rows_are_the_ones_that_were_released(splits):
    """The rows never change unnoticed, and they are read as the UTF-8 that they are."""
    tables = {part: table(movie_snippets.DATA_SET, rows) for part, rows in splits._asdict().items()}
    released = {part: hashlib.sha256(text.encode()).hexdigest()[:16] for part, text in tables.items()}
    assert released == RELEASED
    assert any("é" in e.text for e in splits.train)
    assert not any("Ã" in e.text or "&amp;" in e.text for part in splits for e in part)
