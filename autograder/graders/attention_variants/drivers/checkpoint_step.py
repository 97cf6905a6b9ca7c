"""One forward and backward of GPTTransformer and of CheckpointedGPT from the same parameters and random state."""

import contextlib
import gc

import torch
from torch.multiprocessing.reductions import StorageWeakRef


def run(
    space,
    sizes,
    state,
    input_ids,
    mask,
    weights,
    random_state,
    training=True,
    options=None,
    device="cpu",
    collect=False,
):
    simulated = getattr(torch, "simgpu", None) if device == "simgpu" else None
    if device == "simgpu" and simulated is None:
        return None
    plain, checkpointed = space.get("GPTTransformer"), space.get("CheckpointedGPT")
    seen = {"is_gpt": isinstance(checkpointed, type) and issubclass(checkpointed, plain)}
    with simulated.shown() if simulated else contextlib.nullcontext(), torch.enable_grad():
        for name, model in (("plain", plain(**sizes)), ("checkpointed", checkpointed(**sizes, **(options or {})))):
            space.load(model, state)
            if device != "cpu":
                model = simulated.place(model) if simulated else model.to(device)
            model.train(training)
            given = [x.to(device) for x in (input_ids, mask) if x is not None]
            seen[name] = _step(model, given, weights.to(device), random_state, device, collect)
    return seen


def _step(model, given, weights, random_state, device, collect):
    runs, inner, saved = [], [], {}
    for number, block in enumerate(model.transformer_blocks):
        block.self_attention.register_forward_pre_hook(lambda module, args, n=number: runs.append(n))
        hidden = block.feed_forward.linear1
        hidden.register_forward_hook(lambda module, args, output: inner.append(_watch(output, device)))
    keys_before = list(model.state_dict())

    def pack(tensor):
        if device == "cpu":
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(random_state)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model(*given)
    if collect:
        gc.collect()  # what only a circle of references holds is as good as gone
    alive = [not watched.expired() for watched in inner if watched is not None]
    parameters = dict(model.named_parameters())
    refused, gradients = None, [None] * len(parameters)
    try:
        gradients = torch.autograd.grad((logits * weights).sum(), list(parameters.values()), allow_unused=True)
    except RuntimeError as error:
        refused = str(error)[:150]
    return {
        "logits": logits,
        "refused": refused,
        "gradients": dict(zip(parameters, (g if g is None else g.detach().cpu() for g in gradients), strict=True)),
        "runs": runs,
        "alive": alive,
        "saved_bytes": sum(saved.values()),
        "keys_before": keys_before,
        "keys_after": list(model.state_dict()),
        "mode_after": model.training,
    }


def _watch(tensor, device):
    """Whether the memory of `tensor` is still held can be asked later; the tensor itself is not held by that."""
    return StorageWeakRef(tensor.untyped_storage()) if device == "cpu" else None
