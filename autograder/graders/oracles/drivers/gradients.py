"""Gradients of a weighted sum of a component's output, observed beside the student's code."""

import contextlib

import torch


def run(space, name, inputs, weights, init=None, state=None, device="cpu"):
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
    simulated = getattr(torch, "simgpu", None) if device == "simgpu" else None
    if device == "simgpu" and simulated is None:
        return None
    with simulated.shown() if simulated else contextlib.nullcontext():
        if init is not None:
            if device != "cpu":
                with torch.no_grad():
                    component(*inputs.values())  # what it keeps from a call must not stay behind
            component = simulated.place(component) if simulated else component.to(device)
            parameters = {path: space.attribute(component, path) for path in state}
        inputs = {key: _leaf(value, device) for key, value in inputs.items()}
        with torch.enable_grad():
            output = component(*inputs.values())
            output = output[0] if isinstance(output, tuple | list) else output
            (output * weights.to(output.device)).sum().backward()
        registered = {id(p) for p in component.parameters()} if init is not None else set()
        return {
            "device": output.device.type,
            "inputs": {key: _home(getattr(value, "grad", None)) for key, value in inputs.items()},
            "parameters": {path: _home(p.grad) for path, p in parameters.items()},
            "unregistered": [path for path, p in parameters.items() if id(p) not in registered],
        }


def _leaf(value, device):
    if not isinstance(value, torch.Tensor):
        return value
    value = value.clone().to(device)
    return value.requires_grad_(True) if value.is_floating_point() else value


def _home(value):
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value
