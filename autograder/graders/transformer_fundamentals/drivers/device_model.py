"""MiniTransformer on an accelerator: what it returns and where that is, and where its gradients are."""

import contextlib

import torch


def run(space, device, init, state, batches):
    """Move a model to `device`; call it on each (ids, mask or None) in evaluation mode, then train one step's backward.

    Gives None where there is no such device, else the device's full name, for each batch the result (on the CPU) and
    the device of the logits, the parameters and buffers that the move left behind, and the device of each gradient.
    """
    simulated = getattr(torch, "simgpu", None)
    if device == "simgpu" and simulated is None:
        return None
    model = space.get("MiniTransformer")(**init)
    space.load(model, state)
    with simulated.shown() if device == "simgpu" else contextlib.nullcontext():
        model = simulated.place(model) if device == "simgpu" else model.to(device)
        here = torch.empty(0, device=device).device
        tensors = [*model.named_parameters(), *model.named_buffers()]
        results = []
        for train in (False, True):
            model.train(train)
            for ids, mask in batches:
                mask = None if mask is None else mask.to(here)
                with torch.set_grad_enabled(train):
                    result = model(ids.to(here), mask)
                logits = result[0] if isinstance(result, tuple | list) else result
                if train:
                    logits.pow(2).sum().backward()
                else:
                    results.append({"result": home(result), "device": str(getattr(logits, "device", None))})
        gradients = {path: space.attribute(model, path).grad for path in state}
        return {
            "device": str(here),
            "batches": results,
            "left_behind": [name for name, tensor in tensors if tensor.device != here],
            "gradients": {path: None if g is None else str(g.device) for path, g in gradients.items()},
        }


def home(value):
    """`value` with its tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, tuple | list):
        return [home(one) for one in value]
    return value
