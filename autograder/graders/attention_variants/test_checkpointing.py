"""CheckpointedGPT: the same numbers as GPTTransformer, every block run twice in training, nothing kept in between.

Both models are the notebook's own, so that a mistake in GPTTransformer costs nothing here.
"""

import pytest
import torch

from autograder.graders.oracles.accelerator import accelerator_if_any, check_present
from autograder.graders.oracles.twins import state_for
from autograder.testing import expect

CELL = "checkpointing"
SIZES = {"vocab_size": 13, "d_model": 12, "n_heads": 3, "n_layers": 3, "d_ff": 20, "max_seq_length": 9}


def step(student, reference, draw, batch=2, length=6, mask=None, **options):
    """One forward and backward of both models from the same random state, as the driver saw them."""
    sizes = {**SIZES, "dropout": 0.3} | options.pop("sizes", {})
    state = state_for(reference, draw, "GPTTransformer", **sizes)
    ids = draw.integers(0, 13, (batch, length))
    weights = draw.normal(batch, length, 13)
    if mask is not None:
        weights = weights * (mask != 0)[..., None]
    return student.drive(
        "checkpoint_step",
        sizes=sizes, state=state, input_ids=ids, mask=mask, weights=weights, random_state=draw.seed(), **options,
    )  # fmt: skip


@pytest.mark.points(0.75, cell=CELL, role="value")
def test_checkpoint_values(student, reference, draw):
    """From the same random state logits and gradients are those of GPTTransformer, dropout and padding included"""
    left = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])
    for options in (
        {},
        {"mask": left},
        {"mask": left.bool(), "training": False},
        {"training": False},
        {"options": {"use_checkpoint": False}},
        {"mask": left.float(), "options": {"use_checkpoint": True}},
        {"batch": 1, "length": 9, "sizes": {"dropout": 0.0, "n_layers": 1}},
    ):
        seen = step(student, reference, draw, **options)
        _check_same(seen)
    if device := accelerator_if_any():
        seen = step(student, reference, draw, mask=left, device=device, sizes={"dropout": 0.0})
        check_present(seen)
        _check_same(seen)


def _check_same(seen):
    plain, ours = seen["plain"], seen["checkpointed"]
    expect.that(
        ours["refused"] is None,
        "The gradients cannot be computed.",
        "Look at use_reentrant: the older kind of checkpoint knows backward() alone.",
        ours["refused"],
    )
    expect.tensor(ours["logits"], tuple(plain["logits"].shape), what="the logits")
    expect.close(
        ours["logits"],
        plain["logits"],
        "The logits are not those of GPTTransformer from the same random state.",
        "Everything but the way in which blocks are called stays as it is: embeddings, dropout, mask, norm, head.",
        atol=1e-4,
        rtol=1e-3,
    )
    for path, right in plain["gradients"].items():
        expect.that(ours["gradients"][path] is not None, "A parameter receives no gradient.", "", f"It is {path}.")
        expect.close(
            ours["gradients"][path],
            right,
            "A gradient is not that of GPTTransformer from the same random state.",
            "When a block runs again, dropout must drop the same values, and nothing may cut the graph.",
            atol=1e-4,
            rtol=1e-3,
            detail=f"It is that of {path}.",
        )


@pytest.mark.points(0.5, cell=CELL)
def test_checkpoint_twice(student, reference, draw):
    """In training every block's attention runs twice a step, block by block; in eval mode or when switched off, once"""
    once, twice = [0, 1, 2], [0, 1, 2, 2, 1, 0]
    for options, expected in (
        ({}, twice),
        ({"options": {"use_checkpoint": True}}, twice),
        ({"mask": torch.ones(2, 6)}, twice),
        ({"options": {"use_checkpoint": False}}, once),
        ({"training": False}, once),
    ):
        runs = step(student, reference, draw, **options)["checkpointed"]["runs"]
        expect.that(
            len(runs) == len(expected),
            "A block does not run twice a training step."
            if expected == twice
            else "A block runs more than once although nothing is to be checkpointed.",
            "Checkpointing is for training with use_checkpoint, and True is its default.",
            f"{SIZES['n_layers']} blocks ran {len(runs)} times in all.",
        )
        expect.equal(
            runs,
            expected,
            "The blocks are not checkpointed one by one.",
            "Each block runs under a checkpoint of its own, so that only one of them is kept whole at a time.",
        )


@pytest.mark.points(0.5, cell=CELL)
def test_checkpoint_keeps_little(student, reference, draw):
    """After a training forward a block's inner activations are gone, until the backward computes them again"""
    for options in ({}, {"mask": torch.ones(2, 6).long()}):
        seen = step(student, reference, draw, collect=True, **options)
        expect.that(
            not any(seen["checkpointed"]["alive"]),
            "After the forward, inner activations of a block are still held.",
            "What is the block called through? Only its input should wait for the backward.",
        )
        expect.that(
            seen["checkpointed"]["saved_bytes"] < 0.6 * seen["plain"]["saved_bytes"],
            "The forward keeps about as many bytes for the backward as GPTTransformer's.",
            "Which blocks run under checkpoint?",
        )


@pytest.mark.points(0.25, cell=CELL, role="property")
def test_checkpoint_keys(student, reference, draw):
    """It is a GPTTransformer with the same state-dict keys, before a step and after"""
    seen = step(student, reference, draw)
    expect.that(seen["is_gpt"] is True, "CheckpointedGPT is not a subclass of GPTTransformer.", "Inherit from it.")
    for when in ("keys_before", "keys_after"):
        expect.equal(
            seen["checkpointed"][when],
            seen["plain"]["keys_before"],
            "The keys of the state dict are not those of GPTTransformer.",
            "A module around a block changes the names of what is in it.",
        )
    expect.that(
        seen["checkpointed"]["mode_after"] is True, "The forward changes the mode of the model.", "Who calls eval?"
    )
