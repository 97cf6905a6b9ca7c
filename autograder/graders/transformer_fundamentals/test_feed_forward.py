"""FeedForward: values, the place of dropout, gradients."""

import pytest

from autograder.graders.oracles.dropout import check_dropout
from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "feed-forward"
NAME = "FeedForward"


@pytest.mark.points(2, cell=CELL, role="value")
def test_feed_forward_values(student, reference, draw):
    """linear1, ReLU, linear2, for each token on its own"""
    for batch, tokens, d, d_ff in ((2, 5, 6, 10), (3, 4, 7, 5), (1, 1, 3, 12)):
        theirs, ours = twins(student, reference, draw, NAME, d, d_ff)
        for scale in (1.0, 5.0):
            x = draw.normal(batch, tokens, d, scale=scale)
            expect.close(
                expect.tensor(theirs.forward(x), x.shape),
                ours.forward(x),
                "The output is not linear2(ReLU(linear1(x))).",
                "Which activation stands between the two layers, and does anything else?",
            )


@pytest.mark.points(1, cell=CELL, chance=True)
def test_feed_forward_dropout(student, reference, draw):
    """Dropout acts between the two layers, in training mode only"""
    batch, tokens, d, d_ff = 20, 6, 12, 9
    state = state_for(reference, draw, NAME, d, d_ff)
    state["linear2.weight"] = draw.orthogonal(d)[:, :d_ff]  # d >= d_ff: its transpose gives back the hidden values
    x = draw.normal(batch, tokens, d, scale=2.0)
    where = "It stands after the activation and before the second layer, and nowhere else."

    def hidden(handle, **options):
        output = expect.tensor(handle.forward(x, seed=draw.seed(), **options), x.shape)
        return (output - state["linear2.bias"]) @ state["linear2.weight"]

    for p, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        handle = student.build(NAME, d, d_ff, state=state, **options)
        handle.attribute("dropout")
        full, again = hidden(handle), hidden(handle)
        expect.that(
            bool((full == again).all()),
            "In evaluation mode the output is random.",
            "A dropout module knows whether the model is in training mode; a bare function does not.",
        )
        dropped = hidden(handle, train=True)
        check_dropout(dropped, full, p, "the hidden values between the two layers", where)


@pytest.mark.points(1, cell=CELL, role="property")
def test_feed_forward_gradients(student, reference, draw):
    """Every weight and bias receives its gradient, and tokens do not mix"""
    init = {"d_model": 6, "d_ff": 10}
    state = state_for(reference, draw, NAME, **init)
    x = draw.normal(2, 5, 6)
    check_gradients(student, reference, draw, (2, 5, 6), name=NAME, init=init, state=state, inputs={"x": x})
    handle = student.build(NAME, **init, state=state)
    order = draw.derangement(5)
    expect.close(
        handle.forward(x[:, order]),
        expect.tensor(handle.forward(x), x.shape)[:, order],
        "Moving the tokens does not move the outputs in the same way.",
        "Each token goes through the same two layers on its own.",
    )
