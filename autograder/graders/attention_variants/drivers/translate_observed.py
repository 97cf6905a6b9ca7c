"""greedy_translate with a Transformer of the notebook: its result, and what it did with the model."""

import contextlib

import torch


def run(space, init, state, src, bos_id, eos_id, max_length=None, training=True, device="cpu"):
    simulated = getattr(torch, "simgpu", None) if device == "simgpu" else None
    if device == "simgpu" and simulated is None:
        return None
    model = space.get("Transformer")(**init)
    space.load(model, state)
    seen = {"encoded": 0, "with_gradients": False, "training_inside": set()}
    encode, decode = model.encode, model.decode

    def observed(method, name):
        def wrapper(*args, **kwargs):
            seen["encoded"] += name == "encode"
            result = method(*args, **kwargs)
            seen["with_gradients"] |= result.requires_grad
            seen["training_inside"] |= {m.training for m in model.modules()}
            return result

        return wrapper

    model.encode, model.decode = observed(encode, "encode"), observed(decode, "decode")
    options = {} if max_length is None else {"max_length": max_length}
    with simulated.shown() if simulated else contextlib.nullcontext(), torch.enable_grad():
        if simulated:
            model = simulated.place(model)
        model.to(device).train(training)
        given = src.clone().to(device)
        ids = space.get("greedy_translate")(model, given, bos_id, eos_id, **options)
        gradients_on = torch.is_grad_enabled()
        moved = any(not torch.equal(space.attribute(model, p).detach().cpu(), v) for p, v in state.items())
        return {
            **seen,
            "training_inside": sorted(seen["training_inside"]),
            "ids": ids.detach().cpu().clone() if isinstance(ids, torch.Tensor) else ids,
            "device": ids.device.type if isinstance(ids, torch.Tensor) else None,
            "training_after": model.training,
            "parts_after": sorted({m.training for m in model.modules()}),
            "gradients_on_after": gradients_on,
            "changed": moved or not torch.equal(given.cpu(), src),
        }
