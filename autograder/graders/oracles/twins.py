"""A student's module and the reference's with the same random parameters."""

from typing import Any

import torch

from autograder.graders.oracles.accelerator import accelerator_if_any, check_present
from autograder.testing import expect


def state_for(reference: Any, draw: Any, name: str, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
    """Random parameters for component `name`, by the contract's paths."""
    return draw.state(reference.build(name, *args, **kwargs).parameters())


def twins(student: Any, reference: Any, draw: Any, name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Handles on the student's and the reference's `name(*args, **kwargs)` with equal parameters."""
    state = state_for(reference, draw, name, *args, **kwargs)
    return student.build(name, *args, state=state, **kwargs), reference.build(name, *args, state=state, **kwargs)


def check_gradients(
    student: Any, reference: Any, draw: Any, shape: tuple[int, ...], skip_row_0_of: str | None = None, **call: Any
) -> None:
    """Compare gradients with respect to inputs and parameters; `call` goes to the driver `gradients`.

    The comparison is made on the CPU and, where there is one, on an accelerator. Row 0 of an embedding is skipped,
    because `padding_idx=0` is allowed and stops its gradient.
    """
    weights = draw.normal(*shape)
    ours = reference.drive("gradients", weights=weights, **call)
    _check(student.drive("gradients", weights=weights, **call), ours, skip_row_0_of)
    if device := accelerator_if_any():
        there = student.drive("gradients", weights=weights, device=device, **call)
        check_present(there)
        expect.that(
            there["device"] == device,
            "On another device than the CPU, the output is not where the input is.",
            "Tensors that a component makes are made on the device of its input; nothing moves to the CPU.",
        )
        _check(there, ours, skip_row_0_of)


def _check(theirs: dict[str, Any], ours: dict[str, Any], skip_row_0_of: str | None) -> None:
    expect.that(
        theirs["unregistered"] == [],
        "A parameter is not registered with its module.",
        "PyTorch finds parameters in attributes that are modules, nn.Parameter or nn.ModuleList, and nowhere else.",
        f"Not registered: {', '.join(theirs['unregistered'])}.",
    )
    for path, expected in ours["parameters"].items():
        found = theirs["parameters"][path]
        expect.that(
            found is not None,
            "A parameter receives no gradient.",
            "Either forward does not use it, or something between it and the output cuts the graph "
            "(detach, .data, no_grad, a new tensor made from numbers).",
            f"Without a gradient: {path}.",
        )
        if path == skip_row_0_of:
            found, expected = found[1:], expected[1:]
        _compare(found, expected, "A parameter receives the wrong gradient.", path)
    for key, expected in ours["inputs"].items():
        if expected is not None:
            found = theirs["inputs"][key]
            expect.that(
                found is not None,
                "No gradient reaches the input.",
                "Something between input and output cuts the graph (detach, .data, no_grad, a new tensor).",
            )
            _compare(found, expected, "The gradient that reaches the input is wrong.", key)


def _compare(found: torch.Tensor, expected: torch.Tensor, symptom: str, path: str) -> None:
    expect.tensor(found, tuple(expected.shape), what="a gradient")
    size = max(1.0, float(expected.abs().max()))
    expect.close(
        found / size,
        expected / size,
        symptom,
        "The values of the output may be right while part of the computation is hidden from autograd.",
        atol=1e-4,
        rtol=1e-3,
        detail=f"It is that of {path}.",
    )
