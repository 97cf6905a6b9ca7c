"""memory_efficient_attention in one floating type: output, gradients, and its inputs afterwards."""

import torch


def run(space, inputs, chunk_size, dtype, axes=None):
    """`axes` are exchanged in query, key and value by a view, so that these are not contiguous."""
    given = [x.to(getattr(torch, dtype)).clone().requires_grad_(True) for x in inputs[:3]]
    passed = given if axes is None else [x.transpose(*axes) for x in given]
    masks = [m.clone() for m in inputs[3:]]
    with torch.enable_grad():
        output = space.get("memory_efficient_attention")(*passed, *masks, chunk_size=chunk_size)
        weights = torch.linspace(-1, 1, output.size(-1), dtype=torch.float32)
        (output.float() * weights).sum().backward()
    return {
        "output": output,
        "gradients": [torch.zeros_like(x) if x.grad is None else x.grad for x in given],
        "inputs": [x.detach() for x in given] + masks,
    }
