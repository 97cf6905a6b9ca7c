"""scaled_dot_product_attention: values, masks of any kind, extreme scores, dropout, properties."""

import pytest
import torch

from autograder.graders.oracles.dropout import check_dropout
from autograder.graders.oracles.masks import check_masked
from autograder.graders.oracles.twins import check_gradients
from autograder.testing import expect

CELL = "sdpa"
NAME = "scaled_dot_product_attention"
SHAPES = [  # leading dimensions, Tq, Tk, d_k, d_v
    ((2,), 3, 5, 4, 6),
    ((2, 3), 4, 7, 5, 2),
    ((), 5, 2, 3, 4),
    ((2, 1, 3), 2, 6, 7, 5),
    ((3, 2), 5, 5, 4, 4),
    ((4,), 1, 3, 5, 2),
]


def inputs(draw, lead, queries, keys, d_k, d_v, scale=1.5):
    q, k = draw.normal(*lead, queries, d_k, scale=scale), draw.normal(*lead, keys, d_k, scale=scale)
    return q, k, draw.normal(*lead, keys, d_v)


def attend(student, q, k, v, **mask):
    """Output and weights, their shapes checked."""
    result = student.call(NAME, q, k, v, **mask)
    output, weights = expect.parts(result, 2, "(output, attention_weights)")
    expect.tensor(output, (*q.shape[:-1], v.shape[-1]))
    return output, expect.tensor(weights, (*q.shape[:-1], k.shape[-2]), what="the attention weights")


def check_mask(student, q, k, v, mask):
    """The weights under a mask, against those without it; the output, against the weights."""
    _, free = attend(student, q, k, v)
    output, weights = attend(student, q, k, v, mask=mask)
    check_masked(weights, free, mask)
    expect.close(output, weights @ v, "With a mask, the output is not the weights times V.", atol=1e-4)


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
    cause = (
        "Check the scaling (the square root of which size?), the axis of the softmax, and that only the last two axes "
        "take part, whatever stands before them."
    )
    for lead, queries, keys, d_k, d_v in SHAPES:
        call = inputs(draw, lead, queries, keys, d_k, d_v)
        output, weights = attend(student, *call)
        expected_output, expected_weights = reference.call(NAME, *call)
        expect.close(weights, expected_weights, "The attention weights are wrong.", cause)
        expect.close(output, expected_output, "The output is wrong.", f"It is the weights times V. {cause}")


@pytest.mark.points(2, cell=CELL)
def test_attention_mask(student, draw):
    """Where the mask is 0 or False the key is forbidden, and the other keys share the whole"""
    for lead, queries, keys, d_k, d_v in SHAPES:
        mask = draw.mask(*lead, queries, keys)
        for kind in (torch.bool, torch.int64, torch.float32):
            check_mask(student, *inputs(draw, lead, queries, keys, d_k, d_v), mask.to(kind))


@pytest.mark.points(1, cell=CELL)
def test_attention_mask_broadcasts(student, draw):
    """A mask with fewer or shorter axes broadcasts to the scores"""
    queries, keys = 4, 5
    for shape in ((queries, keys), (2, 1, 1, keys), (1, 3, queries, keys), (3, 1, keys), (2, 1, queries, keys)):
        check_mask(student, *inputs(draw, (2, 3), queries, keys, 6, 2), draw.mask(*shape))
    # sizes that agree with leading ones
    for lead, shape in (((4,), (4, 4)), ((4, 3), (4, 4)), ((3, 3), (3, 4, 4)), ((4, 2), (4, 1, 4, 4))):
        check_mask(student, *inputs(draw, lead, 4, 4, 6, 2), draw.mask(*shape))


@pytest.mark.points(2, cell=CELL)
def test_attention_at_extreme_scores(student, draw):
    """Forbidden keys get exactly 0 and rows stay finite for scores of any size up to 6e4"""
    v = draw.normal(4, 3)
    mask = torch.tensor([1, 1, 0, 0]).expand(3, 4)
    for size in (200.0, 2e3, 6e4):
        rows = size * draw.uniform(0.9, 1.0, (3, 1))
        # scores are equal or far apart, so that a wrong scaling alone does not matter here
        for allowed, forbidden in ((-1, 0), (-1, 1), (1, -1), (1, 1), (0, 1)):
            q, k = with_scores(rows * torch.tensor([allowed, allowed, forbidden, forbidden]), 5)
            output, weights = attend(student, q, k, v, mask=mask)
            expect.that(
                not bool(weights[:, 2:].any()),
                "A forbidden key gets weight when scores are large.",
                "Allowed scores may be as low as -60000: the value that stands for 'forbidden' must lie far below.",
            )
            expect.close(
                weights[:, :2],
                torch.full((3, 2), 0.5),
                "With large scores and a mask, two allowed keys with equal scores do not share the attention equally.",
                "Is anything multiplied, added or divided after the exponential?",
                atol=1e-3,
            )
            expect.close(output, weights @ v, "With large scores the output is not the weights times V.", atol=1e-3)
        for steps in ((1.0, 0.8, 0.6, 0.4), (-1.0, -0.8, -0.6, -0.4), (0.0, -0.5, 1.0, 0.2)):
            q, k = with_scores(rows * torch.tensor(steps), 5)
            best = torch.tensor(steps).argmax()
            expect.close(
                attend(student, q, k, v)[1],
                torch.eye(4)[best].expand(3, 4),
                "With scores that lie far apart, the key with the largest does not get all the attention.",
                "Scores may reach 60000 in size: does an exponential overflow, and is anything cut off?",
                atol=1e-3,
            )


@pytest.mark.points(2, cell=CELL, chance=True)
def test_attention_dropout(student, draw):
    """The dropout module acts on the weights before they meet V"""
    q, k, _ = inputs(draw, (30,), 5, 6, 4, 1, scale=0.7)
    v = draw.orthogonal(6).expand(30, 6, 6)  # its inverse shows which weights met the values
    mask = draw.mask(30, 5, 6)
    what, where = "the attention weights", "The module takes the weights after the softmax and gives those that meet V."
    for p, given in ((0.5, None), (0.25, mask), (0.0, None)):
        options = {"q": q, "k": k, "v": v, "mask": given, "p": p, "draw_seed": draw.seed()}
        output, weights = expect.parts(
            student.drive("attention_dropout", train=False, **options), 2, "(output, attention_weights)"
        )
        expect.tensor(weights, (30, 5, 6), what="the attention weights")
        expect.tensor(output, (30, 5, 6))
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
    for given, moved in (({}, {}), ({"mask": mask}, {"mask": mask[..., order]})):
        output, weights = attend(student, q, k, v, **given)
        expect.that(bool((weights >= 0).all()), "Attention weights are negative.", "What does the softmax guarantee?")
        expect.close(
            weights.sum(-1),
            torch.ones(2, 3, 4),
            "The attention weights of a query do not sum to 1.",
            "The softmax runs over the keys, and nothing changes the weights after it.",
        )
        moved_output, moved_weights = attend(student, q, k[..., order, :], v[..., order, :], **moved)
        expect.close(
            moved_output,
            output,
            "The output changes when keys and values change places together.",
            "Attention knows nothing of position: each value goes with its key.",
        )
        expect.close(moved_weights, weights[..., order], "The weights do not follow the keys when those change places.")
        other = draw.normal(*v.shape)
        sum_of_both = attend(student, q, k, other, **given)[0] + 2 * output
        expect.close(
            attend(student, q, k, other + 2 * v, **given)[0],
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
