"""How graders judge dropout: each entry is either gone or scaled up, and the share that is gone is p."""

from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from autograder.testing import expect


def check_dropout(
    dropped: Float[Tensor, "*b features"],
    full: Float[Tensor, "*b features"],
    p: float,
    what: str,
    where: str,
    atol: float = 1e-3,
) -> None:
    """`dropped` must be `full` with dropout at rate `p`; `what` and `where` are fixed texts for the message."""
    expect.tensor(dropped, full.shape, what="the output in training mode")  # NaN would be neither wrong nor gone
    visible = full.abs() > 0.02
    kept = full / (1 - p)
    gone = visible & (dropped.abs() < kept.abs() / 2)
    wrong = (dropped - torch.where(gone, torch.zeros_like(kept), kept)).abs() > atol + 0.01 * kept.abs()
    expect.that(
        not bool((wrong & visible).any()),
        f"In training mode, dropout does not act on {what}, or acts on something else as well.",
        where,
    )
    check_rate(int(gone.sum()), int(visible.sum()), p, what)
    rows = visible.flatten(0, -2)
    mixed = gone.flatten(0, -2)
    uniform = ((mixed == rows).all(-1) | (~mixed).all(-1)) & (rows.sum(-1) > 3)
    expect.that(
        p != 0.5 or float(uniform.float().mean()) < 0.5,
        f"In training mode, dropout on {what} removes whole rows instead of single values.",
        "nn.Dropout decides for each value on its own.",
    )


def check_rate(gone: int, count: int, p: float, what: str) -> None:
    """`gone` of `count` entries were dropped; the rate must be `p` within five standard deviations."""
    spread = 5 * sqrt(p * (1 - p) / max(count, 1)) + 0.005
    expect.that(
        count > 0 and abs(gone / count - p) < spread,
        f"In training mode, dropout on {what} removes the wrong share of the values.",
        "Look at the probability that reaches nn.Dropout; its default in the signature is 0.1.",
        f"It removed {100 * gone / max(count, 1):.0f} %.",
    )
