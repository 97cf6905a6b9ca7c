"""Transformer: encoder and decoder with their masks, what dropout acts on, initial weights, gradients."""

import pytest
import torch

from autograder.graders.attention_variants import attending
from autograder.graders.oracles.dropout import check_dropout
from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "transformer"
NAME = "Transformer"
INIT = {
    "vocab_size": 17,
    "d_model": 12,
    "n_heads": 3,
    "n_encoder_layers": 2,
    "n_decoder_layers": 3,
    "d_ff": 20,
    "max_seq_length": 11,
    "dropout": 0.0,
}
OTHER = INIT | {"d_model": 10, "n_heads": 5, "n_encoder_layers": 1, "n_decoder_layers": 2, "vocab_size": 9, "d_ff": 7}
DEFAULTS = {
    "d_model": 512,
    "n_heads": 8,
    "n_encoder_layers": 6,
    "n_decoder_layers": 6,
    "d_ff": 2048,
    "max_seq_length": 512,
    "dropout": 0.1,
    "pad_id": 0,
}
CLOSE = {"atol": 3e-4, "rtol": 1e-3}


def forward(handle, src, tgt, vocab_size, **options):
    return expect.tensor(handle.forward(src, tgt, **options), (*tgt.shape, vocab_size), what="the logits")


def tokens(draw, init, shape, pad=0):
    """Ids without PAD."""
    ids = draw.integers(0, init["vocab_size"] - 1, shape)
    return ids + (ids >= pad)


def padded(ids, lengths, pad=0):
    """`ids` (B, T) with PAD behind the first `lengths` of each row."""
    return torch.where(torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None], ids, pad)


@pytest.mark.points(2, cell=CELL, role="value")
def test_transformer_values(student, reference, draw):
    """Logits, and what encode and decode give, are right for texts without PAD"""
    for init, batch, source, target in ((INIT, 3, 7, 4), (OTHER, 2, 3, 11), (INIT, 1, 1, 5)):
        theirs, ours = twins(student, reference, draw, NAME, **init)
        src, tgt = tokens(draw, init, (batch, source)), tokens(draw, init, (batch, target))
        encoded = ours.method("encode", src)
        expect.close(
            expect.tensor(theirs.method("encode", src), encoded.shape, what="what encode gives"),
            encoded,
            "What encode gives is wrong.",
            "Are the embeddings scaled by the root of d_model and positions added, and do all layers follow?",
            **CLOSE,
        )
        other = draw.normal(*encoded.shape)
        expected = ours.method("decode", tgt, other)
        expect.close(
            expect.tensor(theirs.method("decode", tgt, other), expected.shape, what="what decode gives"),
            expected,
            "What decode gives is wrong.",
            "Is the target embedded by its own table, scaled, and given positions? Without a mask, is attention within "
            "the target causal? decode ends before the output projection.",
            **CLOSE,
        )
        expect.close(
            forward(theirs, src, tgt, init["vocab_size"]),
            ours.forward(src, tgt),
            "The logits are wrong, although encode and decode are right.",
            "Which goes into which, and what stands at the end?",
            **CLOSE,
        )


@pytest.mark.points(1, cell=CELL)
def test_transformer_default_masks(student, reference, draw):
    """Without masks PAD is seen by nobody, and no position sees a later one"""
    for pad in (0, 5):
        init = INIT | {"pad_id": pad}
        theirs, ours = twins(student, reference, draw, NAME, **init)
        src = padded(tokens(draw, init, (3, 7), pad), (7, 4, 2), pad)
        tgt = padded(tokens(draw, init, (3, 5), pad), (3, 5, 1), pad)
        src[0, 2], tgt[1, 2] = pad, pad  # in the middle, too
        real = tgt != pad
        logits = forward(theirs, src, tgt, init["vocab_size"])
        expected = ours.forward(src, tgt)
        expect.close(
            logits[real],
            expected[real],
            "With PAD in source or target the logits at real positions are wrong.",
            "Three attentions can see PAD: in the encoder, within the target, and from the target to the source. Which "
            "of them is given a mask, and with which pad_id is it made?",
            **CLOSE,
        )
        seen = src != pad
        expect.close(
            theirs.method("encode", src)[seen],
            ours.method("encode", src)[seen],
            "By itself, encode does not keep PAD in the source from being seen.",
            "Without src_mask, encode makes its own.",
            **CLOSE,
        )
        encoded = draw.normal(3, 6, init["d_model"])
        expect.close(
            theirs.method("decode", tgt, encoded)[real],
            ours.method("decode", tgt, encoded)[real],
            "By itself, decode does not mask the target as it should, or does not look at all of encoder_output.",
            "Without tgt_mask, decode is causal and masks PAD; without src_mask all of encoder_output is looked at.",
            **CLOSE,
        )
        longer = torch.cat([src, torch.full((3, 4), pad)], dim=1), torch.cat([tgt, torch.full((3, 3), pad)], dim=1)
        expect.close(
            forward(theirs, *longer, init["vocab_size"])[:, :5][real],
            logits[real],
            "More PAD on the right of source or target changes logits at real positions.",
            "PAD is masked, and attention within the target is causal.",
            **CLOSE,
        )
    # as many texts as tokens: a padding mask that lacks its axes would still broadcast
    theirs, ours = twins(student, reference, draw, NAME, **INIT)
    src = padded(tokens(draw, INIT, (4, 4)), (4, 2, 1, 3))
    tgt = padded(tokens(draw, INIT, (4, 4)), (2, 4, 3, 1))
    expect.close(
        forward(theirs, src, tgt, INIT["vocab_size"])[tgt != 0],
        ours.forward(src, tgt)[tgt != 0],
        "With as many texts as tokens the logits are wrong.",
        "Which axes of a padding mask stand for texts, heads, queries and keys?",
        **CLOSE,
    )


@pytest.mark.points(1, cell=CELL)
def test_transformer_passed_masks(student, reference, draw):
    """A mask that is passed takes the place of the default"""
    theirs, ours = twins(student, reference, draw, NAME, **INIT)
    src = padded(tokens(draw, INIT, (3, 7)), (7, 4, 2))
    tgt = padded(tokens(draw, INIT, (3, 5)), (3, 5, 4))
    for src_mask, tgt_mask in (
        (torch.ones(3, 1, 1, 7).bool(), None),
        (draw.mask(3, 1, 1, 7), None),
        (None, torch.ones(5, 5).bool()),
        (None, draw.mask(3, 1, 5, 5).float()),
        (draw.mask(3, 1, 1, 7).float(), draw.mask(5, 5)),
    ):
        cause = (
            "A mask that is passed is used as it is, with nothing of the default in it: a tgt_mask without causality "
            "shows the future. src_mask is for the encoder and for cross-attention."
        )
        given = {"src_mask": src_mask, "tgt_mask": tgt_mask}
        real = torch.ones(3, 5).bool() if tgt_mask is not None else tgt != 0
        expect.close(
            forward(theirs, src, tgt, INIT["vocab_size"], **given)[real],
            ours.forward(src, tgt, **given)[real],
            "With a mask that is passed to the model the logits are wrong.",
            cause,
            **CLOSE,
        )
        encoded = ours.method("encode", src, src_mask)
        if src_mask is not None:
            found = theirs.method("encode", src, src_mask)
            expect.close(found, encoded, "With src_mask, what encode gives is wrong.", cause, **CLOSE)
        found, expected = (one.method("decode", tgt, encoded, src_mask, tgt_mask) for one in (theirs, ours))
        expect.close(found[real], expected[real], "With masks, what decode gives is wrong.", cause, **CLOSE)


@pytest.mark.points(1, cell=CELL, chance=True)
def test_transformer_initial_weights(student):
    """The embeddings start normal with standard deviation d ** -0.5, and no weights are shared"""
    sizes = {"n_encoder_layers": 1, "n_decoder_layers": 1, "d_ff": 8, "n_heads": 2}
    for vocab_size, d in ((700, 16), (300, 40)):
        for seed in (1, 2):
            parameters = student.build(NAME, vocab_size, d_model=d, **sizes, seed=seed).parameters()
            for name in ("src_embedding.weight", "tgt_embedding.weight"):
                expect.that(
                    tuple(parameters.get(name, torch.empty(0)).shape) == (vocab_size, d),
                    "An embedding is missing, has the wrong shape, or shares its weights with something.",
                    "Source and target have a table each, (vocab_size, d_model), and nothing is tied.",
                )
                weights = parameters[name][1:].double() * d**0.5  # PAD may start at 0
                expect.that(
                    0.8 < float(weights.std()) < 1.2 and abs(float(weights.mean())) < 0.1,
                    "The embeddings start with the wrong spread.",
                    "Their standard deviation is d_model ** -0.5; torch's own default is 1.",
                )
                tails = float((weights / weights.std()).pow(4).mean())
                expect.that(2.5 < tails < 3.6, "The embeddings do not start from a normal distribution.")
            expect.that(
                tuple(parameters.get("output_projection.weight", torch.empty(0)).shape) == (vocab_size, d)
                and "output_projection.bias" in parameters,
                "The output projection is missing, has the wrong shape, or shares its weights with something.",
                "It is an nn.Linear(d_model, vocab_size) of its own.",
            )
            expect.that(
                not torch.equal(parameters["src_embedding.weight"], parameters["tgt_embedding.weight"]),
                "Both embeddings start with the same numbers.",
            )


@pytest.mark.points(1, cell=CELL, chance=True)
def test_transformer_dropout(student, reference, draw):
    """Dropout acts on embeddings plus positions, in training only, and its rate reaches the layers"""
    sizes = {name: value for name, value in INIT.items() if name != "dropout"} | {"d_model": 24, "max_seq_length": 30}
    state = state_for(reference, draw, NAME, **sizes)
    src, tgt = tokens(draw, INIT, (8, 9)), tokens(draw, INIT, (8, 30))
    for p, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        found = student.drive(
            "transformer_embedded", init=sizes | options, state=state, src=src, tgt=tgt, draw_seed=draw.seed()
        )
        for part in ("encoder", "decoder"):
            full, dropped = found[part]
            what = "the sum of embeddings and positions"
            check_dropout(
                dropped, expect.tensor(full, dropped.shape), p, what, "It is the sum that enters the first layer."
            )
        expect.that(
            set(found["rates"]) == {p},
            "The rate of dropout does not reach every part.",
            "Layers take it as an argument, too.",
        )
        expect.that(
            found["same_in_evaluation"], "In evaluation mode the logits are random.", "Is every dropout a module?"
        )


@pytest.mark.points(1, cell=CELL, role="property")
def test_transformer_gradients_and_causality(student, reference, draw):
    """No logit depends on later target tokens, gradients are right, and a source of PAD alone gives finite numbers"""
    defaults = student.drive("defaults", name=NAME)
    for name, value in DEFAULTS.items():
        expect.that(defaults.get(name, value) == value, f"The default of {name} is wrong.", "Look at the signature.")
    init = INIT
    state = state_for(reference, draw, NAME, **init)
    handle = student.build(NAME, **init, state=state)
    src, tgt = padded(tokens(draw, init, (3, 7)), (7, 4, 2)), tokens(draw, init, (3, 5))
    logits = forward(handle, src, tgt, init["vocab_size"])
    for place in range(1, 5):
        changed = tgt.clone()
        changed[:, place] = (tgt[:, place] % (init["vocab_size"] - 1)) + 1
        after = forward(handle, src, changed, init["vocab_size"])
        expect.close(
            after[:, :place],
            logits[:, :place],
            "A later token of the target changes earlier logits.",
            "By default attention within the target is causal.",
            atol=1e-5,
        )
        expect.that(bool((after[:, place:] != logits[:, place:]).any(-1).all()), "A target token changes no logit.")
    nothing = src.clone()
    nothing[1] = 0
    after = forward(handle, nothing, tgt, init["vocab_size"])
    expect.close(after[[0, 2]], logits[[0, 2]], "A source of PAD alone changes other texts.", **CLOSE)
    attending.check_calls(student, NAME, init, state, [[src, tgt], [src[:1, :3], tgt[:1]], [tgt, src, None, None]])
    for given in ({}, {"src_mask": draw.mask(3, 1, 1, 7), "tgt_mask": torch.ones(5, 5).tril()}):
        check_gradients(
            student,
            reference,
            draw,
            (3, 5, init["vocab_size"]),
            name=NAME,
            init=init,
            state=state,
            inputs={"src": tokens(draw, init, (3, 7)), "tgt": tgt, **given},
        )
