"""PositionalEncoding: the buffer against the formula, and what forward does with it."""

import pytest
import torch

from autograder.graders.oracles.twins import check_gradients
from autograder.testing import expect

CELL = "positional-encoding"
NAME = "PositionalEncoding"
DRIFT = 1e-3  # the textbook formula in float32 is off by up to 2e-4 at high positions


def formula(length: int, d: int) -> torch.Tensor:
    """Vaswani et al. 2017, section 3.5, in float64: (length, d)."""
    angle = torch.arange(length).double()[:, None] / 10000 ** (torch.arange(0, d, 2).double() / d)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def encodings(student, d, *length):
    handle = student.build(NAME, d, *length)
    pe = expect.tensor(handle.attribute("pe"), (*(length or (512,)), d), what="pe")
    expect.that(
        bool((pe[1:] != pe[:-1]).any(-1).all()),
        "pe holds the same values at different positions.",
        "Each position has its own encoding.",
    )
    return handle, pe


@pytest.mark.points(3, cell=CELL, role="value")
def test_position_values(student):
    """pe follows the formula, position by position and feature by feature"""
    for d, length in ((6, 20), (32, 50), (14, 9), (2, 5), (64, 700)):
        _, pe = encodings(student, d, length)
        expected = formula(length, d)
        expect.close(
            pe[0],
            expected[0],
            "The encoding of position 0 is wrong.",
            "At position 0 every sine is 0 and every cosine is 1: which columns are which, and where does p start?",
            atol=DRIFT,
        )
        expect.close(
            pe[:, :2],
            expected[:, :2],
            "The first two columns of pe are wrong.",
            "Their frequency is 1: the sine and the cosine of the position itself, in radians.",
            atol=DRIFT,
        )
        expect.close(
            pe,
            expected,
            "pe does not follow the formula.",
            "Look at the frequencies: columns 2i and 2i+1 share one, and the exponent runs from 0 to just below 1.",
            atol=DRIFT,
        )


@pytest.mark.points(2, cell=CELL)
def test_position_adds_the_first_rows(student, draw):
    """forward adds pe[:T] to every text of the batch"""
    for d, length, batch, tokens in ((6, 20, 3, 7), (10, 12, 2, 12), (16, 9, 1, 5), (8, 30, 4, 1)):
        handle, pe = encodings(student, d, length)
        x = draw.normal(batch, tokens, d, scale=2.0)
        for train in (False, True):
            output = handle.forward(x, train=train)
            expect.tensor(output, x.shape)
            expect.that(
                output.dtype == torch.float32,
                "The output is not float32, although the input is.",
                "pe may be computed in float64, but must be stored in the dtype of the model.",
            )
            expect.close(
                output,
                x + pe[:tokens],
                "forward does not add the first T rows of pe to each text.",
                "pe has a row for each position and the input is (B, T, d): along which axis do you cut, and is "
                "anything else done to the input (scaling, dropout)?",
                atol=1e-4,
            )


@pytest.mark.points(1, cell=CELL)
def test_position_leaves_its_input(student, reference, draw):
    """The input stays as it was, and gradients pass through"""
    x = draw.normal(2, 5, 6)
    init = {"d_model": 6, "max_length": 9}
    output = expect.tensor(student.build(NAME, **init).forward(x), x.shape)
    expect.that(bool((output != x).any()), "The output is the input.", "Where are the encodings added?")
    after = student.drive("inputs_after", name=NAME, init=init, inputs={"x": x})
    expect.close(
        after["x"],
        x,
        "forward changes its input in place.",
        "An operator such as += writes into the tensor of the caller, who may still need it.",
        atol=0,
        rtol=0,
    )
    check_gradients(student, reference, draw, (2, 5, 6), name=NAME, init=init, state={}, inputs={"x": x})


@pytest.mark.points(1, cell=CELL)
def test_position_buffer(student):
    """pe is a buffer of 512 positions by default, not a parameter, and moves with the module"""
    encodings(student, 10)
    found = student.drive("registered", name=NAME, init={"d_model": 6, "max_length": 9}, tensor="pe")
    expect.that(
        not found["parameter"],
        "pe is a parameter.",
        "The optimizer would change a parameter; pe stays fixed. A module can hold tensors that it does not learn.",
    )
    expect.that(
        found["buffer"] and found["device_after_move"] == "meta",
        "pe does not move with the module.",
        "A tensor in a plain attribute stays behind when .to(device) is called; a registered buffer does not.",
    )


@pytest.mark.points(1, cell=CELL, role="property")
def test_position_unit_circle(student, draw):
    """Each pair of columns holds a sine and a cosine of one angle"""
    d = 2 * draw.integer(3, 20)
    _, pe = encodings(student, d, 60)
    sine, cosine = pe[:, 0::2].double(), pe[:, 1::2].double()
    expect.close(
        sine**2 + cosine**2,
        torch.ones(60, d // 2),
        "sin^2 + cos^2 is not 1 in a pair of columns.",
        "Columns 2i and 2i+1 belong to the same angle.",
        atol=DRIFT,
    )
    step = draw.integer(1, 9)
    products = (pe[:-step].double() * pe[step:].double()).sum(-1)
    expect.close(
        products,
        products[:1].expand_as(products),
        "The product of two encodings depends on more than the distance between their positions.",
        "Each pair turns by the same angle from one position to the next.",
        atol=d * DRIFT,
    )
