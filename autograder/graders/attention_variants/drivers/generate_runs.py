"""generate_text at work on a GPTTransformer with given parameters: what it returns, and how it calls the model."""

import contextlib

import torch


def run(space, sizes, state, calls, device="cpu"):
    """One dict for each of `calls`; in them `generator` is a seed, `training` the model's mode, `seed` torch's own."""
    simulated = getattr(torch, "simgpu", None) if device == "simgpu" else None
    if device == "simgpu" and simulated is None:
        return None
    model = space.get("GPTTransformer")(**sizes)
    space.load(model, state)
    with simulated.shown() if simulated else contextlib.nullcontext(), torch.enable_grad():
        if device != "cpu":
            model = simulated.place(model) if simulated else model.to(device)
        return [_watched(space, model, device, **call) for call in calls]


def _watched(space, model, device, prompt, generator=None, training=True, seed=0, **options):
    model.train(training)
    torch.manual_seed(seed)
    modes, gradients = set(), set()

    def note(module, *given):
        modes.update(m.training for m in module.modules())
        gradients.add(torch.is_grad_enabled())

    if generator is not None:
        options["generator"] = torch.Generator().manual_seed(generator)
    before = [p.detach().cpu().clone() for p in model.parameters()]
    given = prompt.clone().to(device)
    hook = model.register_forward_pre_hook(note)
    try:
        result = space.get("generate_text")(model, given, **options)
    finally:
        hook.remove()
    return {
        "result": result,
        "device": result.device.type if isinstance(result, torch.Tensor) else None,
        "modes": sorted(modes),
        "gradients": sorted(gradients),
        "after": sorted({m.training for m in model.modules()}),
        "prompt_after": given,
        "same_parameters": all(
            torch.equal(p.detach().cpu(), old) for p, old in zip(model.parameters(), before, strict=True)
        ),
    }
