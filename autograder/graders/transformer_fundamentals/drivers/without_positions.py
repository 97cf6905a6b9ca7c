"""The model's logits with its position encodings set to zero."""

import torch


def run(space, init, state, batches):
    model = space.get("MiniTransformer")(**init).eval()
    space.load(model, state)
    with torch.no_grad():
        model.embeddings.pos_encoding.pe.zero_()
        return [model(ids, mask)[0] for ids, mask in batches]
