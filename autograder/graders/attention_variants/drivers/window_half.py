"""SlidingWindowAttention in another floating type: output, weights, gradients, and its inputs afterwards."""

import torch


def run(space, init, state, inputs, dtype):
    dtype = getattr(torch, dtype)
    module = space.get("SlidingWindowAttention")(*init)
    space.load(module, state)
    module = module.to(dtype).eval()
    # what comes over the wire is contiguous, and a student's inputs need not be
    given = [x.to(dtype).mT.contiguous().mT for x in inputs[:3]]
    given = [x.requires_grad_(True) for x in given] + [m.clone() for m in inputs[3:]]
    with torch.enable_grad():
        output, weights = module(*given)
        output.float().square().sum().backward()
    return {
        "output": output,
        "weights": weights,
        "gradient": torch.cat([x.grad.flatten().float() for x in given[:3]]),
        "inputs": [x.detach() for x in given],
    }
