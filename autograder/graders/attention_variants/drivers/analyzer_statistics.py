"""model_statistics of the notebook's GPT and of models of ours with other kinds of sharing and types."""

import torch
from torch import nn


class Gained(nn.Module):
    """A module with a parameter and a buffer of its own, and a part that occurs twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 5)
        self.gain = nn.Parameter(torch.ones(7))
        self.again = self.first
        self.half = nn.Linear(5, 2, bias=False).to(torch.float16)
        self.norm = nn.BatchNorm1d(4)
        self.tied = nn.Linear(3, 5)
        self.tied.weight = self.first.weight
        self.activation = nn.ReLU()


def run(space, sizes):
    gpt = space.get("GPTTransformer")(**sizes)
    frozen = space.get("GPTTransformer")(**sizes)
    frozen.token_embedding.weight.requires_grad_(False)
    frozen.transformer_blocks[1].norm1.bias.requires_grad_(False)
    gained = Gained()
    gained.gain.requires_grad_(False)
    models = {
        "gpt": gpt,
        "frozen": frozen,
        "gained": gained,
        "nested": nn.Sequential(nn.Sequential(nn.Linear(2, 3)), nn.ReLU(), nn.Embedding(4, 6).double()),
    }
    return {
        name: {"found": space.get("model_statistics")(model), "modules": _modules(model)}
        for name, model in models.items()
    }


def _modules(model):
    """Name, type and parameters (identity, elements, size of one, trainable) of each module; parts are left out.

    A notebook's GPT may register its parts in any order, so what is right follows from the model itself.
    """
    return [
        [
            name,
            type(module).__name__,
            [[id(p), p.numel(), p.element_size(), p.requires_grad] for p in module.parameters(recurse=False)],
        ]
        for name, module in model.named_modules()
    ]
