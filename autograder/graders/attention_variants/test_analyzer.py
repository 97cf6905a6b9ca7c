"""attention_maps, attention_entropy, model_statistics: weights of all blocks, entropy, parameters counted once."""

import math

import pytest
import torch

from autograder.graders.oracles.accelerator import accelerator_if_any, check_present
from autograder.graders.oracles.twins import state_for
from autograder.testing import expect

CELL = "analyzer"
SIZES = {
    "vocab_size": 13, "d_model": 12, "n_heads": 3, "n_layers": 4, "d_ff": 20, "max_seq_length": 9, "dropout": 0.5,
}  # fmt: skip


def observe(subject, reference, draw, ids, **options):
    state = options.pop("state", None) or state_for(reference, draw, "GPTTransformer", **SIZES)
    return subject.drive("analyzer_maps", sizes=SIZES, state=state, input_ids=ids, **options)


@pytest.mark.points(1, cell=CELL, role="value")
def test_maps_values(student, reference, draw):
    """The maps are the weights of every block's attention, in eval mode, one block after the other"""
    for shape in ((2, 5), (1, 9), (3, 1), (4, 4)):
        ids = draw.integers(0, 13, shape)
        state = state_for(reference, draw, "GPTTransformer", **SIZES)
        right = observe(reference, reference, draw, ids, state=state)["maps"]
        for training in (True, False):
            for _ in range(2):
                seen = observe(student, reference, draw, ids, state=state, training=training)
                maps = expect.tensor(seen["maps"], (4, shape[0], 3, shape[1], shape[1]), what="attention_maps")
                expect.close(
                    maps,
                    right,
                    "The maps are not the attention weights of the blocks.",
                    "Which of the results of self_attention holds the weights? Is dropout on, and does each entry "
                    "belong to a block of its own, in the order of the blocks?",
                    atol=1e-4,
                )
                expect.that(
                    seen["requires_grad"] is False and seen["gradients"] == [False],
                    "The forward runs with gradients.",
                    "torch has a context for that.",
                )
                expect.that(seen["calls"] == 1, "The model is not called once.", "One forward passes all blocks.")
    if device := accelerator_if_any():
        seen = observe(student, reference, draw, ids, state=state, device=device)
        check_present(seen)
        expect.close(seen["maps"], right, "The maps on another device are not those on the CPU.", atol=1e-3)


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_maps_leave_nothing(student, reference, draw):
    """Hooks are gone afterwards, also when the forward raises; those of others stay, and so does the mode"""
    ids = draw.integers(0, 13, (2, 5))
    for training in (True, False):
        for raising in (False, True):
            seen = observe(student, reference, draw, ids, training=training, raising=raising)
            expect.that(
                seen["hooks_after"] == seen["hooks_before"],
                "Hooks are left behind after the forward has raised."
                if raising
                else "The hooks are not those that were there before.",
                "Each hook that is registered gives a handle that removes it, and it alone. What runs in any case?",
            )
            if raising:
                expect.that(
                    seen["raised"] is True,
                    "An error of the forward is swallowed.",
                    "Clear up, and let the error go on.",
                )
            else:
                expect.that(
                    seen["other_hook_calls"] == 1,
                    "A hook of somebody else is not called.",
                    "Leave the hooks that are there alone.",
                )
                expect.that(
                    seen["modes"] == [False] and seen["after"] == [training],
                    "The forward is not in eval mode, or the model is not left in its mode.",
                    "Remember model.training before you switch, and put it back with a method of the model.",
                )


@pytest.mark.points(0.5, cell=CELL, role="value")
def test_entropy(student, draw):
    """Entropy is in nats, the mean over queries; weights of 0 count as 0; any axes may come before"""
    for shape in ((2, 3, 4, 5), (6, 3), (2, 4, 3, 2, 7), (1, 1), (3, 2, 1)):
        weights = draw.normal(*shape, scale=2.0).softmax(-1)
        if shape[-1] > 2:
            weights[..., 0] = 0
            weights = weights / weights.sum(-1, keepdim=True)
        given = weights.double()
        right = torch.special.entr(given).sum(-1).mean(-1)
        found = expect.tensor(student.call("attention_entropy", weights), shape[:-2], what="the entropy")
        expect.close(
            found,
            right,
            "The entropy is wrong.",
            "It is -p log p with the natural logarithm, summed over keys; then the mean over queries.",
            atol=1e-5,
        )
    causal = torch.ones(6, 6).tril()
    causal = causal / causal.sum(-1, keepdim=True)
    expected = sum(math.log(n) for n in range(1, 7)) / 6
    expect.close(
        expect.tensor(student.call("attention_entropy", causal), (), what="the entropy"),
        expected,
        "The entropy of even weights over n keys is not log n.",
        "In which unit is it?",
        atol=1e-5,
    )
    expect.close(
        expect.tensor(student.call("attention_entropy", torch.eye(5)), (), what="the entropy"),
        0.0,
        "The entropy of certain attention is not 0.",
        "What is log 0, and what has to come out?",
        atol=1e-7,
    )
    tiny = torch.tensor([[1.0 - 1e-12, 1e-12], [1e-30, 1.0]])
    expect.close(
        student.call("attention_entropy", tiny), 0.0, "Very small weights give a wrong entropy.", "", atol=1e-6
    )
    given = draw.normal(2, 3, 4).softmax(-1)
    after = student.drive("argument_after", name="attention_entropy", argument=given)
    expect.that(torch.equal(after, given), "attention_entropy changes the weights that it is given.", "Which line?")


@pytest.mark.points(1, cell=CELL, role="value")
def test_statistics(student):
    """Parameters, trainable ones, bytes, and the list of modules, with each parameter counted once"""
    for seen in student.drive("analyzer_statistics", sizes=SIZES).values():
        theirs, ours = seen["found"], statistics_of(seen["modules"])
        expect.that(isinstance(theirs, dict), "model_statistics does not return a dict.", "Look at the return line.")
        missing = [key for key in ours if key not in theirs]
        expect.that(not missing, "A key is missing.", "The docstring names them.", f"Missing: {', '.join(missing)}.")
        for key, cause in (
            ("total_parameters", "A parameter that two modules share is counted once. Buffers are no parameters."),
            ("trainable_parameters", "requires_grad tells which are; tied ones are counted once here, too."),
            ("parameter_bytes", "Each parameter has a number of elements and a size of one element, which may differ."),
        ):
            expect.equal(theirs[key], ours[key], f"{key} is wrong.", cause)
        expect.that(isinstance(theirs["layers"], list | tuple), "layers is not a list.", "One dict for each module.")
        rows = [
            [row.get(k) for k in ("name", "type", "parameters")] if isinstance(row, dict) else row
            for row in theirs["layers"]
        ]
        wanted = [[row[k] for k in ("name", "type", "parameters")] for row in ours["layers"]]
        expect.equal(
            [row[0] if isinstance(row, list) else None for row in rows],
            [row[0] for row in wanted],
            "layers does not list the modules that have parameters of their own, in the order of named_modules.",
            "A module that only holds others has none; one whose parameters were all counted before is listed with 0.",
        )
        expect.equal(
            rows,
            wanted,
            "An entry of layers is wrong.",
            "The type is the class's name. A tied parameter is counted at the first module that has it.",
        )


def statistics_of(modules):
    """What model_statistics must give for modules as the driver describes them."""
    met, layers = {}, []
    for name, kind, parameters in modules:
        new = {identity: rest for identity, *rest in parameters if identity not in met}
        met |= new
        if parameters:
            layers.append({"name": name, "type": kind, "parameters": sum(count for count, _, _ in new.values())})
    return {
        "total_parameters": sum(count for count, _, _ in met.values()),
        "trainable_parameters": sum(count for count, _, trainable in met.values() if trainable),
        "parameter_bytes": sum(count * size for count, size, _ in met.values()),
        "layers": layers,
    }
