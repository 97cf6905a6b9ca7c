"""Random logits for graders."""

from typing import Any

from jaxtyping import Float
from torch import Tensor


def distinct(draw: Any, size: int, scale: float = 2.0) -> Float[Tensor, " size"]:
    """Logits in random order around 0, neighbours in value between 0.15 and 0.5 times `scale` apart."""
    steps = draw.uniform(0.15, 0.5, (size,)) * scale
    return steps.cumsum(0)[draw.permutation(size)] - float(steps.sum()) / 2


def lead(logits: Float[Tensor, " V"]) -> float:
    """How far the largest logit is ahead of the next."""
    first, second = logits.topk(2).values.tolist()
    return first - second
