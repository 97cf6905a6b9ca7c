"""train_transformer on a model that is on another device than the CPU."""

import math

import pytest

from autograder.graders.oracles.accelerator import accelerator, check_present
from autograder.testing import expect

CELL = "train"
EPOCHS = 2
FIGURES = ("train_loss", "train_acc", "val_loss", "val_acc")
SIZES = {"vocab_size": 17, "d_model": 6, "num_classes": 3}


@pytest.mark.points(1, cell=CELL)
def test_trains_where_the_model_is(student, draw):
    """Training happens on the device that the model is on, and leaves the model there"""
    rows = {split: draw_rows(draw, n) for split, n in (("train", 21), ("val", 11))}
    observed = student.drive(
        "device_training",
        device=accelerator(),
        train_rows=rows["train"],
        val_rows=rows["val"],
        sizes=SIZES,
        epochs=EPOCHS,
        learning_rate=5e-3,
        loop_seed=draw.seed(),
    )
    check_present(observed)
    for run, device in (("cpu", "cpu"), ("accelerator", observed["device"])):
        found = observed[run]
        expect.that(bool(found["during"]), "Training never calls the model.", "Each batch goes through the model.")
        expect.that(
            set(found["during"]) == {device} and set(found["after"]) == {device},
            "The model was on the CPU, and training has moved it to an accelerator."
            if run == "cpu"
            else "The model was on an accelerator, and training has moved it to the CPU.",
            "Where the model is, is its owner's business: ask one of its parameters for its device and bring the "
            "batches there.",
        )
        check_history(found["history"])
        expect.that(
            max(found["moved"]) > 0,
            "Training does not change the parameters of the model that was given."
            if run == "cpu"
            else "On an accelerator, training does not change the parameters of the model that was given.",
            "Look at what the optimizer was given, and at backward() and step().",
        )
    for figure in FIGURES:
        theirs, on_cpu = (observed[run]["history"][figure] for run in ("accelerator", "cpu"))
        split, unit = figure.split("_")
        one_sample = 100 / len(rows[split][1])
        expect.close(
            theirs,
            on_cpu,
            "The history on an accelerator is not that of the same training on the CPU.",
            "Something in the loop depends on the device.",
            atol=1.01 * one_sample if unit == "acc" else 5e-3,
            rtol=0,
            detail=f"It is {figure}: {expect.described(theirs)} instead of {expect.described(on_cpu)}.",
        )


def draw_rows(draw, n):
    """Token ids (n, 5), a third of the rows padded, and labels (n,)."""
    ids = draw.integers(1, SIZES["vocab_size"], (n, 5))
    ids[::3, 3:] = 0
    return ids, draw.integers(0, SIZES["num_classes"], (n,))


def check_history(history):
    """`history` must hold one finite number an epoch for each figure."""
    right = isinstance(history, dict) and all(
        isinstance(numbers := history.get(figure), list)
        and len(numbers) == EPOCHS
        and all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
        for figure in FIGURES
    )
    expect.that(
        right,
        "The history is not a dict of four lists with one number an epoch.",
        f"The lists are {', '.join(FIGURES[:-1])} and {FIGURES[-1]}.",
        f"Yours is {expect.described(history)}.",
    )
