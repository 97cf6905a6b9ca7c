"""What `next_token_probabilities` gives where gradients are being recorded."""

import torch


def run(space, model, input_ids, **options):
    with torch.enable_grad():
        result = space.get("next_token_probabilities")(model, input_ids, **options)
    gradient = isinstance(result, torch.Tensor) and (result.requires_grad or result.grad_fn is not None)
    return {"result": result, "records_gradient": gradient}
