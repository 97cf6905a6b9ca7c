"""sliding_window_mask and SlidingWindowAttention: which keys are seen, with another mask too, dropout, gradients."""

import pytest
import torch

from autograder.graders.oracles.dropout import check_dropout
from autograder.graders.oracles.masks import check_masked
from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "sliding-window"
NAME = "SlidingWindowAttention"
WINDOW = "Query i sees the keys i - window + 1 ... i: itself and window - 1 before it, none after it."


def band(size, window):
    return torch.ones(size, size).tril().triu(1 - window) != 0


def attend(handle, query, *rest, heads, **options):
    """Output and weights of a call with `query` as keys and values too, unless `rest` begins with them."""
    given = rest if len(rest) > 1 else (query, query, *rest)
    output, weights = expect.parts(handle.forward(query, *given, **options), 2, "(output, weights)")
    batch, tokens, _ = query.shape
    expect.tensor(output, query.shape)
    return output, expect.tensor(weights, (batch, heads, tokens, tokens), what="the attention weights")


@pytest.mark.points(1, cell=CELL, role="value")
def test_window_mask(student):
    """The mask is True exactly for the window of each query, on the device that was asked for"""
    for size, window in ((6, 1), (6, 2), (6, 3), (5, 4), (5, 5), (4, 9), (1, 1), (12, 7)):
        found = expect.tensor(
            student.call("sliding_window_mask", size, window), (size, size), torch.bool, "the window's mask"
        )
        expect.that(torch.equal(found, band(size, window)), "The mask allows the wrong keys.", WINDOW)
    for options in ({}, {"device": "meta"}):
        found = student.drive("window_device", size=4, window=2, **options)
        expect.that(
            found == options.get("device", "cpu"),
            "The mask is not on the device that was asked for.",
            "Hand device on to the function that makes the tensor.",
        )


@pytest.mark.points(1.25, cell=CELL, role="value")
def test_window_values(student, reference, draw):
    """Output and weights are those of attention within the window"""
    for batch, tokens, d, heads, window in ((2, 7, 12, 3, 3), (3, 5, 10, 2, 1), (1, 6, 8, 4, 6), (4, 4, 6, 1, 9)):
        theirs, ours = twins(student, reference, draw, NAME, d, heads, window)
        q, k, v = (draw.normal(batch, tokens, d) for _ in range(3))
        for given in ((q, k, v), (v, q, k), tuple(x[:, :3].clone() for x in (q, k, v))):
            output, weights = attend(theirs, *given, heads=heads)
            right_output, right_weights = ours.forward(*given)
            expect.close(
                weights,
                right_weights,
                "The attention weights are wrong.",
                WINDOW + " Queries, keys and values come from three inputs, each through its own projection.",
                atol=1e-4,
            )
            expect.close(
                output, right_output, "The output is wrong, although the weights are right.", "Look at w_o.", atol=1e-4
            )
        after = student.drive(
            "window_half", init=[d, heads, window], state=theirs.parameters(), inputs=[q, k, v], dtype="float32"
        )
        expect.close(
            after["output"],
            ours.forward(q, k, v)[0],
            "Inputs that are not contiguous in memory get another output.",
            "Where does your code rely on how a tensor lies in memory?",
            atol=1e-4,
        )


@pytest.mark.points(0.75, cell=CELL)
def test_window_with_mask(student, reference, draw):
    """A key must be allowed by window and mask; masks have two to four axes and any type, in half precision too"""
    batch, tokens, d, heads, window = 3, 6, 12, 2, 4
    state = state_for(reference, draw, NAME, d, heads, window)
    handle = student.build(NAME, d, heads, window, state=state)
    free = student.build(NAME, d, heads, tokens, state=state)
    q, k, v = (draw.normal(batch, tokens, d) for _ in range(3))
    _, unmasked = attend(free, q, k, v, heads=heads)
    shapes = ((tokens, tokens), (heads, tokens, tokens), (batch, 1, 1, tokens), (batch, heads, tokens, tokens))
    for shape, kind in zip(shapes, (torch.bool, torch.int64, torch.float32, torch.uint8), strict=True):
        mask = draw.mask(*shape, keep=0.7)
        if mask.size(-2) == 1:  # one key is forbidden in each text, and not the first, which is all that query 0 sees
            mask = (torch.arange(tokens) != draw.integers(1, tokens, (batch, 1, 1, 1))).long()
        else:
            mask.diagonal(dim1=-2, dim2=-1).fill_(1)
        _, weights = attend(handle, q, k, v, mask.to(kind), heads=heads)
        check_masked(weights, unmasked, (mask != 0) & band(tokens, window))
    mask = torch.ones(tokens, tokens, dtype=torch.long)
    mask[2], mask[:, 0] = 0, 0  # two queries see no key
    x = draw.normal(batch, tokens, d)
    attend(handle, x, mask, heads=heads)
    for dtype, scale in (("float16", 1.0), ("bfloat16", 1.0), ("float32", 1e3)):
        inputs = [x * scale, x, x, mask]
        seen = student.drive("window_half", init=[d, heads, window], state=state, inputs=inputs, dtype=dtype)
        for name in ("output", "weights", "gradient"):
            expect.tensor(seen[name], what=f"the {name} in {dtype}" if scale == 1 else f"the {name} for large scores")
        allowed = (mask != 0) & band(tokens, window)
        some = allowed.any(-1)
        expect.that(
            not bool(seen["weights"][..., some, :][(~allowed)[some].expand(batch, heads, -1, -1)].any()),
            "In half precision or for large scores, forbidden keys get weight.",
            "A fixed number like -1e9 is too large for float16 and too small for large scores.",
        )
        expect.that(
            all(torch.equal(old.to(new.dtype), new) for old, new in zip(inputs, seen["inputs"], strict=True)),
            "Something that was passed in is changed in place.",
            "Which operation with an underscore works on the mask or the inputs?",
        )


@pytest.mark.points(0.25, cell=CELL, chance=True)
def test_window_dropout(student, reference, draw):
    """Dropout acts on the weights before they meet the values, in training only; the returned ones are whole"""
    batch, tokens, d, heads, window = 40, 4, 16, 2, 3
    state = state_for(reference, draw, NAME, d, heads, window)
    state["w_o.weight"], state["w_o.bias"] = torch.eye(d), torch.zeros(d)
    state["w_q.weight"] *= 0.5
    x = draw.normal(batch, tokens, d)
    values = (x @ state["w_v.weight"].T).double().view(batch, tokens, heads, -1).transpose(1, 2)
    for rate, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        handle = student.build(NAME, d, heads, window, state=state, **options)
        (output, weights), (again, _) = (attend(handle, x, heads=heads, seed=draw.seed()) for _ in range(2))
        expect.that(torch.equal(output, again), "In evaluation mode the output is random.", "Who knows the mode?")
        dropped, kept = attend(handle, x, heads=heads, train=True, seed=draw.seed())
        expect.close(kept, weights, "The returned weights are those after dropout.", "Their rows sum to 1.", atol=1e-4)
        met = dropped.double().view(batch, tokens, heads, -1).transpose(1, 2) @ torch.linalg.pinv(values)
        check_dropout(met, weights.double(), rate, "the weights", "Nothing else passes through dropout.", atol=5e-3)


@pytest.mark.points(0.25, cell=CELL, role="property")
def test_window_refuses(student):
    """A window below 1 raises ValueError, and a width that the heads cannot share is refused"""
    for window in (0, -2):
        with student.raises("ValueError", symptom="sliding_window_mask does not refuse a window below 1."):
            student.call("sliding_window_mask", 4, window)
        with student.raises("ValueError", symptom="SlidingWindowAttention does not refuse a window below 1."):
            x = torch.ones(2, 3, 4)
            student.build(NAME, 4, 2, window).forward(x, x, x)
    with student.raises("AssertionError", "ValueError", symptom="A width that the heads cannot share is not refused."):
        student.build(NAME, 10, 3, 2)


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_window_gradients(student, reference, draw):
    """Every weight and every input receives its gradient"""
    batch, tokens, d, heads = 2, 5, 12, 3
    init = {"d_model": d, "n_heads": heads, "window_size": 2}
    state = state_for(reference, draw, NAME, **init)
    padding = torch.tensor([True] * (tokens - 1) + [False]).expand(batch, 1, 1, tokens)
    for mask in ({}, {"mask": torch.ones(tokens, tokens)}, {"mask": padding}):
        inputs = {name: draw.normal(batch, tokens, d) for name in ("query", "key", "value")} | mask
        check_gradients(student, reference, draw, (batch, tokens, d), name=NAME, init=init, state=state, inputs=inputs)
