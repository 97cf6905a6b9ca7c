"""FusedMultiHeadAttention in one floating type: output, gradients, calls of the kernel, and its inputs afterwards."""

import torch
from torch.overrides import TorchFunctionMode


class Calls(TorchFunctionMode):
    """Counts calls of scaled_dot_product_attention, however it was imported."""

    count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += getattr(function, "__name__", "") == "scaled_dot_product_attention"
        return function(*args, **(kwargs or {}))


def run(space, init, state, inputs, dtype):
    dtype = getattr(torch, dtype)
    module = space.get("FusedMultiHeadAttention")(**init)
    space.load(module, state)
    module = module.to(dtype).eval()
    given = [x.clone().to(dtype).requires_grad_(True) for x in inputs[:3]]
    masks = [m.clone() for m in inputs[3:]]
    with torch.enable_grad(), Calls() as calls:
        output, _ = module(*given, *masks)
        output.float().square().sum().backward()
    return {
        "output": output,
        "gradient": torch.cat([x.grad.flatten().float() for x in given]),
        "calls": calls.count,
        "inputs": [x.detach() for x in given] + masks,
    }
