"""MultiHeadAttention: head layout, masks, dropout on the weights alone, refusal, equivariance, gradients."""

import pytest
import torch

from autograder.graders.oracles.dropout import check_dropout
from autograder.graders.oracles.masks import check_masked
from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "mha"
NAME = "MultiHeadAttention"
SIZES = ((2, 5, 12, 3), (3, 4, 10, 2), (2, 3, 24, 4), (1, 6, 5, 1))  # B, T, d, h


def attend(handle, x, heads, *mask, **options):
    """Output and weights, their shapes checked."""
    batch, tokens, _ = x.shape
    output, weights = expect.parts(handle.forward(x, *mask, **options), 2, "(output, weights)")
    expect.tensor(output, x.shape)
    return output, expect.tensor(weights, (batch, heads, tokens, tokens), what="the attention weights")


def check_mask(draw, handle, x, heads, mask):
    """The weights under a mask, against those without it; the output must not know what stands at forbidden keys."""
    _, free = attend(handle, x, heads)
    output, weights = attend(handle, x, heads, mask)
    check_masked(weights, free, mask)
    batch, tokens, d = x.shape
    # a key that no head and no query may see: only the output in its own row may notice a change
    seen = (mask != 0).expand_as(weights).any(dim=2).any(dim=1)  # (B, T)
    changed = torch.where(seen[..., None], x, draw.normal(batch, tokens, d))
    after, _ = attend(handle, changed, heads, mask)
    expect.close(
        after[seen], output[seen], "With a mask, a token that nobody may see still changes other tokens.", atol=1e-4
    )


@pytest.mark.points(4, cell=CELL, role="value")
def test_heads_values(student, reference, draw):
    """Without a mask output and weights are right, head by head"""
    for batch, tokens, d, heads in (*SIZES, (2, 1, 6, 3)):
        theirs, ours = twins(student, reference, draw, NAME, d, heads)
        x = draw.normal(batch, tokens, d)
        output, weights = attend(theirs, x, heads)
        expected_output, expected_weights = ours.forward(x)
        expect.close(
            weights,
            expected_weights,
            "The attention weights are wrong.",
            "Which features belong to head j, and does the split keep tokens and heads apart? Write the shape after "
            "each view and transpose. The scaling uses the width of one head.",
            atol=1e-4,
        )
        expect.close(
            output,
            expected_output,
            "The output is wrong, although the weights are right.",
            "Check the values, how the heads' outputs are put side by side again, and the last projection.",
            atol=1e-4,
        )


@pytest.mark.points(2, cell=CELL)
def test_heads_mask(student, reference, draw):
    """A mask reaches the attention: forbidden keys get weight 0"""
    for batch, tokens, d, heads in SIZES:
        handle = student.build(NAME, d, heads, state=state_for(reference, draw, NAME, d, heads))
        x = draw.normal(batch, tokens, d)
        for shape, kind in (((batch, 1, 1, tokens), torch.int64), ((batch, heads, tokens, tokens), torch.bool)):
            check_mask(draw, handle, x, heads, draw.mask(*shape).to(kind))


@pytest.mark.points(1, cell=CELL)
def test_heads_mask_broadcasts(student, reference, draw):
    """Any mask that broadcasts to (B, h, T, T) will do: one of three axes is (h, T, T)"""
    for batch, tokens, d, heads in ((2, 5, 12, 3), (3, 4, 10, 2)):
        handle = student.build(NAME, d, heads, state=state_for(reference, draw, NAME, d, heads))
        x = draw.normal(batch, tokens, d)
        shapes = ((tokens, tokens), (heads, tokens, tokens), (batch, 1, tokens, tokens), (1, heads, 1, tokens))
        for mask in (torch.ones(tokens, tokens).tril(), *(draw.mask(*shape) for shape in shapes)):
            check_mask(draw, handle, x, heads, mask)
    # sizes that agree: (T, T) is no padding mask of T texts, and (h, T, T) no mask of h texts
    for batch, tokens, heads, shape in ((4, 4, 3, (4, 4)), (3, 5, 3, (3, 5, 5))):
        handle = student.build(NAME, 12, heads, state=state_for(reference, draw, NAME, 12, heads))
        check_mask(draw, handle, draw.normal(batch, tokens, 12), heads, draw.mask(*shape))


@pytest.mark.points(2, cell=CELL, chance=True)
def test_heads_dropout(student, reference, draw):
    """Dropout acts on the attention weights and nowhere else, in training mode only"""
    batch, tokens, d, heads = 40, 5, 24, 3
    d_k = d // heads
    where = "Only the weights pass through dropout, neither the projections nor the output."
    state = state_for(reference, draw, NAME, d, heads)
    state["W_o.weight"] = draw.orthogonal(d)
    state["W_q.weight"] *= 0.5
    x = draw.normal(batch, tokens, d)
    # with T <= d_k the values of a head have a right inverse, which gives back the weights that met them
    values = (x @ state["W_v.weight"].T + state["W_v.bias"]).double()
    inverse = torch.linalg.pinv(values.view(batch, tokens, heads, d_k).transpose(1, 2))
    for p, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        handle = student.build(NAME, d, heads, state=state, **options)
        (output, weights), (again, _) = (attend(handle, x, heads, seed=draw.seed()) for _ in range(2))
        expect.that(
            bool((output == again).all()),
            "In evaluation mode the output is random.",
            "A dropout module knows whether the model is in training mode; a bare function does not.",
        )
        expect.that(float(weights.std()) > 0.01, "All attention weights are the same.", "They depend on x.")
        dropped, _ = attend(handle, x, heads, train=True, seed=draw.seed())
        inner = ((dropped - state["W_o.bias"]) @ state["W_o.weight"]).double()
        met = inner.view(batch, tokens, heads, d_k).transpose(1, 2) @ inverse
        check_dropout(met, weights.double(), p, "the attention weights", where, atol=5e-3)


@pytest.mark.points(1, cell=CELL, role="property")
def test_heads_sizes(student):
    """num_heads and d_k are there, and a width that the heads cannot share is refused"""
    handle = student.build(NAME, 12, 3)
    for name, expected in (("num_heads", 3), ("d_k", 4)):
        expect.equal(
            handle.attribute(name), expected, f"The attribute {name} is wrong.", "d_k is the width of one head."
        )
    for d, heads in ((10, 3), (8, 16), (7, 2)):
        with student.raises(
            "AssertionError", "ValueError", symptom="A width that the heads cannot share is not refused."
        ):
            student.build(NAME, d, heads)


@pytest.mark.points(1, cell=CELL, role="property")
def test_heads_order_and_padding(student, reference, draw):
    """Without a mask the outputs move with the tokens; a forbidden token changes no other"""
    batch, tokens, d, heads = 2, 6, 12, 3
    handle = student.build(NAME, d, heads, state=state_for(reference, draw, NAME, d, heads))
    x = draw.normal(batch, tokens, d)
    output, weights = attend(handle, x, heads)
    expect.close(weights.sum(-1), torch.ones(batch, heads, tokens), "The attention weights of a query do not sum to 1.")
    order = draw.derangement(tokens)
    expect.close(
        attend(handle, x[:, order], heads)[0],
        output[:, order],
        "Moving the tokens does not move the outputs in the same way.",
        "Attention knows nothing of position: do tokens or texts get mixed where heads are split or joined?",
        atol=1e-4,
    )
    alone = attend(handle, x[:1], heads)[0]
    expect.close(alone, output[:1], "A text's output depends on the other texts of its batch.", atol=1e-4)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    changed = x.clone()
    changed[:, 4:] = draw.normal(batch, 2, d)
    before, after = (attend(handle, given, heads, mask)[0][:, :4] for given in (x, changed))
    expect.close(after, before, "A forbidden token still changes the outputs of other tokens.", atol=1e-4)


@pytest.mark.points(1, cell=CELL, role="property")
def test_heads_gradients(student, reference, draw):
    """Every weight and bias receives its gradient"""
    batch, tokens, d, heads = 2, 5, 12, 3
    init = {"d_model": d, "num_heads": heads}
    state = state_for(reference, draw, NAME, **init)
    for inputs in ({}, {"mask": draw.mask(batch, 1, 1, tokens)}):
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
