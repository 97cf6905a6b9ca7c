"""TransformerBlock: post-norm order, residual connections, mask, dropout on both sublayers, gradients."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from autograder.graders.transformer_fundamentals.dropout import check_rate
from autograder.graders.transformer_fundamentals.twins import check_gradients, state_for, twins
from autograder.grading import expect

CELL = "transformer-block"
NAME = "TransformerBlock"
SIZES = ((2, 5, 12, 3, 20), (3, 4, 10, 2, 7))  # B, T, d, h, d_ff
TOLERANCE = 3e-4  # torch's LayerNorm is allowed, whose default eps is another


def attend(handle, x, heads, *mask, **options):
    batch, tokens, _ = x.shape
    output, weights = expect.parts(handle.forward(x, *mask, **options), 2, "(x2, weights)")
    expect.tensor(output, x.shape)
    return output, expect.tensor(weights, (batch, heads, tokens, tokens), what="the attention weights")


@pytest.mark.points(3, cell=CELL, role="value")
def test_block_values(student, reference, draw):
    """Attention, residual and norm, then feed-forward, residual and norm"""
    for batch, tokens, d, heads, d_ff in SIZES:
        theirs, ours = twins(student, reference, draw, NAME, d, heads, d_ff)
        x = draw.normal(batch, tokens, d, scale=1.5)
        output, weights = attend(theirs, x, heads)
        expected_output, expected_weights = ours.forward(x)
        expect.close(
            weights,
            expected_weights,
            "The attention weights are not those of the block's input.",
            "In a post-norm block attention sees x itself.",
            atol=TOLERANCE,
        )
        expect.close(
            output,
            expected_output,
            "The block's output is wrong.",
            "Follow the two lines of the docstring: what is added to what, which norm comes where, and what does the "
            "second sublayer take and add to?",
            atol=TOLERANCE,
        )


@pytest.mark.points(1, cell=CELL)
def test_block_mask(student, reference, draw):
    """The mask reaches the attention"""
    for batch, tokens, d, heads, d_ff in SIZES:
        theirs, ours = twins(student, reference, draw, NAME, d, heads, d_ff)
        x = draw.normal(batch, tokens, d, scale=1.5)
        for shape in ((batch, 1, 1, tokens), (batch, heads, tokens, tokens), (tokens, tokens)):
            mask = draw.mask(*shape)
            output, weights = attend(theirs, x, heads, mask)
            expected_output, expected_weights = ours.forward(x, mask)
            expect.that(
                not bool((weights * (1 - mask)).any()),
                "Forbidden keys get attention weight.",
                "The block hands its mask on to the attention.",
            )
            for found, expected in ((weights, expected_weights), (output, expected_output)):
                expect.close(found, expected, "With a mask the result is wrong.", atol=TOLERANCE)


def check_sublayer_dropout(student, reference, draw, silent, constant, what):
    """Silence one sublayer, let the other give the same vector for every token, and see what dropout leaves of it.

    Each token's output must be one of the 2 ** d vectors that some dropout pattern on the sublayer's output gives.
    """
    batch, tokens, d, heads, d_ff = 10, 12, 6, 3, 8
    state = state_for(reference, draw, NAME, d, heads, d_ff)
    for sublayer in (silent, constant):
        for part in ("weight", "bias"):
            state[f"{sublayer}.{part}"] = torch.zeros_like(state[f"{sublayer}.{part}"])
    vector = draw.uniform(1.0, 2.0, (d,)) * (2 * draw.integers(0, 2, (d,)) - 1)
    state[f"{constant}.bias"] = vector
    x = draw.normal(batch, tokens, d)
    patterns = torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)))[:, None]  # (2**d, 1, d)

    def norm(number, values):
        return F.layer_norm(values, (d,), state[f"norm{number}.gamma"], state[f"norm{number}.beta"], 1e-6)

    for p, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        handle = student.build(NAME, d, heads, d_ff, state=state, **options)
        left = patterns * vector / (1 - p)
        flat = x.reshape(-1, d)
        candidates = (
            norm(2, norm(1, flat + left)) if constant.startswith("attention") else norm(2, norm(1, flat) + left)
        )
        found = attend(handle, x, heads, train=True, seed=draw.seed())[0].reshape(-1, d)
        distance = (candidates - found).abs().amax(-1)  # (2**d, B*T)
        nearest = distance.argmin(0)
        expect.that(
            bool((distance.amin(0) < 5e-3).all()),
            f"In training mode, dropout does not act on {what}, or acts on something else as well.",
            "It stands inside the sum, before the residual connection adds x.",
        )
        check_rate(int((patterns[nearest, 0] == 0).sum()), found.numel(), p, what)
        outputs = [attend(handle, x, heads, seed=draw.seed())[0] for _ in range(2)]
        expect.that(bool((outputs[0] == outputs[1]).all()), "In evaluation mode the output is random.")


@pytest.mark.points(1, cell=CELL)
def test_block_dropout_after_attention(student, reference, draw):
    """Dropout acts on the attention's output before it is added, in training mode only"""
    check_sublayer_dropout(
        student, reference, draw, "feed_forward.linear2", "attention.W_o", "the output of the attention sublayer"
    )


@pytest.mark.points(1, cell=CELL)
def test_block_dropout_after_feed_forward(student, reference, draw):
    """Dropout acts on the feed-forward output before it is added, in training mode only"""
    check_sublayer_dropout(
        student, reference, draw, "attention.W_o", "feed_forward.linear2", "the output of the feed-forward sublayer"
    )


@pytest.mark.points(1, cell=CELL, role="property")
def test_block_order_and_padding(student, reference, draw):
    """Outputs move with the tokens; a forbidden token changes no other"""
    batch, tokens, d, heads, d_ff = 2, 6, 12, 3, 20
    handle = student.build(NAME, d, heads, d_ff, state=state_for(reference, draw, NAME, d, heads, d_ff))
    x = draw.normal(batch, tokens, d)
    output, _ = attend(handle, x, heads)
    order = draw.derangement(tokens)
    expect.close(
        attend(handle, x[:, order], heads)[0],
        output[:, order],
        "Moving the tokens does not move the outputs in the same way.",
        atol=TOLERANCE,
    )
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    changed = x.clone()
    changed[:, 4:] = draw.normal(batch, 2, d)
    before, after = (attend(handle, given, heads, mask)[0][:, :4] for given in (x, changed))
    expect.close(after, before, "A forbidden token still changes the outputs of other tokens.", atol=TOLERANCE)


@pytest.mark.points(1, cell=CELL, role="property")
def test_block_gradients(student, reference, draw):
    """Every parameter of both sublayers and both norms receives its gradient"""
    batch, tokens, d, heads, d_ff = 2, 5, 12, 3, 20
    init = {"d_model": d, "num_heads": heads, "d_ff": d_ff}
    check_gradients(
        student,
        reference,
        draw,
        (batch, tokens, d),
        name=NAME,
        init=init,
        state=state_for(reference, draw, NAME, **init),
        inputs={"x": draw.normal(batch, tokens, d), "mask": draw.mask(batch, 1, 1, tokens)},
    )
