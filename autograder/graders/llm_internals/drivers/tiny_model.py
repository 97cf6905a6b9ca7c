"""A small model with given weights, kept for later calls."""

import torch
import transformers


def build(model_class, config_class, settings, state=None):
    """The model, in evaluation mode; `state` holds tensors by parameter name."""
    model = getattr(transformers, model_class)(getattr(transformers, config_class)(**settings)).eval()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in (state or {}).items():
            parameters[name].copy_(value)
    return model


def run(space, dtype=None, other_dtypes=None, frozen=(), **model):
    """`dtype` of all parameters, `other_dtypes` and `frozen` of those named: for counting."""
    made = build(**model)
    if dtype is not None:
        made = made.to(getattr(torch, dtype))
    parameters = dict(made.named_parameters())
    for name, other in (other_dtypes or {}).items():
        parameters[name].data = parameters[name].data.to(getattr(torch, other))
    for name in frozen:
        parameters[name].requires_grad_(False)
    return space.keep(made)
