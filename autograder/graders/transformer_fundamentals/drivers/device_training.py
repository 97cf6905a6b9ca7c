"""The student's training loop on a model of ours, on the CPU and on an accelerator."""

import contextlib
import random

import numpy
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    """Token ids (n, T) and labels (n,) in the form that `train_transformer` is given."""

    def __init__(self, ids, labels):
        self.ids, self.labels = ids, labels

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i], "attention_mask": (self.ids[i] != 0).long(), "labels": self.labels[i]}


class MeanOfTokens(nn.Module):
    """A small classifier with MiniTransformer's interface, which notes where it and its inputs are at each call."""

    def __init__(self, vocab_size, d_model, num_classes):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.norm = nn.LayerNorm(d_model)
        self.classifier = nn.Linear(d_model, num_classes)
        self.places = set()

    def forward(self, input_ids, attention_mask=None):
        self.places.add(str(self.classifier.weight.device))
        x = self.norm(self.embedding(input_ids))  # (B, T, d)
        counts = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        weights = counts / counts.sum(dim=-1, keepdim=True)  # (B, T)
        pooled = (x * weights.unsqueeze(-1)).sum(dim=1)  # (B, d)
        return self.classifier(pooled), [weights[:, None, None, :].expand(-1, 1, counts.size(1), -1)]


def run(space, device, train_rows, val_rows, sizes, epochs, learning_rate, loop_seed):
    """Give None where there is no such device, else its full name and what one run on it and one on the CPU did."""
    simulated = getattr(torch, "simgpu", None)
    if device == "simgpu" and simulated is None:
        return None
    observed = {}
    # The CPU's turn comes while the machine has an accelerator: a loop may not move the model there, either.
    with simulated.shown() if device == "simgpu" else contextlib.nullcontext():
        for name in ("cpu", device):
            random.seed(loop_seed)
            numpy.random.seed(loop_seed)
            torch.manual_seed(loop_seed)
            model = MeanOfTokens(**sizes)
            model = simulated.place(model) if name == "simgpu" else model.to(name)
            before = [p.detach().cpu().clone() for p in model.parameters()]
            loaders = [DataLoader(Rows(*rows), batch_size=8) for rows in (train_rows, val_rows)]
            history = space.get("train_transformer")(model, *loaders, num_epochs=epochs, learning_rate=learning_rate)
            after = list(model.parameters())
            observed["cpu" if name == "cpu" else "accelerator"] = {
                "history": plain(history),
                "during": sorted(model.places),
                "after": sorted({str(p.device) for p in after}),
                "moved": [float((p.detach().cpu() - old).abs().max()) for p, old in zip(after, before, strict=True)],
            }
        return {"device": str(torch.empty(0, device=device).device), **observed}


def plain(value):
    """A history with Python numbers in the place of tensors and numpy's numbers."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().tolist()
    return value.item() if isinstance(value, numpy.generic) else value
