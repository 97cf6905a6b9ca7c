"""Gradients of a weighted sum of a component's output, observed beside the student's code."""

import torch


def run(space, name, inputs, weights, init=None, state=None):
    """Call function `name`, or module `name` built from `init` with `state` loaded; differentiate output * weights.

    Gives the gradient (or None) of each floating input and of each parameter that `state` names, and which of those
    parameters the module does not register as its own.
    """
    component = space.get(name)
    parameters = {}
    if init is not None:
        component = component(**init)
        space.load(component, state)
        component.eval()
        parameters = {path: space.attribute(component, path) for path in state}
    inputs = {key: _leaf(value) for key, value in inputs.items()}
    with torch.enable_grad():
        output = component(*inputs.values())
        output = output[0] if isinstance(output, tuple | list) else output
        (output * weights).sum().backward()
    registered = {id(p) for p in component.parameters()} if init is not None else set()
    return {
        "inputs": {key: getattr(value, "grad", None) for key, value in inputs.items()},
        "parameters": {path: p.grad for path, p in parameters.items()},
        "unregistered": [path for path, p in parameters.items() if id(p) not in registered],
    }


def _leaf(value):
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.clone().requires_grad_(True)
    return value
