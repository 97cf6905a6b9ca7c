"""Versions that give nothing earn nothing: no words, no values, no draws."""

import pytest

from autograder.bank.versions import wrong_versions
from autograder.testing.in_process import without_accelerator
from autograder.verify.trial import find, plain
from tests.this_course import LLM_INTERNALS, TRANSFORMER_FUNDAMENTALS

EMPTY = {
    "simple-tokenizer-does-nothing": ("test_tokenize", "test_tokenize_length", "test_decode"),
    "simple-tokenizer-one-id": ("test_tokenize", "test_tokenize_length", "test_decode"),
    "transformer-embeddings-dropout-without-values": ("test_embeddings_dropout",),
    "transformer-embeddings-training-without-shape": ("test_embeddings_dropout",),
    "mini-transformer-training-without-values": ("test_model_learns_as_a_whole",),
    "sampling-forgets-the-draws": ("test_draws_by_probability", "test_order_of_filters"),
}
# a mistake below them: tokenizing and decoding that go by the student's own words and ids keep their points
BELOW = {
    "simple-tokenizer-no-lowercase": ("test_tokenize", "test_tokenize_length", "test_decode"),
    "simple-tokenizer-mark-comma": ("test_tokenize", "test_tokenize_length", "test_decode"),
    "simple-tokenizer-ids-alphabetical": ("test_tokenize", "test_tokenize_length", "test_decode"),
}


def earned(version_id):
    """Points by test of a wrong version's own component."""
    assignment, wrong = next(
        (a, v) for a in (TRANSFORMER_FUNDAMENTALS, LLM_INTERNALS) for v in wrong_versions(a) if v.id == version_id
    )
    with without_accelerator():
        return {t.name: t.earned for t in plain(find(assignment, {wrong.cell: wrong.source}, [wrong.cell]))}


@pytest.mark.parametrize("version_id", EMPTY)
def test_nothing_earns_nothing(version_id):
    """Empty texts and vocabularies, NaN, other shapes and lost draws do not pass for right values."""
    points = earned(version_id)
    assert [points[name] for name in EMPTY[version_id]] == [0.0] * len(EMPTY[version_id])


def test_a_tokenizer_that_does_nothing_earns_nothing():
    """No test of the component passes for it."""
    assert sum(earned("simple-tokenizer-does-nothing").values()) == 0


@pytest.mark.parametrize("version_id", BELOW)
def test_a_mistake_below_costs_once(version_id):
    """Another cleaning or another order of the vocabulary costs its own tests only."""
    points = earned(version_id)
    assert all(points[name] == 1 for name in BELOW[version_id])
