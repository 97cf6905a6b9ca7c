"""Watch a trainer at work on a small causal model of ours, and report what was seen of each call."""

import contextlib

import torch
from torch import nn


class Probe(nn.Module):
    """Logits (B, T, V) from ids: running means of the real tokens so far. Notes how it is called."""

    def __init__(self, vocabulary, width, scale):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.mix = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.mode = nn.Dropout(0.0)
        self.scale = scale
        self.seen = {"calls": 0}

    def forward(self, input_ids, attention_mask=None):
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        real = (real != 0).to(torch.float32).unsqueeze(-1)
        x = self.embedding(input_ids) * real
        mean = x.cumsum(1) / real.cumsum(1).clamp(min=1)
        hidden = self.mix(self.embedding(input_ids) + mean)
        logits = self.scale * self.head(torch.tanh(hidden))
        self.logits = logits
        if logits.requires_grad:
            logits.retain_grad()
        self.seen["calls"] += 1
        self.seen["all_training"] = all(m.training for m in self.modules())
        self.seen["mask_seen"] = None if attention_mask is None else attention_mask.detach().cpu().clone()
        return logits


class Counting(torch.optim.SGD):
    """Plain gradient descent that counts its steps."""

    steps = 0

    def step(self, *args, **kwargs):
        self.steps += 1
        return super().step(*args, **kwargs)


def run(space, name, sizes, state, steps, options=None, scale=1.0, rate=0.1, stale=False, start="eval", device="cpu"):
    """Make the trainer, call it once for each of `steps`, and give what was seen, one dict a call.

    `stale` leaves gradients of an earlier backward in the parameters. `start` is the mode before each call.
    """
    simulated = getattr(torch, "simgpu", None) if device == "simgpu" else None
    if device == "simgpu" and simulated is None:
        return None
    model = Probe(*sizes, scale)
    space.load(model, state)
    with simulated.shown() if simulated else contextlib.nullcontext(), torch.enable_grad():
        if device != "cpu":
            model = simulated.place(model) if simulated else model.to(device)
        trainer = space.get(name)(model, **(options or {}))
        optimizer = Counting(model.parameters(), lr=rate)
        if stale:
            for parameter in model.parameters():
                parameter.grad = torch.ones_like(parameter)
        return [_watched(trainer, model, optimizer, start, **step) for step in steps]


def _watched(trainer, model, optimizer, start, do, batch):
    model.train(start != "eval")
    if start == "part":
        model.mode.eval()
    model.seen = {"calls": 0}
    optimizer.steps = 0
    given = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in batch.items()}
    before = [p.detach().clone() for p in model.parameters()]
    if do == "train_step":
        result = trainer.train_step(given, optimizer)
        grad = logits_grad = None
    else:
        model.zero_grad()
        result = trainer.compute_loss(**given)
        grad = logits_grad = None
        if isinstance(result, torch.Tensor) and result.requires_grad:
            result.backward()
            grad, logits_grad = _flat([p.grad for p in model.parameters()]), model.logits.grad
    return {
        "result": result.detach().cpu() if isinstance(result, torch.Tensor) else result,
        "grad": grad,
        "logits_grad": logits_grad,
        "moved": _flat([p.detach() - old for p, old in zip(model.parameters(), before, strict=True)]),
        "optimizer_steps": optimizer.steps,
        "batch_after": given,
        "device": next(model.parameters()).device.type,
        "model_is_given": trainer.model is model,
        "max_norm": getattr(trainer, "max_norm", None),
        "mask_seen": None,
        "all_training": None,
        **model.seen,
    }


def _flat(tensors):
    return torch.cat([t.detach().cpu().reshape(-1) for t in tensors])
