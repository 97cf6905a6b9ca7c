"""Watch the student's training loop at work on a small probe model, and report what was seen.

The grader replays every step on its own side from the parameters reported here, so the probe is as simple as it can be:
fixed random vectors of the tokens, averaged over the real ones, through one hidden layer with a gain `gamma`, which is
neither a matrix nor a bias. `faint` does the same work as `head`, but its gradient is a hundred times smaller.
"""

import torch
import tqdm.std
from torch import nn
from torch.utils.data import DataLoader

FAINT = 0.01
MOST_EVENTS = 5000


class Probe(nn.Module):
    """Logits from token ids and mask; every call is reported to `watch`."""

    def __init__(self, vectors, features, hidden, classes, temperature, watch=None):
        super().__init__()
        self.register_buffer("vectors", vectors)  # (V, features)
        self.layer = nn.Linear(features, hidden)
        self.head = nn.Linear(hidden, classes)
        self.faint = nn.Linear(hidden, classes, bias=False)
        self.gamma = nn.Parameter(torch.ones(hidden))
        self.unused_mode = nn.Dropout(0.0)
        self.temperature = temperature
        self.watch = watch

    def forward(self, input_ids, attention_mask=None):
        if self.watch is not None:
            self.watch(self, input_ids, attention_mask)
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        real = (real != 0).to(self.vectors.dtype).unsqueeze(-1)  # (B, T, 1)
        mean = (self.vectors[input_ids] * real).sum(1) / real.sum(1)  # (B, features)
        hidden = self.gamma * torch.tanh(self.layer(mean))
        logits = self.temperature * (self.head(hidden) + FAINT * self.faint(hidden))
        return logits, [real.squeeze(-1)]


class Log:
    """What happened, in order: forward calls with the parameters before them, gradients after each backward."""

    def __init__(self, model):
        self.model, self.events, self.theta, self.grads = model, [], [], {}
        for position, parameter in enumerate(model.parameters()):
            parameter.register_post_accumulate_grad_hook(lambda p, i=position: self.backward(i, p))

    def snapshot(self):
        return torch.cat([p.detach().reshape(-1).clone() for p in self.model.parameters()])

    def forward(self, module, input_ids, attention_mask):
        if len(self.events) >= MOST_EVENTS:
            raise RuntimeError("the training loop calls the model again and again")
        modes = [m.training for m in module.modules()]
        self.theta.append(self.snapshot())
        self.events.append(
            {
                "ids": input_ids[:, 0].tolist(),
                "masked": attention_mask is not None,
                "training": all(modes),
                "evaluating": not any(modes),
                "grad_enabled": torch.is_grad_enabled(),
            }
        )

    def backward(self, position, parameter):
        parts = self.grads.setdefault(len(self.events) - 1, [None] * len(list(self.model.parameters())))
        parts[position] = parameter.grad.detach().reshape(-1).clone()

    def gradients(self):
        """One row an event: the accumulated gradient after its backward, zeros where a parameter got none."""
        rows = []
        for i in range(len(self.events)):
            parts = self.grads.get(i) or [None] * len(list(self.model.parameters()))
            sizes = [p.numel() for p in self.model.parameters()]
            rows.append(torch.cat([torch.zeros(n) if g is None else g for g, n in zip(parts, sizes, strict=True)]))
        return torch.stack(rows) if rows else torch.zeros(0, 0)


def loader(data, batch_size, drop_last=False):
    keys = list(data)
    items = [dict(zip(keys, values, strict=True)) for values in zip(*data.values(), strict=True)]
    return DataLoader(items, batch_size=batch_size, shuffle=False, drop_last=drop_last)


def numbers(values):
    """A list of floats where it can be read as one, else the name of its type."""
    try:
        return [float(v) for v in values]
    except (TypeError, ValueError, RuntimeError):
        return type(values).__name__


def run(space, sizes, state, train, validation, batch_size, positional, drop_last, options):
    """Train a probe. `options` go to the student's loop, by name or (num_epochs, learning_rate) by position."""
    model = Probe(**sizes)
    space.load(model, state)
    model.eval()
    log = Log(model)
    model.watch = log.forward
    bars = []
    plain_init = tqdm.std.tqdm.__init__
    tqdm.std.tqdm.__init__ = lambda bar, *args, **kwargs: (bars.append(1), plain_init(bar, *args, **kwargs))[1]
    try:
        loop = space.get("train_transformer")
        loaders = loader(train, batch_size, drop_last), loader(validation, batch_size)
        history = loop(model, *loaders, *options.values()) if positional else loop(model, *loaders, **options)
    finally:
        tqdm.std.tqdm.__init__ = plain_init
    is_dict = isinstance(history, dict)
    return {
        "history": {str(k): numbers(v) for k, v in history.items()} if is_dict else type(history).__name__,
        "events": log.events,
        "backward": sorted(log.grads),
        "theta": torch.stack([*log.theta, log.snapshot()]),
        "grads": log.gradients(),
        "bars": len(bars),
    }
