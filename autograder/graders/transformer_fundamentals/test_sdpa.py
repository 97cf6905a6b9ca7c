"""scaled_dot_product_attention: values, masks of any kind, extreme scores, dropout, properties."""

import pytest
import torch

from autograder.graders.transformer_fundamentals.dropout import check_dropout
from autograder.graders.transformer_fundamentals.twins import check_gradients
from autograder.grading import expect

CELL = "sdpa"
NAME = "scaled_dot_product_attention"
SHAPES = [  # leading dimensions, Tq, Tk, d_k, d_v
    ((2,), 3, 5, 4, 6),
    ((2, 3), 4, 7, 5, 2),
    ((), 5, 2, 3, 4),
    ((2, 1, 3), 2, 6, 7, 5),
    ((3, 2), 5, 5, 4, 4),
]


def inputs(draw, lead, queries, keys, d_k, d_v, scale=1.5):
    q, k = draw.normal(*lead, queries, d_k, scale=scale), draw.normal(*lead, keys, d_k, scale=scale)
    return q, k, draw.normal(*lead, keys, d_v)


def attend(student, q, k, v, *mask):
    """Output and weights, their shapes checked."""
    result = student.call(NAME, q, k, v, *mask)
    output, weights = expect.parts(result, 2, "(output, attention_weights)")
    expect.tensor(output, (*q.shape[:-1], v.shape[-1]))
    return output, expect.tensor(weights, (*q.shape[:-1], k.shape[-2]), what="the attention weights")


def check_values(student, reference, symptom, cause, *call):
    output, weights = attend(student, *call)
    expected_output, expected_weights = reference.call(NAME, *call)
    expect.close(weights, expected_weights, f"{symptom} The attention weights are wrong.", cause)
    expect.close(output, expected_output, f"{symptom} The output is wrong.", f"It is the weights times V. {cause}")


def with_scores(scores: torch.Tensor, d_k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys whose scaled products are exactly `scores` (Tq, Tk): one feature a query."""
    queries, keys = scores.shape
    q = torch.zeros(queries, d_k)
    q[:, :queries] = torch.eye(queries) * d_k**0.5
    k = torch.zeros(keys, d_k)
    k[:, :queries] = scores.T
    return q, k


@pytest.mark.points(3, cell=CELL, role="value")
def test_attention_values(student, reference, draw):
    """Without a mask the weights are softmax(Q K^T / sqrt(d_k)) and the output is their product with V"""
    for lead, queries, keys, d_k, d_v in SHAPES:
        check_values(
            student,
            reference,
            "Without a mask:",
            "Check the scaling (the square root of which size?), the axis of the softmax, and that only the last two "
            "axes take part, whatever stands before them.",
            *inputs(draw, lead, queries, keys, d_k, d_v),
        )


@pytest.mark.points(2, cell=CELL)
def test_attention_mask(student, reference, draw):
    """Where the mask is 0 or False the key is forbidden, and the other weights share the whole"""
    for lead, queries, keys, d_k, d_v in SHAPES:
        mask = draw.mask(*lead, queries, keys)
        for kind in (torch.bool, torch.int64, torch.float32):
            check_values(
                student,
                reference,
                "With a mask:",
                "0 and False forbid, 1 and True allow. A forbidden score must lose before the softmax, so that the "
                "allowed weights of a row still sum to 1; masks of bool, int and float all count.",
                *inputs(draw, lead, queries, keys, d_k, d_v),
                mask.to(kind),
            )


@pytest.mark.points(1, cell=CELL)
def test_attention_mask_broadcasts(student, reference, draw):
    """A mask with fewer or shorter axes broadcasts to the scores"""
    lead, queries, keys = (2, 3), 4, 5
    for shape in (
        (queries, keys),
        (2, 1, 1, keys),
        (1, 3, queries, keys),
        (3, 1, keys),
        (2, 1, queries, keys),
    ):
        check_values(
            student,
            reference,
            "With a mask that broadcasts:",
            "The mask need not have the shape of the scores; broadcasting follows PyTorch's rules, and nothing needs "
            "to be unsqueezed here.",
            *inputs(draw, lead, queries, keys, 6, 2),
            draw.mask(*shape),
        )


@pytest.mark.points(2, cell=CELL)
def test_attention_at_extreme_scores(student, reference, draw):
    """Forbidden keys get exactly 0 and rows stay finite for scores of any size up to 6e4"""
    value = draw.normal(4, 3)
    allowed, forbidden = (draw.uniform(0.9, 1.0, (3,)) for _ in range(2))
    for size in (1.0, 90.0, 2e3, 6e4):
        for sign, other in ((-1, 0.0), (-1, 1.0), (1, -1.0), (1, 1.0)):
            scores = torch.zeros(3, 4)
            scores[:, :2] = (sign * size * allowed)[:, None] + torch.tensor([0.0, 0.5])
            scores[:, 2:] = (other * size * forbidden)[:, None] + torch.tensor([0.0, -0.25])
            q, k = with_scores(scores, 5)
            for mask in (None, torch.tensor([1, 1, 0, 0]).expand(3, 4)):
                output, weights = attend(student, q, k, value, *(() if mask is None else (mask,)))
                expected_output, expected_weights = reference.call(NAME, q, k, value, mask)
                expect.that(
                    mask is None or not bool(weights[:, 2:].any()),
                    "A forbidden key gets weight when scores are large.",
                    "Allowed scores may be as low as -60000: the value that stands for 'forbidden' must lie far below.",
                )
                expect.close(
                    weights,
                    expected_weights,
                    "With large scores the attention weights are wrong.",
                    "Scores may reach 60000 in size: is anything multiplied, added or divided after the exponential?",
                    atol=1e-2,  # float32 resolves scores near 6e4 to 0.004
                )
                expect.close(output, expected_output, "With large scores the output is wrong.", atol=3e-2)


@pytest.mark.points(2, cell=CELL)
def test_attention_dropout(student, draw):
    """The dropout module acts on the weights before they meet V"""
    q, k, _ = inputs(draw, (30,), 5, 6, 4, 1, scale=0.7)
    v = draw.orthogonal(6).expand(30, 6, 6)  # its inverse shows which weights met the values
    mask = draw.mask(30, 5, 6)
    what, where = "the attention weights", "The module takes the weights after the softmax and gives those that meet V."
    for p, given in ((0.5, None), (0.25, mask), (0.0, None)):
        options = {"q": q, "k": k, "v": v, "mask": given, "p": p, "draw_seed": draw.seed()}
        output, weights = (
            expect.tensor(part)
            for part in expect.parts(
                student.drive("attention_dropout", train=False, **options), 2, "(output, attention_weights)"
            )
        )
        expect.tensor(weights, (30, 5, 6), what="the attention weights")
        expect.close(
            output,
            weights @ v,
            "With a dropout module in evaluation mode the output is not the weights times V.",
            "Use the module that was given: it knows its own mode and rate.",
        )
        expect.that(float(weights.std()) > 0.02, "All attention weights are the same.", "They depend on Q and K.")
        dropped, _ = expect.parts(
            student.drive("attention_dropout", train=True, **options), 2, "(output, attention_weights)"
        )
        check_dropout(expect.tensor(dropped, (30, 5, 6)) @ v.transpose(-2, -1), weights, p, what, where)


@pytest.mark.points(1, cell=CELL, role="property")
def test_attention_properties(student, draw):
    """Rows sum to 1, the order of the keys does not matter, and the output is linear in V"""
    q, k, v = inputs(draw, (2, 3), 4, 6, 5, 7)
    mask = draw.mask(2, 3, 4, 6)
    order = draw.derangement(6)
    for given, moved in (((), ()), ((mask,), (mask[..., order],))):
        output, weights = attend(student, q, k, v, *given)
        expect.that(bool((weights >= 0).all()), "Attention weights are negative.", "What does the softmax guarantee?")
        expect.close(
            weights.sum(-1),
            torch.ones(2, 3, 4),
            "The attention weights of a query do not sum to 1.",
            "The softmax runs over the keys, and nothing changes the weights after it.",
        )
        moved_output, moved_weights = attend(student, q, k[..., order, :], v[..., order, :], *moved)
        expect.close(
            moved_output,
            output,
            "The output changes when keys and values change places together.",
            "Attention knows nothing of position: each value goes with its key.",
        )
        expect.close(moved_weights, weights[..., order], "The weights do not follow the keys when those change places.")
        other = draw.normal(*v.shape)
        sum_of_both = attend(student, q, k, other, *given)[0] + 2 * output
        expect.close(
            attend(student, q, k, other + 2 * v, *given)[0],
            sum_of_both,
            "The output is not linear in V.",
            "Each output is a weighted sum of values; V takes part in nothing else.",
            atol=1e-4,
        )


@pytest.mark.points(1, cell=CELL, role="property")
def test_attention_inputs_and_gradients(student, reference, draw):
    """Q, K, V and the mask stay as they were and receive the right gradients"""
    q, k, v = inputs(draw, (2,), 4, 6, 5, 3)
    for mask in (None, draw.mask(2, 4, 6), draw.mask(2, 4, 6).float()):
        given = {"q": q, "k": k, "v": v} | ({} if mask is None else {"mask": mask})
        after = student.drive("inputs_after", name=NAME, inputs=given)
        for key, tensor in given.items():
            expect.close(
                after[key],
                tensor,
                "The function changes one of its inputs in place.",
                "Methods that end in an underscore, and operators such as /=, write into the tensor of the caller.",
                atol=0,
                rtol=0,
                detail=f"It changes {key}.",
            )
        if mask is None or not mask.is_floating_point():
            check_gradients(student, reference, draw, (2, 4, 3), name=NAME, inputs=given)
