"""LayerNorm: values, the place of eps, parameters and gradients."""

import pytest
import torch

from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect
from autograder.testing.draw import Draw

CELL = "layer-norm"
NAME = "LayerNorm"


def _rows(draw: Draw, shape: tuple[int, ...]) -> torch.Tensor:
    """Random rows (*shape), none of them nearly constant: there eps and rounding would decide, not the formula."""
    x = draw.normal(*shape)
    x = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, unbiased=False)
    return x * draw.uniform(0.5, 3.0, (*shape[:-1], 1)) + draw.normal(*shape[:-1], 1, scale=2.0)


@pytest.mark.points(2, cell=CELL, role="value")
def test_norm_values(student, reference, draw):
    """Each token is normalised over its features, then scaled by gamma and shifted by beta"""
    for shape in ((2, 5, 3), (7, 4), (2, 3, 4, 6), (3, 9, 32), (2, 2)):
        theirs, ours = twins(student, reference, draw, NAME, shape[-1], eps=1e-6)
        x = _rows(draw, shape)
        expect.close(
            expect.tensor(theirs.forward(x), shape),
            ours.forward(x),
            "The output is not the normalised input times gamma plus beta.",
            "Mean and variance run over the last dimension only, and the variance is the biased one (divide by n, "
            "not by n - 1).",
            atol=1e-4,
        )


@pytest.mark.points(1, cell=CELL)
def test_norm_eps(student, reference, draw):
    """eps stands inside the root, with 1e-6 as its default"""
    cause = "What is under the root? It also keeps a row of equal values finite."
    for width, scale, options in ((5, 0.3, {"eps": 0.5}), (7, 0.02, {"eps": 1e-2}), (6, 1e-3, {}), (4, 3e-4, {})):
        theirs, ours = twins(student, reference, draw, NAME, width, **options)
        x = draw.normal(3, 4, width, scale=scale)
        expect.close(
            expect.tensor(theirs.forward(x), x.shape),
            ours.forward(x),
            "On rows whose values lie close together the output is wrong: eps is not used as it should be.",
            cause,
            atol=1e-3,
        )
        flat = torch.full((2, 3, width), 0.5)
        expect.close(
            expect.tensor(theirs.forward(flat), flat.shape),
            ours.forward(flat),
            "On rows of equal values the output is not beta.",
            cause,
            atol=1e-3,
        )


@pytest.mark.points(1, cell=CELL)
def test_norm_parameters(student, reference, draw):
    """gamma starts at ones, beta at zeros, and both learn"""
    parameters = student.build(NAME, 5).parameters()
    for name, value in (("gamma", 1.0), ("beta", 0.0)):
        expect.that(
            name in parameters,
            f"{name} is not a parameter.",
            "An optimizer finds only what is wrapped in nn.Parameter.",
            f"The parameters are {expect.described(list(parameters))}.",
        )
        found = expect.tensor(parameters[name], (5,), what=name)
        expect.close(found, torch.full((5,), value), f"{name} does not start at the right value.", "Ones and zeros.")
    for scale in (1.0, 1e-3):
        check_gradients(
            student,
            reference,
            draw,
            (2, 4, 5),
            name=NAME,
            init={"features": 5, "eps": 1e-6},
            state=state_for(reference, draw, NAME, 5),
            inputs={"x": draw.normal(2, 4, 5, scale=scale)},
        )
