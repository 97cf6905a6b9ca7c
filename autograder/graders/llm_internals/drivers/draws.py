"""Many draws in a row with one generator, as counts; what is no int is described instead."""

from collections import Counter

import numpy
import torch


def run(space, logits, count, first=0, generator_seed=None, **options):
    """Counts of the ids that `count` calls of `sample_next` give, and the `first` of them in order."""
    if generator_seed is not None:
        options["generator"] = torch.Generator().manual_seed(generator_seed)
    sample_next = space.get("sample_next")
    drawn = []
    for _ in range(count):
        one = sample_next(logits, **options)
        if isinstance(one, bool) or not isinstance(one, int | numpy.integer):
            return {"strange": type(one).__name__}
        drawn.append(int(one))
    return {"counts": dict(Counter(drawn)), "first": drawn[:first]}
