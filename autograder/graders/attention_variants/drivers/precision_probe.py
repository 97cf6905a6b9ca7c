"""Watch MixedPrecisionTrainer, and TransformerTrainer beside it, on a small causal model of ours."""

import contextlib
import math

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "linear", "matmul")


class Products(TorchDispatchMode):
    """The floating types in which matrix products come out."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if operation._schema.name.removeprefix("aten::") in PRODUCTS:
            self.types.add(str(result.dtype).removeprefix("torch."))
        return result


class Probe(nn.Module):
    """Logits (B, T, V) from ids: running means of the real tokens so far. Notes how it is called."""

    def __init__(self, vocabulary, width):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.mix = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.mode = nn.Dropout(0.0)
        self.seen, self.overflow = {}, False

    def forward(self, input_ids, attention_mask=None):
        device = input_ids.device.type
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        real = (real != 0).to(torch.float32).unsqueeze(-1)
        x = self.embedding(input_ids)
        mean = (x * real).cumsum(1) / real.cumsum(1).clamp(min=1)
        products = Products() if device == "cpu" else None
        with products or contextlib.nullcontext():
            logits = self.head(torch.tanh(self.mix(x + mean)))
        self.seen["products"] = sorted(products.types) if products else []
        self.seen["all_training"] = all(m.training for m in self.modules())
        self.seen["autocast_devices"] = [device] if torch.is_autocast_enabled(device) else []
        if self.overflow:
            logits = logits + Overflowing.apply(logits)
        return logits


class Overflowing(torch.autograd.Function):
    """Adds nothing, and sends back gradients that no floating type holds."""

    @staticmethod
    def forward(context, logits):
        return torch.zeros_like(logits)

    @staticmethod
    def backward(context, gradient):
        return torch.full_like(gradient, torch.inf)


def run(space, sizes, state, steps, options, rate, overflow=0, stale=False, device="cpu"):
    """The first `overflow` steps overflow. `stale` leaves gradients of an earlier backward in the parameters."""
    simulated = getattr(torch, "simgpu", None) if device == "simgpu" else None
    if device == "simgpu" and simulated is None:
        return None
    options = {key: getattr(torch, value) if key == "dtype" else value for key, value in options.items()}
    plain_options = {key: value for key, value in options.items() if key != "dtype"}
    mixed, plain = space.get("MixedPrecisionTrainer"), space.get("TransformerTrainer")
    seen = {"is_trainer": isinstance(mixed, type) and issubclass(mixed, plain)}
    with simulated.shown() if simulated else contextlib.nullcontext(), torch.enable_grad():
        model = _model(space, sizes, state, device, simulated)
        trainer = mixed(model, **options)
        scaler = getattr(trainer, "scaler", None)
        seen["scaler"] = isinstance(scaler, torch.amp.GradScaler) and scaler.is_enabled()
        # each float32 step starts where the mixed one did, so that errors do not add up
        rivals = [] if overflow else [_model(space, sizes, state, device, simulated)]
        seen["mixed"], seen["plain"] = [], []
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.5)
        if stale:
            _make_stale(model)
        for number, batch in enumerate(steps):
            for rival in rivals:
                with torch.no_grad():
                    for ours, theirs in zip(rival.parameters(), model.parameters(), strict=True):
                        ours.copy_(theirs)
                pace = torch.optim.SGD(rival.parameters(), lr=rate)
                seen["plain"].append(_step(plain(rival, **plain_options), rival, pace, batch))
            model.overflow = number < overflow
            optimizer.state.clear()  # momentum from a step before would hide what this one does
            seen["mixed"].append(_step(trainer, model, optimizer, batch))
    return seen


def _model(space, sizes, state, device, simulated):
    model = Probe(*sizes)
    space.load(model, state)
    if device != "cpu":
        model = simulated.place(model) if simulated else model.to(device)
    return model.eval()


def _make_stale(model):
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)


def _step(trainer, model, optimizer, batch):
    model.seen = {"products": []}
    device = next(model.parameters()).device.type
    given = {key: value.clone() for key, value in batch.items()}
    before = [p.detach().clone() for p in model.parameters()]
    arrived = {}  # by parameter: the size of the gradient as backward leaves it, and whether autocast was on then

    def note(parameter):
        arrived[id(parameter)] = float(parameter.grad.norm().cpu()), torch.is_autocast_enabled(device)

    hooks = [p.register_post_accumulate_grad_hook(note) for p in model.parameters()]
    try:
        result = trainer.train_step(given, optimizer)
    finally:
        for hook in hooks:
            hook.remove()
    after = list(model.parameters())
    gradients = [p.grad for p in after if p.grad is not None]
    moved = torch.cat([(p.detach() - old).cpu().reshape(-1) for p, old in zip(after, before, strict=True)])
    held = [t for entry in optimizer.state.values() for t in entry.values() if isinstance(t, torch.Tensor)]
    head = model.head.weight
    left = float(torch.nan_to_num(head.grad).norm().cpu()) if head.grad is not None else 0.0
    return {
        "result": result,
        "moved": moved,
        "finite": all(bool(torch.isfinite(p.detach().cpu()).all()) for p in after),
        "parameters": _types(after),
        "gradients": _types(gradients),
        "optimizer_state": _types(held) or ["float32"],
        "autocast_after": torch.is_autocast_enabled(device),
        "autocast_in_backward": any(on for _, on in arrived.values()),
        "overflowed": not all(math.isfinite(size) for size, _ in arrived.values()),
        "backward_scale": arrived[id(head)][0] / left if id(head) in arrived and left else None,
        "batch_after": given,
        "device": device,
        **model.seen,
    }


def _types(tensors):
    return sorted({str(t.dtype).removeprefix("torch.") for t in tensors if t.is_floating_point()})
