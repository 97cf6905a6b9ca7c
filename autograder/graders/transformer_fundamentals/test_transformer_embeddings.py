"""TransformerEmbeddings: tokens, then positions, then dropout."""

import pytest

from autograder.graders.oracles.dropout import check_dropout
from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "transformer-embeddings"
NAME = "TransformerEmbeddings"


@pytest.mark.points(2, cell=CELL, role="value")
def test_embeddings_values(student, reference, draw):
    """Without dropout the output is the scaled token vectors plus the encodings"""
    for args, batch, tokens in (((11, 6, 20), 2, 5), ((30, 14, 9), 3, 9), ((9, 8), 2, 4)):
        theirs, ours = twins(student, reference, draw, NAME, *args)
        ids = draw.integers(0, args[0], (batch, tokens))
        output = expect.tensor(theirs.forward(ids), (batch, tokens, args[1]))
        expect.close(
            output,
            ours.forward(ids),
            "The output is not the token embedding plus the position encoding.",
            "Is each part used once, in order, and is sqrt(d_model) applied once?",
            atol=1e-3,
        )
        expect.tensor(
            theirs.attribute("pos_encoding.pe"),
            (args[2] if len(args) > 2 else 512, args[1]),
            what="pos_encoding.pe, which should have max_length rows,",
        )
    check_gradients(
        student,
        reference,
        draw,
        (2, 4, 6),
        skip_row_0_of="token_embedding.embedding.weight",
        name=NAME,
        init={"vocab_size": 10, "d_model": 6, "max_length": 8},
        state=state_for(reference, draw, NAME, 10, 6, 8),
        inputs={"x": draw.integers(1, 10, (2, 4))},
    )


@pytest.mark.points(2, cell=CELL, chance=True)
def test_embeddings_dropout(student, reference, draw):
    """Dropout acts last, on the sum, and in training mode only"""
    what = "the sum of tokens and positions"
    where = "Tokens first, then positions, then dropout: nothing is added after it."
    vocab_size, d = 40, 16
    state = state_for(reference, draw, NAME, vocab_size, d, 30)
    ids = draw.integers(0, vocab_size, (8, 25))
    for p, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        handle = student.build(NAME, vocab_size, d, 30, state=state, **options)
        handle.attribute("dropout")
        full, again = (expect.tensor(handle.forward(ids, seed=draw.seed()), (8, 25, d)) for _ in range(2))
        expect.that(
            bool((full == again).all()),
            "In evaluation mode the output is random.",
            "A dropout module knows whether the model is in training mode; a bare function does not.",
        )
        expect.that(
            bool((full[0, 0] != full[0, 1]).any()) and float(full.abs().mean()) > 0.1,
            "In evaluation mode the output hardly depends on the input.",
        )
        check_dropout(handle.forward(ids, train=True, seed=draw.seed()), full, p, what, where)
