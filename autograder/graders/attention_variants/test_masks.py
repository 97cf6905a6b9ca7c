"""causal_mask and padding_mask: values, shapes, types, devices."""

import pytest
import torch

from autograder.graders.oracles.accelerator import accelerator_if_any, check_present
from autograder.testing import expect

CELL = "masks"


def check_boolean(found, shape, what):
    expect.that(isinstance(found, torch.Tensor), f"{what} is not a tensor.", "Look at the return line.")
    expect.that(
        found.dtype == torch.bool,
        f"{what} is not of type bool.",
        "A comparison gives bool; arithmetic gives numbers.",
    )
    expect.tensor(found, shape, dtype=torch.bool, what=what.lower())


@pytest.mark.points(1, cell=CELL, role="value")
def test_causal_mask(student, reference):
    """causal_mask is True on and below the diagonal"""
    for size in (1, 2, 5, 9):
        found = student.call("causal_mask", size)
        check_boolean(found, (size, size), "The causal mask")
        expect.that(
            torch.equal(found, reference.call("causal_mask", size)),
            "The causal mask allows the wrong keys.",
            "Row i is the query, column j the key. May query i see key i, those before it, and those after it?",
        )


@pytest.mark.points(1, cell=CELL, role="value")
def test_padding_mask(student, reference, draw):
    """padding_mask is True where a token is real, for each text of a batch, with axes for heads and queries"""
    for batch, tokens, pad, options in (
        (3, 5, 0, {}),
        (1, 4, 0, {}),
        (2, 2, 3, {"pad_id": 3}),
        (4, 1, 0, {"pad_id": 0}),
    ):
        ids = draw.integers(0, 5, (batch, tokens))
        ids[0, 0], ids[-1, -1] = 1, pad
        for given in (ids, ids.T.contiguous().T):
            found = student.call("padding_mask", given, **options)
            check_boolean(found, (batch, 1, 1, tokens), "The padding mask")
            expect.that(
                torch.equal(found, reference.call("padding_mask", ids, **options)),
                "The padding mask marks the wrong tokens.",
                "It is True where a token is real. With which id is a token compared?",
            )
    only = torch.full((2, 3), 0)
    for given in (only, only + 1, torch.tensor([[7, 0, 7, 0]]), only.int()):
        found = student.call("padding_mask", given)
        expect.that(
            isinstance(found, torch.Tensor) and torch.equal(found, (given != 0)[:, None, None]),
            "The padding mask of texts that are all PAD, have no PAD, or have it in the middle is wrong.",
            "Each token is judged by its id alone.",
        )
    found = student.call("padding_mask", torch.tensor([[0, 2, 9]]), 9)
    expect.that(
        isinstance(found, torch.Tensor) and found.flatten().tolist() == [True, True, False],
        "Another pad_id than 0 is not respected.",
        "Token 0 is real when pad_id is another id.",
    )


@pytest.mark.points(1, cell=CELL, role="property")
def test_masks_are_made_where_they_are_needed(student):
    """The masks are on the device that is asked for, or that of the ids; each call gives a mask of its own"""
    places = ["cpu", "meta"] + ([one] if (one := accelerator_if_any()) else [])
    for place in places:
        found = student.drive("masks_on", device=place)
        check_present(found)
        expect.that(
            found["causal"] == place,
            "The causal mask is not on the device that is asked for.",
            "torch's functions that make tensors take a device.",
        )
        expect.that(
            found["padding"] == place,
            "The padding mask is not on the device of the ids.",
            "Does anything move it, or is it made of new tensors?",
        )
        if place != "meta":
            expect.that(
                found["by_default"] == "cpu", "Without a device the causal mask is not on torch's default device."
            )
            expect.that(
                found["values_right"],
                "On another device, or in a later call, a mask has other values.",
                "Every call makes its own mask: the caller may change it.",
            )
            expect.that(found["ids_unchanged"], "padding_mask changes its input in place.", "Compare, do not assign.")
