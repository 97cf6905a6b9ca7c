"""top_tokens: order, text and number of the most probable tokens."""

import pytest
import torch

from autograder.graders.llm_internals.logits import distinct
from autograder.graders.llm_internals.tiny_tokenizers import TEXTS, byte_level, word_piece
from autograder.testing import expect

CELL = "top-tokens"
NAME = "top_tokens"


@pytest.mark.points(0.2, cell=CELL, role="value")
def test_top_tokens(student, draw):
    """The k most probable tokens as text, with their probabilities, the most probable first"""
    for train in (byte_level, word_piece):
        made = train(TEXTS)
        handle, size = made.in_worker(student), len(made.tokenizer)
        probabilities = torch.softmax(distinct(draw, size, 0.2), dim=-1)  # no ties, in any order of summing
        values, ids = probabilities.sort(descending=True)
        expected = [(made.tokenizer.decode([i]), p) for i, p in zip(ids.tolist(), values.tolist(), strict=True)]
        for options in ({}, {"k": 1}, {"k": 3}, {"k": 25}, {"k": size}, {"k": size + 7}, {"k": 10 * size}):
            check(student.call(NAME, probabilities, handle, **options), expected[: options.get("k", 10)], **options)
        few = torch.where(probabilities >= values[3], probabilities, torch.zeros(()))
        few = few / few.sum()
        found = student.call(NAME, few, handle, k=9)
        check(
            found[:4] if isinstance(found, list) else found, [(t, float(few[i])) for t, i in top(expected, ids, 4)], k=4
        )
        check_rest(found)


def top(expected, ids, count):
    """Text and id of the `count` most probable tokens."""
    return [(text, i) for (text, _), i in zip(expected[:count], ids.tolist(), strict=False)]


def check_rest(found):
    """Of nine tokens four are possible: the others belong to the list, too."""
    expect.that(
        len(found) == 9 and all(isinstance(e, tuple | list) and len(e) == 2 and e[1] == 0 for e in found[4:]),
        "Where fewer than k tokens have a probability above 0, top_tokens does not return k tokens.",
        "A token of probability 0 comes last; it is not left out.",
        f"With k = 9 there are {len(found)}.",
    )


def check(found, expected, k=10):
    expect.that(isinstance(found, list), "top_tokens does not return a list.", "", f"It is {expect.described(found)}.")
    expect.that(
        len(found) == len(expected),
        "top_tokens does not return k tokens.",
        "Without an argument k is 10; where k is larger than the vocabulary, all tokens are returned.",
        f"With k = {k} there are {len(found)}.",
    )
    for entry, (text, probability) in zip(found, expected, strict=True):
        pair = expect.parts(entry, 2, "a list of pairs (text, probability)")
        expect.that(
            isinstance(pair[1], float),
            "The probability in a pair is not a float.",
            "A number taken out of a tensor is a tensor until it is converted.",
            f"It is {expect.described(pair[1])}.",
        )
        expect.close(
            pair[1],
            probability,
            "The probabilities are not those of the most probable tokens in falling order.",
            "Sort by probability, largest first, and give the probabilities as they are.",
            atol=1e-7,
        )
        expect.equal(
            pair[0],
            text,
            "The text of a token is wrong.",
            "It is what tokenizer.decode gives for a list with that one id: readable text, not the vocabulary's piece.",
        )
