"""Where the two masks are made, and whether a caller who changes one changes the next."""

import contextlib

import torch


def run(space, device):
    causal_mask, padding_mask = space.get("causal_mask"), space.get("padding_mask")
    simulated = getattr(torch, "simgpu", None) if device == "simgpu" else None
    if device == "simgpu" and simulated is None:
        return None
    with simulated.shown() if simulated else contextlib.nullcontext():
        ids = torch.tensor([[1, 2, 0], [3, 0, 0]]).to(device)
        causal, padding = causal_mask(4, device=ids.device), padding_mask(ids, 0)
        found = {"causal": causal.device.type, "padding": padding.device.type}
        if device == "meta":
            return found
        found["by_default"] = causal_mask(3).device.type
        causal.zero_(), padding.zero_()
        again = causal_mask(4, device).cpu(), padding_mask(ids).cpu()
        expected = torch.ones(4, 4).tril().bool(), torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()[:, None, None]
        found["values_right"] = all(torch.equal(a, e) for a, e in zip(again, expected, strict=True))
        found["ids_unchanged"] = ids.cpu().tolist() == [[1, 2, 0], [3, 0, 0]]
        return found
