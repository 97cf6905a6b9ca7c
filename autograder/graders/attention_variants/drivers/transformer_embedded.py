"""What enters the first layer of a Transformer's encoder and decoder, in evaluation and in training mode."""

import torch
from torch import nn


def run(space, init, state, src, tgt, draw_seed):
    model = space.get("Transformer")(**init)
    space.load(model, state)
    entered = {"encoder": [], "decoder": []}
    for part, given in entered.items():
        first = getattr(model, f"{part}_layers")[0]
        first.register_forward_pre_hook(lambda module, args, given=given: given.append(args[0].detach().clone()))
    with torch.no_grad():
        logits = [model.eval()(src, tgt) for _ in range(2)]
        torch.manual_seed(draw_seed)
        model.train()(src, tgt)
    return {
        **{part: [given[0], given[2]] for part, given in entered.items()},
        "rates": [m.p for m in model.modules() if isinstance(m, nn.Dropout)],
        "same_in_evaluation": torch.equal(*logits),
    }
