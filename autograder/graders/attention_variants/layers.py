"""How the encoder's and the decoder's layers are judged: which tensor dropout acts on, and at which rate.

A layer is given parameters with which one sublayer adds the same vector to every token and the others add nothing. Then
the output shows which of the vector's features dropout has taken away.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.graders.oracles.dropout import check_rate
from autograder.testing import expect

CLOSE = 5e-3  # between the outputs of two patterns of dropout lie several tenths

State = dict[str, Tensor]


class Sublayer(NamedTuple):
    """The path of its last linear layer, of its norm, and what students read."""

    last: str
    norm: str
    what: str


def silenced(state: State, layers: list[str]) -> State:
    """`state` with these linear layers at zero."""
    quiet = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    return {path: torch.zeros_like(value) if path in quiet else value for path, value in state.items()}


def norm(state: State, path: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{path}.weight"], state[f"{path}.bias"])


def outputs_for(state: State, sublayers: list[Sublayer], number: int, x: Tensor, added: Tensor, first: bool) -> Tensor:
    """The layer's output where sublayer `number` adds `added` and the others nothing; `first`: norms come first."""
    if first:
        return x + added
    for place, one in enumerate(sublayers):
        x = norm(state, one.norm, x + added if place == number else x)
    return x


def check_dropout_of(
    build: Callable[..., Any],
    call: Callable[..., Tensor],
    draw: Any,
    state: State,
    sublayers: list[Sublayer],
    number: int,
    d: int,
    first: bool = False,
) -> None:
    """Dropout acts on the output of sublayer `number`, before it is added, in training mode only.

    `build(state, **options)` gives the layer; `call(layer, x, **options)` its output for x (B, T, d).
    """
    one = sublayers[number]
    vector = draw.uniform(1.0, 2.0, (d,)) * (2 * draw.integers(0, 2, (d,)) - 1)
    quiet = silenced(state, [s.last for s in sublayers]) | {f"{one.last}.bias": vector}
    x = draw.normal(10, 12, d)
    patterns = torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)))
    for p, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        layer = build(quiet, **options)
        found = call(layer, x, train=True, seed=draw.seed()).flatten(0, 1)  # (N, d)
        left = patterns[:, None] * vector / (1 - p)  # (2**d, 1, d)
        apart = (outputs_for(quiet, sublayers, number, x.flatten(0, 1), left, first) - found).abs().amax(-1)
        expect.that(
            bool((apart.amin(0) < CLOSE).all()),
            f"In training mode, dropout does not act on {one.what}, or acts on something else as well.",
            "It stands inside the sum, before the residual connection adds what the sublayer was given.",
        )
        pattern = patterns[apart.argmin(0)]
        check_rate(int((pattern == 0).sum()), pattern.numel(), p, one.what)
        expect.that(
            torch.equal(*(call(layer, x, seed=draw.seed()) for _ in range(2))),
            "In evaluation mode the output is random.",
            "A dropout module knows whether the model is in training mode; a bare function does not.",
        )


def check_inner_dropout(
    build: Callable[..., Any],
    call: Callable[..., Tensor],
    draw: Any,
    state: State,
    sublayers: list[Sublayer],
    number: int,
    d: int,
    inside: Callable[[State, Tensor], Tensor],
    first: bool = False,
) -> None:
    """Sublayer `number` has dropout of its own: the rate reaches it.

    `inside(state, x)` is what the sublayer gives for the tokens x that reach it, without dropout.
    """
    quiet = silenced(state, [s.last for place, s in enumerate(sublayers) if place != number])
    x = draw.normal(6, 8, d)
    before = x
    for one in sublayers[:number]:
        before = before if first else norm(quiet, one.norm, before)
    before = norm(quiet, sublayers[number].norm, before) if first else before
    added = inside(quiet, before).flatten(0, 1)
    patterns = torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)))[:, None]
    found = call(build(quiet, dropout=0.5), x, train=True, seed=draw.seed()).flatten(0, 1)
    expected = outputs_for(quiet, sublayers, number, x.flatten(0, 1), patterns * added / 0.5, first)
    explained = (expected - found).abs().amax(-1).amin(0) < CLOSE
    expect.that(
        float(explained.float().mean()) < 0.5,
        "In training mode there is no dropout inside one of the sublayers.",
        "Is the rate handed on to every part that takes one?",
    )


def check_no_dropout(build: Callable[..., Any], call: Callable[..., Tensor], draw: Any, state: State, d: int) -> None:
    """dropout=0.0 reaches every part."""
    layer, x = build(state, dropout=0.0), draw.normal(3, 5, d)
    expect.close(
        call(layer, x, train=True, seed=draw.seed()),
        call(layer, x),
        "With dropout=0.0 training mode and evaluation mode differ.",
        "Is the rate handed on to every part that takes one?",
        atol=1e-4,
    )
