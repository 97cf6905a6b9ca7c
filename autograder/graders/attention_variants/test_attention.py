"""MultiHeadAttention between two sequences: values, masks of every kind, extreme scores, dropout, gradients."""

import pytest
import torch

from autograder.graders.attention_variants import attending
from autograder.graders.attention_variants.attending import attend
from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "attention"
NAME = "MultiHeadAttention"
SIZES = ((2, 5, 3, 12, 4), (3, 2, 7, 10, 2), (2, 4, 4, 6, 1), (1, 1, 6, 15, 5))  # B, Tq, Tk, d, h


@pytest.mark.points(2, cell=CELL, role="value")
def test_attention_values(student, reference, draw):
    """Without a mask output and weights are right, head by head, between two sequences of any lengths"""
    for batch, queries, keys, d, heads in SIZES:
        theirs, ours = twins(student, reference, draw, NAME, d, heads)
        given = attending.inputs(draw, batch, queries, keys, d)
        output, weights = attend(theirs, *given, heads)
        expected_output, expected_weights = ours.forward(*given)
        expect.close(
            weights,
            expected_weights,
            "The attention weights are wrong.",
            "Which projection reads which input, which features belong to head j, and by the root of which width are "
            "the scores divided? The two sequences may differ in length.",
            atol=1e-4,
        )
        expect.close(
            output,
            expected_output,
            "The output is wrong, although the weights are right.",
            "Check the values, how the heads' outputs are put side by side again, and the last projection.",
            atol=1e-4,
        )


@pytest.mark.points(1, cell=CELL)
def test_attention_mask(student, reference, draw):
    """A mask of two to four axes, of type bool, integer or float, forbids keys"""
    for batch, queries, keys, d, heads in ((2, 5, 3, 12, 4), (3, 2, 7, 10, 2), (1, 3, 4, 9, 3)):
        state = state_for(reference, draw, NAME, d, heads)
        handle = student.build(NAME, d, heads, state=state)
        given = attending.inputs(draw, batch, queries, keys, d)
        for number, shape in enumerate(attending.mask_shapes(batch, heads, queries, keys)):
            kind = (torch.bool, torch.int64, torch.float32, torch.uint8)[number % 4]
            attending.check_mask(handle, state, given, heads, draw.mask(*shape).to(kind))
    # sizes that agree: (T, T) is no padding mask of T texts, and (h, T, T) no mask of h texts
    for batch, tokens, heads, shape in ((4, 4, 3, (4, 4)), (3, 5, 3, (3, 5, 5)), (4, 4, 4, (4, 1, 1, 4))):
        state = state_for(reference, draw, NAME, 12, heads)
        handle = student.build(NAME, 12, heads, state=state)
        for kind in (torch.bool, torch.float32):
            given = attending.inputs(draw, batch, tokens, tokens, 12)
            attending.check_mask(handle, state, given, heads, draw.mask(*shape).to(kind))


@pytest.mark.points(1, cell=CELL)
def test_attention_large_scores_and_half_precision(student, reference, draw):
    """Forbidden keys get weight exactly 0 for scores of any size, and in float16 and bfloat16"""
    init = {"d_model": 12, "n_heads": 3}
    attending.check_half_precision(student, reference, draw, NAME, init, state_for(reference, draw, NAME, **init))
    attending.check_large_scores(student, reference, draw, NAME, init, kv_heads=3)


@pytest.mark.points(1, cell=CELL)
def test_attention_without_keys(student, reference, draw):
    """A query whose keys are all forbidden gives finite numbers, in values and in gradients"""
    init = {"d_model": 12, "n_heads": 3}
    attending.check_without_keys(student, draw, NAME, init, state_for(reference, draw, NAME, **init))


@pytest.mark.points(1, cell=CELL, chance=True)
def test_attention_dropout(student, reference, draw):
    """Dropout acts on the weights alone, in training only; the weights returned are those before it"""
    init = {"d_model": 24, "n_heads": 3}
    attending.check_attention_dropout(student, draw, NAME, init, state_for(reference, draw, NAME, **init))


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_attention_sizes(student):
    """n_heads, d_k and the projections are there; a width that the heads cannot share is refused"""
    handle = student.build(NAME, 12, 3)
    for name, expected in (("n_heads", 3), ("d_k", 4)):
        expect.equal(handle.attribute(name), expected, f"The attribute {name} is wrong.", "d_k is one head's width.")
    shapes = {path: tuple(value.shape) for path, value in handle.parameters().items()}
    for path in ("w_q", "w_k", "w_v", "w_o"):
        expect.that(
            shapes.get(f"{path}.weight") == (12, 12) and (f"{path}.bias" in shapes) == (path == "w_o"),
            "A projection is missing, has another width, or has a bias where it should have none, or none where it "
            "should have one.",
            "w_q, w_k and w_v have no bias, w_o has one.",
        )
    for d, heads in ((10, 3), (8, 16), (7, 2)):
        symptom = "A width that the heads cannot share is not refused."
        with student.raises("AssertionError", "ValueError", symptom=symptom):
            student.build(NAME, d, heads)


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_attention_gradients_and_calls(student, reference, draw):
    """Gradients are right, inputs stay as they were, any memory layout works, and nothing stays from a call"""
    batch, queries, keys, d, heads = 2, 3, 5, 12, 4
    init = {"d_model": d, "n_heads": heads}
    state = state_for(reference, draw, NAME, **init)
    query, key, value = attending.inputs(draw, batch, queries, keys, d)
    mask = draw.mask(batch, 1, queries, keys)
    attending.check_calls(
        student,
        NAME,
        init,
        state,
        [
            [query, key, value, mask],
            [query, key, value, None],
            [key[:1], query[:1], query[1:], None],
            [query, key, value, mask.float()],
        ],
    )
    for given in ({}, {"mask": mask}):
        check_gradients(
            student,
            reference,
            draw,
            (batch, queries, d),
            name=NAME,
            init=init,
            state=state,
            inputs={"query": query, "key": key, "value": value, **given},
        )
