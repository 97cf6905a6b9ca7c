"""What a module gives for several calls, again after other calls, and for inputs of another memory layout."""

import torch


def run(space, name, init, state, calls):
    """`calls` are lists of inputs, or of tensors and None; `state` is that of one object, another has its negative."""
    module, other = (space.get(name)(**init) for _ in range(2))
    space.load(module, state)
    space.load(other, {path: -value for path, value in state.items()})
    module.eval(), other.eval()
    given = [[x if x is None else x.clone() for x in call] for call in calls]
    with torch.no_grad():
        first = [home(module(*call)) for call in given]
        for call in reversed(given):
            other(*call)
        again = [home(module(*call)) for call in reversed(given)][::-1]
        layout = [home(module(*(turned(x) for x in call))) for call in calls]
    changed = any(
        x is not None and not torch.equal(x, y)
        for a, b in zip(given, calls, strict=True)
        for x, y in zip(a, b, strict=True)
    )
    return {"first": first, "again": again, "layout": layout, "changed": changed}


def turned(x):
    """The same tensor, laid out in memory with its axes in the opposite order."""
    if x is None or x.dim() < 2:
        return x
    return x.permute(*range(x.dim())[::-1]).contiguous().permute(*range(x.dim())[::-1])


def home(result):
    return result[0].clone() if isinstance(result, tuple | list) else result.clone()
