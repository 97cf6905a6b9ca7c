"""The attention function with a real dropout module, in training or in evaluation mode."""

import torch


def run(space, q, k, v, p, train, draw_seed, mask=None):
    dropout = torch.nn.Dropout(p).train(train)
    torch.manual_seed(draw_seed)
    with torch.no_grad():
        return space.get("scaled_dot_product_attention")(q, k, v, mask, dropout)
