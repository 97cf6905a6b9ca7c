"""MiniTransformer on another device than the CPU."""

import pytest

from autograder.graders.oracles.accelerator import accelerator, check_present
from autograder.graders.oracles.twins import state_for
from autograder.testing import expect

CELL = "mini-transformer"
SIZES = {
    "vocab_size": 23,
    "d_model": 12,
    "num_heads": 3,
    "num_layers": 2,
    "d_ff": 20,
    "max_length": 11,
    "num_classes": 4,
}


@pytest.mark.points(1, cell=CELL, role="property")
def test_runs_on_an_accelerator(student, reference, draw):
    """The model runs on another device than the CPU, forward and backward"""
    state = state_for(reference, draw, "MiniTransformer", **SIZES)
    ids = draw.integers(1, SIZES["vocab_size"], (3, 7))
    mask = draw.integers(0, 2, (3, 7))
    mask[:, 0] = 1
    batches = [(ids, None), (ids[:2, :5], None), (ids * mask, mask)]
    device = accelerator()
    observed = student.drive("device_model", device=device, init=SIZES, state=state, batches=batches)
    check_present(observed)
    expect.that(
        observed["left_behind"] == [],
        "A parameter or buffer is still on the CPU after .to(device).",
        "A module that overrides .to() or _apply() has to move all of its tensors.",
    )
    model = reference.build("MiniTransformer", state=state, **SIZES)
    for (batch_ids, batch_mask), found in zip(batches, observed["batches"], strict=True):
        logits, _ = expect.parts(found["result"], 2, "(logits, weights)")
        expect.that(
            found["device"] == observed["device"],
            "The model is on an accelerator, and its logits are not.",
            "Logits stay where the model is: nothing in forward moves them to the CPU.",
        )
        expect.tensor(logits, (batch_ids.size(0), SIZES["num_classes"]), what="the logits")
        expect.close(
            logits,
            model.forward(batch_ids, batch_mask)[0],
            "On an accelerator the logits are wrong.",
            "If they are right on the CPU, then something in forward depends on the device.",
            atol=2e-3,
            rtol=1e-3,
        )
    places = {path: observed["gradients"].get(path) for path in state}
    expect.that(
        set(places.values()) <= {observed["device"], None},
        "The model was on an accelerator, and forward has moved it to the CPU.",
        "Nothing in forward moves the model: its owner decides where it is.",
    )
    expect.that(
        None not in places.values(),
        "On an accelerator a parameter receives no gradient.",
        "A parameter is what the module holds after .to(device): use it through its attribute in forward.",
        f"Without a gradient: {', '.join(path for path, place in places.items() if place is None)}.",
    )
