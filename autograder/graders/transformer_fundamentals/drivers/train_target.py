"""Train a model with the student's loop, and keep it for `target_logits`."""

import torch
from torch.utils.data import DataLoader


def loader(data, batch_size, shuffle):
    keys = list(data)
    items = [dict(zip(keys, values, strict=True)) for values in zip(*data.values(), strict=True)]
    return DataLoader(items, batch_size=batch_size, shuffle=shuffle)


def run(space, sizes, train, validation, batch_size, epochs, learning_rate, training_seed, model_source=None):
    """The model is the notebook's MiniTransformer, or that of `model_source`, the text of a stand-in."""
    if model_source is None:
        make = space.get("MiniTransformer")
    else:
        names = {"__name__": "stand_in"}
        exec(compile(model_source, "<stand-in>", "exec"), names)
        make = names["MiniTransformer"]
    torch.manual_seed(training_seed)
    model = make(**sizes)
    loaders = loader(train, batch_size, True), loader(validation, batch_size, False)
    space.get("train_transformer")(model, *loaders, num_epochs=epochs, learning_rate=learning_rate)
    return space.keep(model)
