"""FusedMultiHeadAttention: multi-head attention's output by one call of the kernel, masks, dropout."""

import pytest
import torch

from autograder.graders.oracles.dropout import check_dropout
from autograder.graders.oracles.twins import check_gradients, state_for
from autograder.testing import expect

CELL = "fused"
NAME = "FusedMultiHeadAttention"
SIZES = ((2, 5, 7, 12, 3), (3, 4, 4, 10, 2), (1, 6, 2, 8, 4), (4, 1, 3, 6, 1))  # B, Tq, Tk, d, h


def both(student, reference, draw, d, heads, **options):
    """The student's fused attention and the reference's plain one with the same parameters."""
    state = state_for(reference, draw, "MultiHeadAttention", d, heads)
    plain = reference.build("MultiHeadAttention", d, heads, state=state)
    return student.build(NAME, d, heads, state=state, **options), plain, state


def output_of(handle, query, *rest, **options):
    output, second = expect.parts(handle.forward(query, *rest, **options), 2, "(output, None)")
    expect.that(second is None, "The second result is not None.", "The kernel hands out no weights.")
    return expect.tensor(output, query.shape)


@pytest.mark.points(0.75, cell=CELL, role="value")
def test_fused_values(student, reference, draw):
    """The output is that of multi-head attention with the same weights, for two sequences too"""
    for batch, queries, keys, d, heads in SIZES:
        theirs, plain, _ = both(student, reference, draw, d, heads)
        q, k, v = (draw.normal(batch, n, d) for n in (queries, keys, keys))
        for given in ((q, k, v), (k, q[:, :1], q[:, :1]), (q, q, q)):
            expect.close(
                output_of(theirs, *given),
                plain.forward(*given)[0],
                "The output is not that of multi-head attention with the same weights.",
                "Which features belong to a head, which length has each input, and what joins the heads again?",
                atol=1e-4,
                rtol=1e-3,
            )
    with student.raises("AssertionError", "ValueError", symptom="A width that the heads cannot share is not refused."):
        student.build(NAME, 10, 3)


@pytest.mark.points(0.5, cell=CELL)
def test_fused_masks(student, reference, draw):
    """Masks of two to four axes, bool, integer or float, forbid where they are 0; gradients are right"""
    for batch, queries, keys, d, heads in (*SIZES[:2], (3, 3, 3, 6, 3)):
        theirs, plain, state = both(student, reference, draw, d, heads)
        given = [draw.normal(batch, n, d) for n in (queries, keys, keys)]
        shapes = ((queries, keys), (heads, queries, keys), (batch, 1, 1, keys), (batch, heads, queries, keys))
        for shape in shapes:
            for kind in (torch.bool, torch.int64, torch.float32):
                mask = draw.mask(*shape).to(kind)
                expect.close(
                    output_of(theirs, *given, mask),
                    plain.forward(*given, mask)[0],
                    "With a mask, the output is not that of multi-head attention.",
                    "What does the kernel do with a mask that is not bool? Read its page: a float mask is added.",
                    atol=1e-4,
                    rtol=1e-3,
                )
        mask = draw.mask(queries, keys)
        init = {"d_model": d, "n_heads": heads}
        inputs = dict(zip(("query", "key", "value"), given, strict=True)) | {"mask": mask}
        check_gradients(student, reference, draw, (batch, queries, d), name=NAME, init=init, state=state, inputs=inputs)
        mask[0] = 0  # a query without keys
        for dtype in ("float32", "float16", "bfloat16"):
            seen = student.drive("fused_run", init=init, state=state, inputs=[*given, mask], dtype=dtype)
            for name in ("output", "gradient"):
                expect.tensor(seen[name], what=f"the {name} in {dtype} with a query that may see no key")
            expect.that(
                all(torch.equal(x.to(y.dtype), y) for x, y in zip([*given, mask], seen["inputs"], strict=True)),
                "Something that was passed in is changed in place.",
                "Which operation with an underscore works on the mask or the inputs?",
            )


@pytest.mark.points(0.25, cell=CELL, role="property")
def test_fused_kernel(student, reference, draw):
    """F.scaled_dot_product_attention is called once a forward"""
    _, _, state = both(student, reference, draw, 12, 3)
    for mask in ((), (draw.mask(5, 7),)):
        inputs = [*(draw.normal(2, n, 12) for n in (5, 7, 7)), *mask]
        for dtype in ("float32", "bfloat16"):
            seen = student.drive(
                "fused_run", init={"d_model": 12, "n_heads": 3}, state=state, inputs=inputs, dtype=dtype
            )
            expect.equal(
                seen["calls"],
                1,
                "F.scaled_dot_product_attention is not called once a forward.",
                "One call does all heads of all texts.",
            )


@pytest.mark.points(0.5, cell=CELL, chance=True)
def test_fused_dropout(student, reference, draw):
    """Dropout acts on the weights, in training only, at the rate that was given"""
    batch, tokens, d, heads = 40, 4, 16, 2
    state = state_for(reference, draw, "MultiHeadAttention", d, heads)
    state["w_o.weight"], state["w_o.bias"] = torch.eye(d), torch.zeros(d)
    state["w_q.weight"] *= 0.5
    x = draw.normal(batch, tokens, d)
    weights = reference.build("MultiHeadAttention", d, heads, state=state).forward(x, x, x)[1].double()
    values = (x @ state["w_v.weight"].T).double().view(batch, tokens, heads, -1).transpose(1, 2)
    for rate, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        handle = student.build(NAME, d, heads, state=state, **options)
        output, again = (output_of(handle, x, x, x, seed=draw.seed()) for _ in range(2))
        expect.that(
            torch.equal(output, again),
            "In evaluation mode the output is random.",
            "The kernel does not know the mode: it drops at the rate that it is given.",
        )
        dropped = output_of(handle, x, x, x, train=True, seed=draw.seed())
        met = dropped.double().view(batch, tokens, heads, -1).transpose(1, 2) @ torch.linalg.pinv(values)
        check_dropout(met, weights, rate, "the weights", "Nothing else passes through dropout.", atol=5e-3)
        other = output_of(handle, x, x, x, train=True, seed=draw.seed())
        expect.that(
            rate == 0 or not torch.equal(dropped, other), "In training mode the output is never random.", "Which rate?"
        )
