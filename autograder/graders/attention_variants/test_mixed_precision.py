"""MixedPrecisionTrainer: types of products, parameters and gradients, the float32 step nearly, scaled gradients.

Its model is one of ours with GPTTransformer's interface, and compute_loss is the notebook's own.
"""

import pytest
import torch

from autograder.graders.oracles.accelerator import accelerator_if_any, check_present
from autograder.testing import expect

CELL = "mixed-precision"
V, D = 11, 8
TYPES = (("bfloat16", {}), ("bfloat16", {"dtype": "bfloat16"}), ("float16", {"dtype": "float16"}))


def watch(student, draw, **call):
    """What the driver saw of a MixedPrecisionTrainer's steps, and of TransformerTrainer's on the same model."""
    shapes = {"embedding.weight": (V, D), "mix.weight": (D, D), "head.weight": (V, D)}
    state = {path: draw.normal(*shape, scale=0.5) for path, shape in shapes.items()}
    return student.drive("precision_probe", sizes=[V, D], state=state, **call)


def batches(draw):
    mask = torch.ones(4, 7, dtype=torch.long)
    mask[1, 4:], mask[3, 2:] = 0, 0
    ids = draw.integers(0, V, (4, 7))
    labels = torch.where(draw.mask(4, 7) == 0, -100, ids)
    return [{"input_ids": ids, "attention_mask": mask}, {"input_ids": ids, "labels": labels}, {"input_ids": ids}]


@pytest.mark.points(0.75, cell=CELL, role="value")
def test_precision_steps(student, draw):
    """Losses are within 3 % of the float32 ones, and steps go where float32 steps go, clipped to the same norm"""
    for _, options in TYPES:
        for more in ({}, {"max_norm": 0.05}, {"max_norm": 1e3}):
            observed = watch(student, draw, steps=batches(draw), options=options | more, rate=0.1)
            for theirs, right in zip(observed["mixed"], observed["plain"], strict=True):
                expect.that(
                    isinstance(theirs["result"], float), "train_step does not return a number.", "It is the loss."
                )
                expect.close(
                    theirs["result"],
                    right["result"],
                    "The loss is not within 3 % of the float32 one.",
                    "It is the loss of the batch before the step, without the scaler's factor.",
                    atol=0,
                    rtol=0.03,
                )
                if theirs["overflowed"] and not bool(theirs["moved"].any()):
                    continue  # such a step may be skipped
                expect.close(
                    float(theirs["moved"].norm()),
                    float(right["moved"].norm()),
                    "The step has not the size of the float32 one.",
                    "Are gradients cleared before backward, unscaled before they are clipped, and clipped after "
                    "backward, to max_norm?",
                    atol=1e-4,
                    rtol=0.1,
                )
                cosine = torch.nn.functional.cosine_similarity(theirs["moved"], right["moved"], dim=0)
                expect.that(
                    float(cosine) > 0.97,
                    "The step does not go where the float32 step goes.",
                    "Which gradients does the optimizer see? Those of this batch alone?",
                )


@pytest.mark.points(0.5, cell=CELL)
def test_precision_types(student, draw):
    """The forward's matrix products are in dtype; parameters, gradients and optimizer state stay float32"""
    for dtype, options in TYPES:
        observed = watch(student, draw, steps=batches(draw), options=options, rate=0.1)
        for seen in observed["mixed"]:
            expect.that(
                seen["products"] == [dtype],
                "The matrix products of the forward are not in dtype.",
                "Does the forward run under torch.autocast, of the device on which the model is, with the dtype that "
                "was given (bfloat16 where none is)?",
                f"They are in {', '.join(seen['products'])}.",
            )
            for what in ("parameters", "gradients", "optimizer_state"):
                expect.that(
                    seen[what] == ["float32"],
                    f"The {what.replace('_', ' ')} do not stay float32.",
                    "autocast converts what a product needs; the model itself stays as it is.",
                )
            expect.that(
                seen["autocast_after"] is False,
                "After the step autocast is still on.",
                "It is a context: where does it end?",
            )
            expect.that(seen["all_training"] is True, "A batch is not seen in train mode.", "The step sets the mode.")
            expect.that(
                seen["autocast_in_backward"] is False,
                "The backward runs under autocast.",
                "Only the forward belongs into the context.",
            )


@pytest.mark.points(0.5, cell=CELL)
def test_precision_scaling(student, draw):
    """With float16 the loss is scaled for the backward; a step that overflows spoils nothing, and later ones work"""
    observed = watch(student, draw, steps=batches(draw), options={"dtype": "float16"}, rate=0.1)
    expect.that(
        observed["scaler"] is True,
        "The attribute scaler is not a torch.amp.GradScaler that works.",
        "With float16 it must be enabled, and for the device on which the model is.",
    )
    for seen in observed["mixed"]:
        expect.that(
            seen["overflowed"] or (seen["backward_scale"] or 0.0) > 8,
            "With float16 the backward does not start from a scaled loss.",
            "Small gradients become 0 in float16 unless the loss is scaled up before backward.",
        )
    observed = watch(
        student, draw, steps=batches(draw) * 3, options={"dtype": "float16", "max_norm": 1.0}, rate=0.1, overflow=2
    )
    steps = observed["mixed"]
    expect.that(
        all(bool(seen["finite"]) for seen in steps),
        "After a step whose scaled gradients overflow, parameters are NaN or infinite.",
        "The scaler steps the optimizer, and leaves out a step that has overflowed.",
    )
    expect.that(
        any(bool(seen["moved"].any()) for seen in steps[2:]),
        "After steps that overflow, training does not go on.",
        "The scaler has to be told after each step, so that its factor becomes smaller.",
    )


@pytest.mark.points(0.25, cell=CELL, role="property")
def test_precision_trainer(student, draw):
    """It is a TransformerTrainer; each step starts from zero gradients, changes no batch, and works on any device"""
    given = batches(draw)
    observed = watch(student, draw, steps=given, options={}, rate=0.1, stale=True)
    expect.that(observed["is_trainer"] is True, "It is not a subclass of TransformerTrainer.", "Inherit from it.")
    for theirs, right, batch in zip(observed["mixed"], observed["plain"], given, strict=True):
        expect.close(
            float(theirs["moved"].norm()),
            float(right["moved"].norm()),
            "Old gradients are part of a step.",
            "What clears them before backward?",
            atol=1e-4,
            rtol=0.1,
        )
        expect.that(
            all(torch.equal(theirs["batch_after"][name], value) for name, value in batch.items()),
            "train_step changes the batch that it is given.",
            "What is moved belongs in a dict of its own.",
        )
    if device := accelerator_if_any():
        there = watch(student, draw, steps=given, options={}, rate=0.1, device=device)
        check_present({} if there is not None else None)
        for seen in there["mixed"]:
            expect.that(
                seen["device"] == device and seen["autocast_devices"] == [device],
                "The forward does not run under autocast of the model's device.",
                "Ask a parameter of the model for its device, and bring the batch there.",
            )
