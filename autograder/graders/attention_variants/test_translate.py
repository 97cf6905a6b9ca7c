"""greedy_translate: tokens, ends, padding, what it leaves of the model, and how often it encodes."""

import pytest
import torch

from autograder.graders.oracles.accelerator import accelerator_if_any, check_present
from autograder.graders.oracles.twins import state_for
from autograder.testing import expect

CELL = "translate"
VOCABULARY = 9
SIZES = {
    "vocab_size": VOCABULARY,
    "d_model": 12,
    "n_heads": 3,
    "n_encoder_layers": 1,
    "n_decoder_layers": 2,
    "d_ff": 16,
    "max_seq_length": 40,
    "dropout": 0.5,
}
BOS, EOS = 1, 2
MOST_TRIED = 300
MARGIN = 1e-3  # between the two best logits at every step, so that rounding decides nothing


def translate(student, state, src, *, pad=0, bos=BOS, eos=EOS, **options):
    """Ids, and what the driver has seen."""
    found = student.drive(
        "translate_observed", init=SIZES | {"pad_id": pad}, state=state, src=src, bos_id=bos, eos_id=eos, **options
    )
    check_present(found)
    ids = found["ids"]
    expect.that(
        isinstance(ids, torch.Tensor) and ids.dtype == torch.int64 and ids.dim() == 2 and len(ids) == len(src),
        "The result is not a tensor of int64 ids with one row for each source.",
        "Look at the return line.",
    )
    return ids, found


def problem(reference, draw, *, pad=0, bos=BOS, eos=EOS, rows=5, longest=9, ends=0.0):
    """A model's parameters, sources with PAD, and the ids (B, L).

    Rows end at different places; none does where the bias of the end, `ends`, is very low.
    """
    init = SIZES | {"pad_id": pad}
    for _ in range(MOST_TRIED):
        state = state_for(reference, draw, "Transformer", **init)
        # no bias and no gain of a norm may drown what the tokens say
        state |= {path: torch.zeros_like(value) for path, value in state.items() if path.endswith("bias")}
        state |= {path: torch.ones_like(value) for path, value in state.items() if "norm" in path and value.any()}
        state["output_projection.bias"][pad] -= 100
        state["output_projection.bias"][eos] += ends
        src = draw.integers(0, VOCABULARY - 1, (rows, 7))
        src = src + (src >= pad)
        lengths = torch.tensor([7, 4, 6, 2, 5])[:rows]
        src = torch.where(torch.arange(7) < lengths[:, None], src, pad)
        ids = reference.drive(
            "translate_observed", init=init, state=state, src=src, bos_id=bos, eos_id=eos, max_length=longest
        )["ids"]
        ended = (ids == eos).any(1)
        several = bool(ended.any()) and (ids != pad).sum(1).unique().numel() > 1
        wanted = several if ends > -50 else not bool(ended.any())
        if wanted and ids[:, 1:].unique().numel() > 2:
            best = reference.build("Transformer", **init, state=state).forward(src, ids).topk(2, dim=-1).values
            if bool(((best[..., 0] - best[..., 1])[:, :-1][ids[:, 1:] != pad] > MARGIN).all()):
                return state, src, ids
    raise RuntimeError("no model was found that translates as the test needs it")


def check_ids(found, expected, cause):
    expect.that(
        found.shape[1] <= expected.shape[1],
        "The result has more columns than it should.",
        "max_length counts all columns, the first one too, and writing stops when every row has ended.",
    )
    expect.that(
        torch.equal(found, expected),
        "The ids are wrong.",
        cause,
    )


@pytest.mark.points(2, cell=CELL, role="value")
def test_translate_values(student, reference, draw):
    """Each next token is the arg max, from the beginning to max_length or the end of every row"""
    cause = (
        "What is the first column, which position's logits choose the next token, does the target hold all tokens so "
        "far, and may cross-attention see PAD in the source?"
    )
    for length, ends in ((9, 0.0), (14, 0.5)):
        state, src, expected = problem(reference, draw, longest=length, ends=ends)
        ids, _ = translate(student, state, src, max_length=length)
        check_ids(ids, expected, cause)
    state, src, expected = problem(reference, draw, pad=4, bos=6, eos=3)
    ids, _ = translate(student, state, src, pad=4, bos=6, eos=3, max_length=9)
    check_ids(ids, expected, f"Ids may be any numbers. {cause}")
    for length in (1, 2):
        ids, _ = translate(student, state, src, pad=4, bos=6, eos=3, max_length=length)
        check_ids(ids, expected[:, :length], "max_length counts the first column, too.")
    state, src, expected = problem(reference, draw, longest=32, ends=-100.0)
    ids, _ = translate(student, state, src)
    check_ids(ids, expected, "Without max_length there are at most 32 columns.")


@pytest.mark.points(1, cell=CELL)
def test_translate_ends(student, reference, draw):
    """Ended rows are filled up with PAD, writing stops when all have ended, and no row depends on others"""
    for pad, bos, eos in ((0, 1, 2), (5, 0, 7)):
        state, src, expected = problem(reference, draw, pad=pad, bos=bos, eos=eos, longest=30, ends=2.0)
        given = {"pad": pad, "bos": bos, "eos": eos, "max_length": 30}
        ids, _ = translate(student, state, src, **given)
        after = (expected == eos).cumsum(1) - (expected == eos).long() > 0
        width = min(ids.shape[1], expected.shape[1])
        expect.that(
            bool((ids[:, :width][after[:, :width]] == pad).all()),
            "After its end a row is not filled up with PAD.",
            "Which id does the model call pad_id, and which rows have ended?",
        )
        check_ids(ids, expected, "When does a row end, and when do all?")
        for row in range(len(src)):
            length = int((src[row] != pad).sum())
            alone, _ = translate(student, state, src[row : row + 1, :length], **given)
            mine = expected[row]
            mine = mine[: int((mine != pad).sum())]
            expect.that(
                alone.shape[0] == 1 and torch.equal(alone[0], mine),
                "A text by itself gets another translation than in a batch.",
                "May PAD in the source be seen, and does writing stop when this row has ended?",
            )


@pytest.mark.points(1, cell=CELL, role="property")
def test_translate_leaves_the_model(student, reference, draw):
    """encode is called once; no gradients, evaluation mode inside, and the model as it was before, wherever it is"""
    state, src, expected = problem(reference, draw)
    for training in (True, False):
        ids, found = translate(student, state, src, max_length=9, training=training)
        expect.that(found["encoded"] == 1, "encode is not called exactly once.", "The source does not change.")
        expect.that(not found["with_gradients"], "Gradients are recorded.", "Which context switches them off?")
        expect.that(
            found["training_inside"] == [False],
            "The model is not in evaluation mode while it translates.",
            "Dropout would make the result random.",
        )
        expect.that(
            found["training_after"] is training, "The model's mode is not as it was.", "Remember it, and put it back."
        )
        expect.that(
            found["parts_after"] == [training],
            "Parts of the model are left in another mode.",
            "train and eval reach every part.",
        )
        expect.that(found["gradients_on_after"], "Afterwards gradients are switched off.", "Use a context.")
        expect.that(not found["changed"], "The source or a parameter is changed.", "Look for operations in place.")
        check_ids(ids, expected, "In training mode the result should be that of evaluation mode.")
    if device := accelerator_if_any():
        ids, found = translate(student, state, src, max_length=9, device=device)
        expect.that(found["device"] == device, "The result is not where the source is.", "Where are new tensors made?")
        check_ids(ids, expected, "On another device the ids should be the same.")
