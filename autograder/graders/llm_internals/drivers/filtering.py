"""A filter of logits: its result, and what became of its input."""

import torch


def run(space, name, logits, bound):
    given = logits.clone()
    result = space.get(name)(given, bound)
    shared = isinstance(result, torch.Tensor) and (
        result.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()
    )
    return {"result": result, "given": given, "shared": shared}
