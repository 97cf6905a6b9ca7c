"""A model's configuration without the model, kept for later calls."""

import transformers


def run(space, config_class, settings):
    return space.keep(getattr(transformers, config_class)(**settings))
