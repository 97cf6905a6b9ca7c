"""TokenEmbedding: scaled vectors, initial weights, gradient."""

import pytest

from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "token-embedding"


@pytest.mark.points(2, cell=CELL, role="value")
def test_token_vectors(student, reference, draw):
    """Each id becomes its row of the weight times sqrt(d_model)"""
    for vocab_size, d, shape in ((11, 6, (2, 5)), (30, 13, (4, 3)), (7, 24, (1, 1))):
        theirs, ours = twins(student, reference, draw, "TokenEmbedding", vocab_size, d)
        ids = draw.integers(0, vocab_size, shape)
        ids[0, 0] = 0  # PAD has a row like any other
        for train in (False, True):
            output = expect.tensor(theirs.forward(ids, train=train), (*shape, d))
            expect.close(
                output,
                ours.forward(ids),
                "The output is not the looked-up vectors times sqrt(d_model).",
                "Compare one vector with its row of embedding.weight: which factor lies between them?",
            )


@pytest.mark.points(1, cell=CELL, chance=True)
def test_token_initial_weights(student, draw):
    """The weight starts normal with standard deviation d_model ** -0.5"""
    cause = "PyTorch starts an nn.Embedding at standard deviation 1; torch.nn.init has functions that set it."
    for d in (9, 32, 64):
        handle = student.build("TokenEmbedding", 1500, d, seed=draw.seed())
        weight = expect.tensor(handle.attribute("embedding.weight"), (1500, d), what="embedding.weight")
        weight = weight[1:].double()  # padding_idx=0 may have zeroed the first row
        std, mean = float(weight.std()), float(weight.mean())
        expect.that(
            abs(std * d**0.5 - 1) < 0.2,
            "The initial weights do not have standard deviation d_model ** -0.5.",
            cause,
            f"At d_model = {d} yours is {std:.3f}.",
        )
        expect.that(abs(mean) < 0.1 * d**-0.5, "The initial weights are not centred at 0.", cause)
        # a uniform distribution ends at 1.73 standard deviations; 7 % of a normal one lies beyond 1.8
        tail = float(((weight - mean).abs() > 1.8 * std).double().mean())
        expect.that(tail > 0.03, "The initial weights are not normally distributed.", cause)


@pytest.mark.points(1, cell=CELL, role="property")
def test_token_gradient(student, reference, draw):
    """The weight learns: a gradient reaches every row that was used"""
    init = {"vocab_size": 10, "d_model": 6}
    check_gradients(
        student,
        reference,
        draw,
        (3, 4, 6),
        skip_row_0_of="embedding.weight",
        name="TokenEmbedding",
        init=init,
        state=state_for(reference, draw, "TokenEmbedding", **init),
        inputs={"x": draw.integers(1, 10, (3, 4))},
    )
