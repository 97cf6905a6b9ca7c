"""How graders judge a mask: forbidden keys get nothing, and the allowed ones share the whole as they did before.

The weights without a mask are the student's own, so that a mistake in them does not cost these points, too.
"""

from jaxtyping import Float
from torch import Tensor

from autograder.testing import expect


def check_masked(weights: Float[Tensor, "*b Tq Tk"], free: Float[Tensor, "*b Tq Tk"], mask: Tensor) -> None:
    """`weights` must be what `mask`, which broadcasts to them, makes of the weights `free` without it."""
    allowed = (mask != 0).expand_as(free)
    expect.that(
        float(free.std()) > 0.01,
        "All attention weights are the same.",
        "They should depend on queries and keys.",
    )
    expect.that(
        not bool(weights[~allowed].any()),
        "Forbidden keys get attention weight.",
        "A key is forbidden where the mask is 0 or False. Is the mask used, passed on, and not inverted?",
    )
    kept = free.double() * allowed
    expect.close(
        weights,
        kept / kept.sum(-1, keepdim=True),
        "With a mask, the weights of the allowed keys are wrong.",
        "Exclude forbidden keys before the softmax: then the allowed weights sum to 1 and keep their proportions.",
        atol=1e-3,
    )
