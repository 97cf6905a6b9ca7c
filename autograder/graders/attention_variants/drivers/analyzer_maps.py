"""attention_maps on a GPTTransformer with given parameters: what it gives, how it calls the model, what it leaves."""

import contextlib

import torch


def run(space, sizes, state, input_ids, training=True, raising=False, device="cpu"):
    simulated = getattr(torch, "simgpu", None) if device == "simgpu" else None
    if device == "simgpu" and simulated is None:
        return None
    model = space.get("GPTTransformer")(**sizes)
    space.load(model, state)
    calls, modes, gradients, others = [], set(), set(), []

    def note(module, *given):
        calls.append(1)
        modes.update(m.training for m in module.modules())
        gradients.add(torch.is_grad_enabled())

    with simulated.shown() if simulated else contextlib.nullcontext(), torch.enable_grad():
        if device != "cpu":
            model = simulated.place(model) if simulated else model.to(device)
        model.train(training)
        model.register_forward_pre_hook(note)
        last = model.transformer_blocks[-1]
        last.self_attention.register_forward_hook(lambda *given: others.append(1))
        if raising:
            last.feed_forward.register_forward_pre_hook(_stop)
        before, maps, raised = _hooks(model), None, False
        try:
            maps = space.get("attention_maps")(model, input_ids.clone().to(device))
        except Stopped:
            raised = True
    return {
        "maps": maps,
        "requires_grad": getattr(maps, "requires_grad", None),
        "calls": len(calls),
        "modes": sorted(modes),
        "gradients": sorted(gradients),
        "after": sorted({m.training for m in model.modules()}),
        "other_hook_calls": len(others),
        "hooks_before": before,
        "hooks_after": _hooks(model),
        "raised": raised,
    }


class Stopped(Exception):
    """What the forward raises when it is to raise."""


def _stop(*given):
    raise Stopped


def _hooks(model):
    """How many hooks each module has, before and after its forward."""
    return [[name, len(m._forward_hooks), len(m._forward_pre_hooks)] for name, m in model.named_modules()]
