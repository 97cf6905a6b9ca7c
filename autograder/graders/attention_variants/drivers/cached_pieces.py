"""A text fed to CachedAttention in pieces: outputs, each cache, and gradients of a weighted sum of the outputs."""

import contextlib

import torch


def run(space, init, state, pieces, weights=None, dtype="float32", device="cpu", train=False):
    simulated = getattr(torch, "simgpu", None) if device == "simgpu" else None
    if device == "simgpu" and simulated is None:
        return None
    module = space.get("CachedAttention")(**init)
    space.load(module, state)
    module = module.to(getattr(torch, dtype)).train(train)
    with simulated.shown() if simulated else contextlib.nullcontext():
        module = simulated.place(module) if simulated else module.to(device)
        pieces = [p.to(getattr(torch, dtype)).to(device) for p in pieces]
        if weights is not None:
            pieces = [p.requires_grad_(True) for p in pieces]
        outputs, caches, cache = [], [], None
        with torch.set_grad_enabled(weights is not None):
            for number, piece in enumerate(pieces):
                result = module(piece) if number == 0 else module(piece, cache)
                if not is_pair(result) or not is_pair(result[1]) or not isinstance(result[0], torch.Tensor):
                    return {"problem": True}
                output, cache = result
                outputs.append(output)
                caches.append([part.detach().cpu().float().clone() for part in cache])
        whole = torch.cat(outputs, dim=1)
        places = {whole.device.type, *(part.device.type for part in cache)}
        found = {
            "problem": False,
            "output": whole.detach().cpu().float(),
            "caches": caches,
            "device": places.pop() if len(places) == 1 else None,
        }
        if weights is not None:
            (whole * weights.to(device)).sum().backward()
            gradients = {path: space.attribute(module, path).grad for path in state}
            gradients["x"] = None if any(p.grad is None for p in pieces) else torch.cat([p.grad for p in pieces], dim=1)
            found["gradients"] = {path: None if g is None else g.detach().cpu() for path, g in gradients.items()}
        return found


def is_pair(value):
    return isinstance(value, tuple | list) and len(value) == 2
