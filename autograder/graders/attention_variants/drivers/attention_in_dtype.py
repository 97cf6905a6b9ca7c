"""An attention class with its parameters and inputs in another floating type; results come back in float32."""

import torch


def run(space, name, init, state, inputs, dtype):
    """Output and weights (or None); masks, from the fourth input on, keep their type, but float ones take the new."""
    module = space.get(name)(**init)
    space.load(module, state)
    kind = getattr(torch, dtype)
    module = module.to(kind).eval()
    with torch.no_grad():
        result = module(*(x.to(kind) if x.is_floating_point() else x for x in inputs))
    if not isinstance(result, tuple | list):
        return result
    return [x.float() if isinstance(x, torch.Tensor) and x.dtype == kind else x for x in result]
