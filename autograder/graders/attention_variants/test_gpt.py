"""GPTTransformer: logits, causality, padding on both sides, first weights, dropout, refusal, gradients."""

import math

import pytest
import torch

from autograder.graders.oracles.accelerator import accelerator_if_any, check_present
from autograder.graders.oracles.dropout import check_dropout
from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "gpt"
NAME = "GPTTransformer"
SMALL = {"vocab_size": 13, "d_model": 12, "n_heads": 3, "n_layers": 2, "d_ff": 20, "max_seq_length": 9}
DEFAULTS = {"d_model": 768, "d_ff": 3072, "max_seq_length": 1024, "n_layers": 12, "n_heads": 12}


def logits_of(handle, ids, *rest, vocabulary=13, **options):
    return expect.tensor(handle.forward(ids, *rest, **options), (*ids.shape, vocabulary), what="the logits")


def padded(draw, rows, length, places):
    """Ids (B, length) and a mask: the tokens of `rows` stand at `places`, anything else stands at the others."""
    ids, mask = draw.integers(0, 13, (len(rows), length)), torch.zeros(len(rows), length, dtype=torch.long)
    for row, (tokens, where) in enumerate(zip(rows, places, strict=True)):
        ids[row, where], mask[row, where] = tokens, 1
    return ids, mask


@pytest.mark.points(2, cell=CELL, role="value")
def test_gpt_logits(student, reference, draw):
    """Without a mask the logits are right"""
    for sizes, shape in (
        (SMALL, (2, 5)),
        (SMALL, (3, 9)),
        (SMALL, (1, 1)),
        ({**SMALL, "n_layers": 3, "n_heads": 4, "d_ff": None, "max_seq_length": 6}, (4, 6)),
        ({**SMALL, "vocab_size": 7, "n_layers": 1, "n_heads": 1}, (5, 4)),
    ):
        theirs, ours = twins(student, reference, draw, NAME, **sizes)
        ids = draw.integers(0, sizes["vocab_size"], shape)
        for given in (ids, ids.clone().flip(1)):
            expect.close(
                logits_of(theirs, given, vocabulary=sizes["vocab_size"]),
                ours.forward(given),
                "The logits are wrong.",
                "Tokens plus positions, blocks with the norm first and GELU inside, one more norm, the head. Which of "
                "these is missing or stands elsewhere? Does each block have weights of its own?",
                atol=1e-4,
                rtol=1e-3,
            )


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_gpt_causal(student, reference, draw):
    """A change of a token changes no logit before it, with a mask or without"""
    handle = student.build(NAME, **SMALL, state=state_for(reference, draw, NAME, **SMALL))
    ids = draw.integers(0, 13, (3, 9))
    ones = torch.ones(3, 9, dtype=torch.long)
    for rest in ((), (ones,)):
        before = logits_of(handle, ids, *rest)
        for place in (1, 4, 8):
            changed = ids.clone()
            changed[:, place:] = (ids[:, place:] + draw.integers(1, 13, (3, 9 - place))) % 13
            after = logits_of(handle, changed, *rest)
            expect.close(
                after[:, :place],
                before[:, :place],
                "A token changes logits that stand before it.",
                "Which keys may a query see? Look at the mask that reaches the blocks.",
            )
            expect.that(
                float((after[:, place:] - before[:, place:]).abs().max()) > 1e-3,
                "The logits do not depend on the tokens.",
                "Follow the ids from the embedding to the head.",
            )


@pytest.mark.points(1.5, cell=CELL)
def test_gpt_padding(student, reference, draw):
    """PAD on the left, on the right or between changes no logit of a token; masks are bool, integers or floats"""
    handle = student.build(NAME, **SMALL, state=state_for(reference, draw, NAME, **SMALL))
    for lengths, length in (((3, 6, 5), 7), ((4, 2), 9), ((5, 3, 1, 4, 2), 5), ((2,), 6)):
        rows = [draw.integers(0, 13, (n,)) for n in lengths]
        alone = [logits_of(handle, row[None])[0] for row in rows]
        sides = {
            "left": [list(range(length - n, length)) for n in lengths],
            "right": [list(range(n)) for n in lengths],
            "both": [list(range((length - n) // 2, (length - n) // 2 + n)) for n in lengths],
            "between": [sorted(draw.permutation(length)[:n].tolist()) for n in lengths],
        }
        for side, kind in zip(sides, (torch.int64, torch.bool, torch.float32, torch.int32), strict=True):
            ids, mask = padded(draw, rows, length, sides[side])
            found = logits_of(handle, ids, mask.to(kind))
            for row, where in enumerate(sides[side]):
                expect.close(
                    found[row, where],
                    alone[row],
                    "With a mask, the logits of a token are not those of the text without PAD.",
                    "Two things must not notice PAD: which keys are seen, and at which position a token stands. "
                    "The k-th real token of a row stands at position k.",
                    atol=1e-4,
                    rtol=1e-3,
                    detail=f"PAD stood {'on the ' + side if side in ('left', 'right') else 'on several sides'}.",
                )
    ids, mask = padded(draw, [draw.integers(0, 13, (4,)), torch.zeros(0, dtype=torch.long)], 6, [[0, 1, 2, 3], []])
    logits_of(handle, ids, mask)  # a row of PAD alone: finite


@pytest.mark.points(1, cell=CELL)
def test_gpt_first_weights(student, draw):
    """Weights start normal with standard deviation 0.02, biases at 0, and the first loss is about ln V"""
    sizes = {"vocab_size": 90, "d_model": 64, "n_heads": 4, "n_layers": 3, "max_seq_length": 50}
    handle = student.build(NAME, **sizes, seed=draw.seed())
    parameters = handle.parameters()
    seen = []
    for path, value in parameters.items():
        if "norm" in path or path.startswith("lm_head"):
            continue
        if path.endswith("bias"):
            expect.that(
                not bool(value.any()), "A bias does not start at 0.", "Which modules have one?", f"It is {path}."
            )
            continue
        if value.dim() < 2:
            continue
        smaller = path.endswith(("w_o.weight", "linear2.weight"))
        std, tail = float(value.std()), float((value.abs() > 1.8 * value.std()).float().mean())
        expect.that(
            std > 1e-4 and (smaller or std > 0.016) and std < 0.024,
            "Weights do not start with a standard deviation of 0.02.",
            "Go through all modules and set each Linear and each Embedding. Is the head's weight, which is the token "
            "embedding's, set again after that?",
            f"That of {path} is {std:.3g}.",
        )
        expect.that(
            abs(float(value.mean())) < 0.2 * std and tail > 0.01,
            "Weights do not start with a normal distribution around 0.",
            "torch.nn.init has a function for it.",
            f"It is {path}.",
        )
        expect.that(
            not any(value.shape == old.shape and torch.equal(value, old) for old in seen),
            "Two layers start with the same weights.",
            "Is one block made once and used, or copied, several times?",
            f"It is {path}.",
        )
        seen.append(value)
    for vocabulary, d in ((20, 128), (200, 32)):
        handle = student.build(NAME, vocabulary, d, 4, 2, max_seq_length=40, seed=draw.seed())
        ids = draw.integers(0, vocabulary, (16, 40))
        logits = logits_of(handle, ids, vocabulary=vocabulary).double()
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        expect.that(
            abs(float(loss) - math.log(vocabulary)) < 0.1 * math.log(vocabulary),
            "The first loss on random tokens is not about ln V.",
            "Logits should start small: what scales them up?",
        )


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_gpt_parts(student, reference):
    """The parts have their names and sizes, the head shares the embedding's weight, and defaults are as agreed"""
    sizes = {"vocab_size": 11, "d_model": 8, "n_heads": 2, "n_layers": 2, "max_seq_length": 5}
    observed = student.drive("gpt_parts", sizes=sizes, seconds=30)
    expected = reference.drive("gpt_parts", sizes=sizes)
    expect.that(
        observed["tied"] is True,
        "The head's weight is not the token embedding's.",
        "They must be one Parameter, not two with the same numbers.",
    )
    expect.that(observed["head_bias"] is False, "lm_head has a bias.", "It is a Linear without one.")
    expect.that(
        observed["max_seq_length"] == 5, "The attribute max_seq_length is wrong.", "It is the argument of that name."
    )
    for path, shape in expected["shapes"].items():
        expect.that(
            observed["shapes"].get(path) == shape,
            "A parameter is missing or has the wrong shape.",
            "The docstring names the parts. d_ff=None means 4 * d_model.",
            f"It is {path}.",
        )
    for name, value in DEFAULTS.items():
        expect.that(
            observed["defaults"][name] == value,
            "A size that is not given is not the agreed one.",
            "Compare with the signature that was given; d_ff=None means 4 * d_model.",
            f"It is {name}.",
        )


@pytest.mark.points(0.5, cell=CELL, chance=True)
def test_gpt_dropout(student, reference, draw):
    """In training only, dropout acts on tokens plus positions and inside the blocks, at the rate that was given"""
    sizes = {**SMALL, "d_model": 24, "max_seq_length": 12}
    state = state_for(reference, draw, NAME, **sizes)
    for path in state:  # attention always adds ones to its input, so that what is dropped of them can be seen
        if path.endswith(("w_o.weight", "linear2.weight", "linear2.bias")):
            state[path] = torch.zeros_like(state[path])
        elif path.endswith("w_o.bias"):
            state[path] = torch.ones_like(state[path])
    ids = draw.integers(0, 13, (20, 12))
    full = state["token_embedding.weight"][ids] + state["position_embedding.weight"]
    for rate, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        seen = student.drive(
            "gpt_dropout", init={**sizes, **options}, state=state, input_ids=ids, seeds=[draw.seed(), draw.seed()]
        )
        expect.that(
            torch.equal(seen["eval"][0], seen["eval"][1]),
            "In evaluation mode the output is random.",
            "A dropout module knows whether the model is in training mode; a bare function does not.",
        )
        where = "It acts on the sum of the two embeddings, before the first block, and not again before the head."
        check_dropout(seen["first_input"], full, rate, "tokens plus positions", where)
        block = "The block takes the rate that the model was given."
        for number in range(2):
            added = seen[f"added_{number}"]
            check_dropout(added, torch.ones_like(added), rate, "what a block adds", block)
        expect.close(
            seen["train_logits"],
            seen["head_of_last"],
            "In training mode, the logits are not those of the last block's output.",
            "Between the last block and the logits there is a norm and the head, and no dropout.",
            atol=1e-3,
        )


@pytest.mark.points(0.5, cell=CELL)
def test_gpt_length(student, reference, draw):
    """Texts up to max_seq_length go through, longer ones raise ValueError; what is passed in stays as it was"""
    theirs, ours = twins(student, reference, draw, NAME, **SMALL)
    for length in (9, 1, 4, 9):
        ids = draw.integers(0, 13, (2, length))
        expect.close(
            logits_of(theirs, ids), ours.forward(ids), "A second text of another length gets wrong logits.", atol=1e-4
        )
    for length in (10, 25):
        ids = draw.integers(0, 13, (2, length))
        for rest in ((), (torch.ones(2, length, dtype=torch.long),)):
            with student.raises("ValueError", symptom="A text longer than max_seq_length does not raise ValueError."):
                theirs.forward(ids, *rest)
    for kind in (torch.int64, torch.float32):
        given = {"input_ids": draw.integers(0, 13, (2, 6)), "attention_mask": draw.mask(2, 6).to(kind)}
        after = student.drive("inputs_after", name=NAME, init=SMALL, inputs=given)
        expect.that(
            all(torch.equal(after[name], value) for name, value in given.items()),
            "The ids or the mask are changed in place.",
            "Which operation with an underscore, or which assignment, works on what was passed in?",
        )


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_gpt_gradients(student, reference, draw):
    """Every parameter receives its gradient, with padding too"""
    state = state_for(reference, draw, NAME, **SMALL)
    ids = draw.integers(0, 13, (3, 7))
    call = {"name": NAME, "init": SMALL, "state": state}
    check_gradients(student, reference, draw, (3, 7, 13), inputs={"input_ids": ids}, **call)
    rows = [draw.integers(0, 13, (n,)) for n in (3, 7, 1)]
    ids, mask = padded(draw, rows, 7, [range(4, 7), range(7), [6]])
    call |= {"inputs": {"input_ids": ids, "attention_mask": mask}, "weights": draw.normal(3, 7, 13) * mask[..., None]}
    expected = reference.drive("gradients", **call)["parameters"]
    for device in filter(None, ("cpu", accelerator_if_any())):
        found = student.drive("gradients", device=device, **call)
        check_present(found)
        for path, ours in expected.items():
            theirs = expect.tensor(found["parameters"][path], tuple(ours.shape), what="a gradient")
            size = max(1.0, float(ours.abs().max()))
            expect.close(
                theirs / size,
                ours / size,
                "With PAD on the left, a parameter receives the wrong gradient.",
                "PAD must not reach a token on any way, and a query without keys must give finite numbers.",
                atol=1e-4,
                rtol=1e-3,
                detail=f"It is that of {path}.",
            )
