"""Calls of `generate_greedy` in a row, and how many tokens reach the model's first layer in each forward pass."""

import sys

import torch


def run(space, model, calls, config_end=None, generation_end=None):
    """`calls` holds the arguments of each call after the model; the ends are what the two configs say."""
    model.config.eos_token_id, model.generation_config.eos_token_id = config_end, generation_end
    seen = []

    def watch(layer, arguments, named):
        states = arguments[0] if arguments else next(iter(named.values()))  # (B, T, d)
        seen[-1]["fed"].append(states.shape[:2].numel())
        seen[-1]["records_gradient"] |= states.requires_grad
        seen[-1]["library_loop"] |= within_generate()

    hook = first_layer(model).register_forward_pre_hook(watch, with_kwargs=True)
    try:
        for arguments in calls:
            seen.append({"fed": [], "records_gradient": False, "library_loop": False})
            given = [a.clone() if isinstance(a, torch.Tensor) else a for a in arguments]
            with torch.enable_grad():
                seen[-1]["result"] = space.get("generate_greedy")(model, *given)
    finally:
        hook.remove()
    return seen


def first_layer(model):
    """Whatever comes in, and by whichever way, passes here: the first of as many alike as the model has layers."""
    count = model.config.num_hidden_layers
    lists = (m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count)
    return next((m[0] for m in lists), model.get_input_embeddings())


def within_generate():
    frame = sys._getframe()
    while frame is not None:
        if "/transformers/generation/" in frame.f_code.co_filename.replace("\\", "/"):
            return True
        frame = frame.f_back
    return False
