"""next_token_probabilities: the last position's distribution, temperature, and no gradients."""

import pytest
import torch

from autograder.graders.llm_internals import seconds
from autograder.graders.llm_internals.logits import lead
from autograder.graders.llm_internals.real_model import real_model
from autograder.graders.llm_internals.tiny_models import CAUSAL, MARGIN, Tiny, draw_tiny
from autograder.testing import expect

CELL = "next-token"
NAME = "next_token_probabilities"


def cases(draw, student, lengths=(1, 5, 9)):
    """Model handle, prompt (1, T) and its next logits (V,), with a clear arg max, for small models of two types.

    The model's padding token, which is its end token, stands inside the longer prompts: it counts there like any other.
    """
    for kind in CAUSAL:
        special = draw.integer(0, 20)
        tiny = draw_tiny(draw, kind, pad_token_id=special, eos_token_id=special)
        handle = tiny.in_worker(student)
        for length in lengths:
            while lead(tiny.logits(ids := prompt(draw, tiny, length, special))) < MARGIN:
                pass
            yield handle, ids, tiny.logits(ids)


def prompt(draw, tiny, length, special):
    ids = draw.integers(0, tiny.vocabulary, (1, length))
    if length > 1:
        ids[0, draw.integer(0, length - 1)] = special
    return ids


def check(found, logits, temperature, symptom, cause, atol=1e-4):
    expect.tensor(found, tuple(logits.shape), what="the distribution")
    expect.close(found, torch.softmax(logits / temperature, dim=-1), symptom, cause, atol=atol, rtol=1e-3)
    expect.close(float(found.double().sum()), 1.0, "The probabilities do not sum to 1.", "Over which axis do they?")


@pytest.mark.points(0.1, cell=CELL, role="value")
def test_next_token_distribution(student, draw):
    """The distribution of the token after the last one"""
    symptom, cause = (
        "The probabilities of the next token are wrong.",
        "The model gives logits for every position: take those of the last one, and normalise over the vocabulary.",
    )
    for model, ids, logits in cases(draw, student):
        check(student.call(NAME, model, ids), logits, 1.0, symptom, cause)
    if real := real_model():
        ids = real.prompt(draw)
        with torch.no_grad():
            logits = real.model(ids).logits[0, -1].double()
        found = student.call(NAME, real.model_in_worker(student), ids, seconds=seconds.REAL)
        check(found, logits, 1.0, f"With the notebook's model: {symptom[0].lower()}{symptom[1:]}", cause, atol=2e-3)


@pytest.mark.points(0.1, cell=CELL)
def test_temperature(student, draw):
    """The logits are divided by the temperature"""
    for model, ids, logits in cases(draw, student, (4, 6)):
        for temperature in (0.02, 0.1, 0.5, 2.0, 10.0, 1):
            check(
                student.call(NAME, model, ids, temperature=temperature),
                logits,
                temperature,
                "With a temperature the probabilities are wrong.",
                "A low temperature makes the distribution sharper, a high one flatter; which numbers does it divide? "
                "Large exponentials overflow: the library's softmax avoids that.",
                atol=2e-3 if temperature < 0.2 else 1e-4,
            )


@pytest.mark.points(0.1, cell=CELL)
def test_temperature_limits(student, draw):
    """Temperature 0 puts everything on the most probable token; a negative temperature raises ValueError"""
    for model, ids, logits in cases(draw, student, (1, 7)):
        for zero in (0, 0.0):
            found = student.call(NAME, model, ids, temperature=zero)
            expect.close(
                found,
                torch.nn.functional.one_hot(logits.argmax(), len(logits)),
                "At temperature 0 the result is not 1 for the most probable token and 0 for the others.",
                "A division by 0 has no result: treat this case on its own.",
                atol=0,
            )
        for negative in (-1.0, -0.01):
            with student.raises("ValueError", symptom="A negative temperature does not raise ValueError."):
                student.call(NAME, model, ids, temperature=negative)
    tiny = draw_tiny(draw, "llama")
    undecided = Tiny("llama", tiny.settings, tiny.state | {"lm_head.weight": torch.zeros(tiny.vocabulary, 24)})
    found = student.call(NAME, undecided.in_worker(student), draw.integers(0, tiny.vocabulary, (1, 4)), temperature=0)
    expect.that(
        isinstance(found, torch.Tensor)
        and found.shape == (tiny.vocabulary,)
        and sorted(found.tolist())[-2:] == [0.0, 1.0]
        and float(found.sum()) == 1.0,
        "At temperature 0, where several tokens are equally probable, the result is not 1 for one of them.",
        "A distribution sums to 1, and the arg max is one token.",
    )


@pytest.mark.points(0.1, cell=CELL, role="property")
def test_distribution_without_gradients(student, draw):
    """No gradients are recorded"""
    for model, ids, logits in cases(draw, student, (5,)):
        for options in ({}, {"temperature": 0.7}, {"temperature": 0.0}):
            seen = student.drive("next_token", model=model, input_ids=ids, **options)
            expect.that(
                not seen["records_gradient"],
                "The result carries a gradient.",
                "Nothing is trained here: run the model without recording gradients.",
            )
            expect.that(
                isinstance(seen["result"], torch.Tensor) and seen["result"].shape == logits.shape,
                "Where gradients are being recorded the result is not a distribution over the vocabulary.",
            )
