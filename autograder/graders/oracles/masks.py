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
        float(free.std()) > 0.01, "All attention weights are the same.", "They depend on the queries and the keys."
    )
    expect.that(
        not bool(weights[~allowed].any()),
        "Forbidden keys get attention weight.",
        "Where the mask is 0 or False the key is forbidden. Is the mask used, handed on, and the right way round?",
    )
    kept = free.double() * allowed
    expect.close(
        weights,
        kept / kept.sum(-1, keepdim=True),
        "With a mask, the allowed keys do not share the whole attention as they should.",
        "A forbidden score must lose before the softmax: then the allowed weights sum to 1 and keep their proportions.",
        atol=1e-3,
    )
