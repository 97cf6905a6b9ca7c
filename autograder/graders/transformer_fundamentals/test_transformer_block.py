"""TransformerBlock: post-norm order, residual connections, mask, dropout on both sublayers, gradients."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from autograder.graders.oracles.dropout import check_rate
from autograder.graders.oracles.masks import check_masked
from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "transformer-block"
NAME = "TransformerBlock"
SIZES = ((2, 5, 12, 3, 20), (3, 4, 10, 2, 7))  # B, T, d, h, d_ff
LAST_LAYER = {"attention": "attention.W_o", "feed_forward": "feed_forward.linear2"}
CLOSE = 5e-3  # between the outputs of two dropout patterns lie several tenths
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
        handle = student.build(NAME, d, heads, d_ff, state=state_for(reference, draw, NAME, d, heads, d_ff))
        x = draw.normal(batch, tokens, d, scale=1.5)
        free_output, free = attend(handle, x, heads)
        for shape in ((batch, 1, 1, tokens), (batch, heads, tokens, tokens), (tokens, tokens)):
            mask = draw.mask(*shape)
            output, weights = attend(handle, x, heads, mask)
            check_masked(weights, free, mask)
            expect.that(
                bool(((output - free_output).abs().amax(-1) > 1e-4).any()),
                "A mask changes the weights that are returned, but not the output.",
                "Output and weights come from the same call of the attention.",
            )


def norm(state, number, values):
    d = values.shape[-1]
    return F.layer_norm(values, (d,), state[f"norm{number}.gamma"], state[f"norm{number}.beta"], 1e-6)


def distances(state, x, found, sublayer, out, p):
    """How far each token's output (N,) is from all that some dropout pattern on the sublayer's output `out` gives.

    `x`, `found` and `out` are (N, d); the other sublayer gives 0. Second: the nearest pattern of each token (N, d).
    """
    d = x.shape[-1]
    patterns = torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)))
    left = patterns[:, None] * out / (1 - p)  # (2**d, N, d)
    if sublayer == "attention":
        candidates = norm(state, 2, norm(state, 1, x + left))
    else:
        candidates = norm(state, 2, norm(state, 1, x) + left)
    apart = (candidates - found).abs().amax(-1)  # (2**d, N)
    return apart.amin(0), patterns[apart.argmin(0)]


def silenced(state, *layers):
    """`state` with these linear layers at zero."""
    quiet = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    return {path: torch.zeros_like(value) if path in quiet else value for path, value in state.items()}


def check_sublayer_dropout(student, reference, draw, sublayer, what):
    """Silence the other sublayer, let this one give the same vector everywhere, and see what dropout leaves of it."""
    batch, tokens, d, heads, d_ff = 10, 12, 6, 3, 8
    last = LAST_LAYER[sublayer]
    state = silenced(state_for(reference, draw, NAME, d, heads, d_ff), *LAST_LAYER.values())
    vector = draw.uniform(1.0, 2.0, (d,)) * (2 * draw.integers(0, 2, (d,)) - 1)
    state[f"{last}.bias"] = vector
    x = draw.normal(batch, tokens, d)
    for p, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        handle = student.build(NAME, d, heads, d_ff, state=state, **options)
        found = attend(handle, x, heads, train=True, seed=draw.seed())[0]
        distance, pattern = distances(state, x.flatten(0, 1), found.flatten(0, 1), sublayer, vector, p)
        expect.that(
            bool((distance < CLOSE).all()),
            f"In training mode, dropout does not act on {what}, or acts on something else as well.",
            "It stands inside the sum, before the residual connection adds x.",
        )
        check_rate(int((pattern == 0).sum()), pattern.numel(), p, what)
        outputs = [attend(handle, x, heads, seed=draw.seed())[0] for _ in range(2)]
        expect.that(bool((outputs[0] == outputs[1]).all()), "In evaluation mode the output is random.")


def check_inner_dropout(student, reference, draw):
    """The rate reaches the dropout inside each sublayer: 0 switches it off, 0.5 leaves patterns of its own."""
    batch, tokens, d, heads, d_ff = 4, 8, 6, 3, 8
    state = state_for(reference, draw, NAME, d, heads, d_ff)
    x = draw.normal(batch, tokens, d)
    handle = student.build(NAME, d, heads, d_ff, dropout=0.0, state=state)
    expect.close(
        attend(handle, x, heads, train=True, seed=draw.seed())[0],
        attend(handle, x, heads)[0],
        "With dropout=0.0 training mode and evaluation mode differ.",
        "Is the rate handed on to both sublayers?",
        atol=1e-4,
    )
    for sublayer, other, name, sizes in (
        ("attention", "feed_forward", "MultiHeadAttention", (d, heads)),
        ("feed_forward", "attention", "FeedForward", (d, d_ff)),
    ):
        quiet = silenced(state, LAST_LAYER[other])
        own = {path.removeprefix(f"{sublayer}."): v for path, v in quiet.items() if path.startswith(f"{sublayer}.")}
        before = x if sublayer == "attention" else norm(quiet, 1, x)
        out = student.build(name, *sizes, state=own).forward(before)
        out = expect.tensor(out[0] if isinstance(out, tuple | list) else out, x.shape).flatten(0, 1)
        handle = student.build(NAME, d, heads, d_ff, dropout=0.5, state=quiet)
        found = attend(handle, x, heads, train=True, seed=draw.seed())[0].flatten(0, 1)
        distance, _ = distances(quiet, x.flatten(0, 1), found, sublayer, out, 0.5)
        expect.that(
            float((distance < CLOSE).float().mean()) < 0.5,
            "In training mode there is no dropout inside one of the two sublayers.",
            "Is the rate handed on to both sublayers?",
        )


@pytest.mark.points(1, cell=CELL, chance=True)
def test_block_dropout_after_attention(student, reference, draw):
    """Dropout acts on the attention's output before it is added, in training mode only"""
    check_sublayer_dropout(student, reference, draw, "attention", "the output of the attention sublayer")


@pytest.mark.points(1, cell=CELL, chance=True)
def test_block_dropout_after_feed_forward(student, reference, draw):
    """Dropout acts on the feed-forward output before it is added, in training mode only"""
    check_sublayer_dropout(student, reference, draw, "feed_forward", "the output of the feed-forward sublayer")


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


@pytest.mark.points(1, cell=CELL, role="property", chance=True)
def test_block_gradients(student, reference, draw):
    """Every parameter receives its gradient, and the dropout rate reaches both sublayers"""
    batch, tokens, d, heads, d_ff = 2, 5, 12, 3, 20
    init = {"d_model": d, "num_heads": heads, "d_ff": d_ff}
    student.build(NAME, **init).attribute("dropout")
    state = state_for(reference, draw, NAME, **init)
    for inputs in ({"mask": draw.mask(batch, 1, 1, tokens)}, {}):
        check_gradients(
            student,
            reference,
            draw,
            (batch, tokens, d),
            name=NAME,
            init=init,
            state=state,
            inputs={"x": draw.normal(batch, tokens, d), **inputs},
        )
    check_inner_dropout(student, reference, draw)
