"""MiniTransformer: logits with and without a mask, padding, order, gradients, dropout."""

import pytest
import torch

from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "mini-transformer"
NAME = "MiniTransformer"
SIZES = {
    "vocab_size": 23, "d_model": 12, "num_heads": 3, "num_layers": 2, "d_ff": 20, "max_length": 9, "num_classes": 4,
}  # fmt: skip
OTHER = {"vocab_size": 15, "d_model": 10, "num_heads": 2, "num_layers": 3, "d_ff": 7, "max_length": 5, "num_classes": 2}
TOLERANCE = 1e-3  # of the encodings, and torch's LayerNorm is allowed, whose default eps is another


def batch_of(draw, sizes, batch, tokens):
    """Token ids with PAD at the ends, and their mask; no two rows need have the same length."""
    lengths = draw.integers(2, tokens + 1, (batch,))
    lengths[0] = tokens
    lengths[1] = 2
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    return draw.integers(1, sizes["vocab_size"], (batch, tokens)) * mask, mask


def classify(handle, sizes, *args, **kwargs):
    """Logits and the list of weights, their shapes checked."""
    ids = args[0] if args else kwargs["input_ids"]
    batch, tokens = ids.shape
    logits, weights = expect.parts(handle.forward(*args, **kwargs), 2, "(logits, weights)")
    expect.tensor(logits, (batch, sizes["num_classes"]), what="the logits")
    what = "the weights, which should be a list with one tensor a layer"
    layers = expect.parts(weights, sizes["num_layers"], what)
    for layer in layers:
        expect.tensor(layer, (batch, sizes["num_heads"], tokens, tokens), what="a layer's attention weights")
    return logits, layers


@pytest.mark.points(2, cell=CELL)
def test_model_with_mask(student, reference, draw):
    """With a mask, logits and weights are those of the real tokens"""
    for sizes, batch, tokens in ((SIZES, 5, 7), (SIZES, 3, 9), (OTHER, 4, 5)):
        theirs, ours = twins(student, reference, draw, NAME, **sizes)
        ids, mask = batch_of(draw, sizes, batch, tokens)
        expected_logits, expected_weights = ours.forward(ids, mask)
        for logits, weights in (
            classify(theirs, sizes, ids, mask),
            classify(theirs, sizes, input_ids=ids, attention_mask=mask),
        ):
            for found, expected in zip(weights, expected_weights, strict=True):
                # what PAD queries attend to is left open
                real = mask[:, None, :, None]
                expect.that(
                    not bool((found * real * (1 - mask[:, None, None, :])).any()),
                    "With a mask, PAD tokens still receive attention.",
                    "The mask (B, T) is about keys: which shape broadcasts to (B, h, T, T) that way?",
                )
                expect.close(
                    found * real,
                    expected * real,
                    "With a mask, the attention weights of a layer are wrong.",
                    "Does each block take the output of the one before, and does each have its own parameters?",
                    atol=TOLERANCE,
                )
            expect.close(
                logits,
                expected_logits,
                "With a mask, the logits are wrong although the attention weights are right.",
                "ln_f normalises each token, then the mean runs over the real tokens only (by how many is the "
                "sum divided?), then comes the classifier.",
                atol=TOLERANCE,
            )


@pytest.mark.points(1, cell=CELL, role="value")
def test_model_without_mask(student, reference, draw):
    """Without a mask every position counts, PAD too"""
    for sizes, batch, tokens in ((SIZES, 5, 7), (OTHER, 4, 3)):
        theirs, ours = twins(student, reference, draw, NAME, **sizes)
        ids, _ = batch_of(draw, sizes, batch, tokens)
        expected_logits, expected_weights = ours.forward(ids)
        for logits, weights in (classify(theirs, sizes, ids), classify(theirs, sizes, input_ids=ids)):
            for found, expected in zip((*weights, logits), (*expected_weights, expected_logits), strict=True):
                expect.close(
                    found,
                    expected,
                    "Without a mask the result is wrong.",
                    "attention_mask may be missing: then the mean runs over all T positions, whatever their ids.",
                    atol=TOLERANCE,
                )


@pytest.mark.points(1, cell=CELL, role="property")
def test_model_padding_and_order(student, reference, draw):
    """Padding a batch further changes no logit; the order of the words does, and only through the positions"""
    state = state_for(reference, draw, NAME, **SIZES)
    handle = student.build(NAME, **SIZES, state=state)
    ids, mask = batch_of(draw, SIZES, 4, 6)
    logits, _ = classify(handle, SIZES, ids, mask)
    for kind in (torch.bool, torch.float32):
        expect.close(
            classify(handle, SIZES, ids, mask.to(kind))[0],
            logits,
            "A mask of bool or float does not give the same logits as one of int.",
            "1 and True stand for a token, 0 and False for PAD.",
            atol=1e-4,
        )
    longer, longer_mask = (torch.cat([t, torch.zeros(4, 3, dtype=torch.long)], dim=1) for t in (ids, mask))
    other_pad = torch.where(mask == 0, draw.integers(1, SIZES["vocab_size"], (4, 6)), ids)
    padding = "A PAD position may take part neither as a key nor in the mean."
    expect.close(
        classify(handle, SIZES, longer, longer_mask)[0],
        logits,
        "Padding further changes the logits.",
        padding,
        atol=1e-4,
    )
    expect.close(
        classify(handle, SIZES, other_pad, mask)[0],
        logits,
        "What stands at PAD positions changes the logits.",
        padding,
        atol=1e-4,
    )
    whole = draw.integers(1, SIZES["vocab_size"], (3, 6))
    whole[:, 0], whole[:, 1] = 3, 4  # a row of equal words would have no order
    order = draw.derangement(6)
    first, moved = (classify(handle, SIZES, given)[0] for given in (whole, whole[:, order]))
    expect.that(
        bool(((first - moved).abs().amax(-1) > 1e-3).all()),
        "The logits do not depend on the order of the words.",
        "Do the position encodings reach the blocks?",
    )
    blind = student.drive(
        "without_positions", init=SIZES, state=state, batches=[(whole, None), (whole[:, order], None)]
    )
    first, moved = (expect.tensor(logits, (3, SIZES["num_classes"])) for logits in blind)
    expect.close(
        moved,
        first,
        "With all position encodings at zero the logits still depend on the order of the words.",
        "Only the encodings tell positions apart; the pooling treats all tokens alike.",
        atol=1e-4,
    )


@pytest.mark.points(1, cell=CELL, role="property")
def test_model_learns_as_a_whole(student, reference, draw):
    """Every parameter of every layer receives its gradient; max_length and dropout reach all parts"""
    state = state_for(reference, draw, NAME, **SIZES)
    ids, mask = batch_of(draw, SIZES, 4, 6)
    check_gradients(
        student,
        reference,
        draw,
        (4, SIZES["num_classes"]),
        skip_row_0_of="embeddings.token_embedding.embedding.weight",
        name=NAME,
        init=SIZES,
        state=state,
        inputs={"input_ids": ids},
    )
    still = student.build(NAME, **SIZES, dropout=0.0, state=state)
    expect.tensor(
        still.attribute("embeddings.pos_encoding.pe"),
        (SIZES["max_length"], SIZES["d_model"]),
        what="embeddings.pos_encoding.pe, which should have max_length rows,",
    )
    expected, _ = classify(still, SIZES, ids, mask)
    expect.close(
        classify(still, SIZES, ids, mask, train=True, seed=draw.seed())[0],
        expected,
        "With dropout=0.0 training mode and evaluation mode differ.",
        "Is the dropout rate handed on to the embeddings and to every block?",
        atol=1e-4,
    )
    blocks_silent = {k: torch.zeros_like(v) if ".W_o." in k or ".linear2." in k else v for k, v in state.items()}
    embeddings_silent = {k: torch.zeros_like(v) if k.startswith("embeddings.") else v for k, v in state.items()}
    embeddings_silent["embeddings.pos_encoding.pe"] = torch.zeros(SIZES["max_length"], SIZES["d_model"])
    for options, values in (({}, state), ({"dropout": 0.5}, blocks_silent), ({"dropout": 0.5}, embeddings_silent)):
        noisy = student.build(NAME, **SIZES, state=values, **options)
        first, second = (classify(noisy, SIZES, ids, mask, train=True, seed=draw.seed())[0] for _ in range(2))
        expect.that(
            not torch.allclose(first, second, atol=1e-4),
            "In training mode there is no dropout in the embeddings, or none in the blocks.",
            "Is the rate handed on?",
        )
        first, second = (classify(noisy, SIZES, ids, mask)[0] for _ in range(2))
        expect.that(bool((first == second).all()), "In evaluation mode the logits are random.")
