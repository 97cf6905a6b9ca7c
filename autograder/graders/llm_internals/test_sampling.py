"""filter_top_k, filter_top_p and sample_next: which tokens stay, and how often each is drawn."""

import math
from itertools import pairwise

import pytest
import torch

from autograder.graders.llm_internals import seconds
from autograder.graders.llm_internals.logits import distinct
from autograder.graders.oracles.distribution import fits
from autograder.testing import expect

CELL = "sampling"
DRAWS = 1500
GAP = 0.02  # between a cumulative probability and p: no float rounding comes near it


def filtered(student, name, logits, bound):
    """Which tokens stay, after checking what does not depend on that."""
    seen = student.drive("filtering", name=name, logits=logits, bound=bound)
    found = seen["result"]
    expect.that(
        isinstance(found, torch.Tensor) and found.shape == logits.shape and found.is_floating_point(),
        f"{name} does not return logits of the shape that it was given.",
        "One number for each token of the vocabulary, in the same order.",
        f"It is {expect.described(found)}.",
    )
    stays = ~torch.isneginf(found)
    expect.that(
        bool((found[stays] == logits[stays]).all()),
        f"{name} changes a logit that stays, or marks a dropped one otherwise than with -inf.",
        "Each token keeps its place; dropped ones become float('-inf'), the others stay as they are.",
    )
    expect.that(
        not seen["shared"] and torch.equal(seen["given"], logits),
        f"{name} changes its input, or returns the very same tensor.",
        "Make a new tensor, also where nothing is dropped.",
    )
    return stays


@pytest.mark.points(0.1, cell=CELL, role="value")
def test_top_k(student, draw):
    """filter_top_k keeps the k largest logits"""
    name = "filter_top_k"
    for size in (1, 2, 9, 40):
        logits = distinct(draw, size)
        for k in {1, 2, size // 2 or 1, size - 1 or 1, size, size + 1, 10 * size}:
            stays = filtered(student, name, logits, k)
            kept = torch.zeros(size, dtype=torch.bool)
            kept[logits.topk(min(k, size)).indices] = True
            expect.that(
                torch.equal(stays, kept),
                "filter_top_k does not keep the k largest logits.",
                "Where k is larger than the vocabulary, all stay.",
                f"With k = {k} of {size} it keeps {int(stays.sum())}.",
            )
    tied = distinct(draw, 4).sort().values[torch.tensor([0, 1, 2, 2, 2, 3])][draw.permutation(6)]
    for k in (2, 3):
        stays = filtered(student, name, tied, k)
        edge = tied.topk(k).values[-1]
        expect.that(
            bool(stays[tied > edge].all()) and not bool(stays[tied < edge].any()) and int(stays.sum()) >= k,
            "With equal logits at the edge, filter_top_k drops a larger logit or keeps too few.",
            "Ties at the edge may stay or go, but at least k tokens stay.",
        )
    for k in (0, -1, -5):
        with student.raises("ValueError", symptom="filter_top_k does not raise ValueError for k below 1."):
            student.call(name, distinct(draw, 6), k)


def cumulative(logits):
    """Cumulative probabilities, the most probable token first, and the order of the tokens."""
    probabilities, order = torch.softmax(logits.double(), dim=-1).sort(descending=True)
    return probabilities.cumsum(0), order


def is_clear(logits, p):
    return bool(((cumulative(logits)[0] - p).abs() > GAP).all())


def nucleus(logits, p):
    """The smallest set of tokens whose probability reaches p, as a mask."""
    reached, order = cumulative(logits)
    kept = torch.zeros(len(logits), dtype=torch.bool)
    kept[order[: int((reached < p).sum()) + 1]] = True
    return kept


@pytest.mark.points(0.1, cell=CELL, role="value")
def test_top_p(student, draw):
    """filter_top_p keeps the smallest set of tokens whose probability reaches p"""
    name = "filter_top_p"
    for size, scale in ((6, 0.8), (9, 1.0), (30, 0.2)):
        logits = distinct(draw, size, scale)
        edges = [0.0, *cumulative(logits)[0].tolist()]
        for p in (1e-6, *((low + high) / 2 for low, high in pairwise(edges) if high - low > 2 * GAP)):
            check_nucleus(filtered(student, name, logits, p), nucleus(logits, p), p)
    spread = torch.cat([distinct(draw, 5), torch.tensor([-40.0, -90.0, -300.0])])[draw.permutation(8)]
    for logits in (distinct(draw, 12), spread):
        for p in (1.0, 1, 1.5):
            expect.that(
                bool(filtered(student, name, logits, p).all()),
                "With p = 1 or more filter_top_p drops tokens.",
                "Even a token whose probability is too small for a float stays: treat this case on its own.",
            )
    before = distinct(draw, 8, 0.8)
    before[draw.permutation(8)[:3]] = -math.inf
    for p in (0.3, 0.6, 0.9):
        if is_clear(before, p):
            check_nucleus(filtered(student, name, before, p), nucleus(before, p), p)


def check_nucleus(stays, kept, p):
    expect.that(bool(stays.any()), "filter_top_p drops every token.", "The most probable token always stays.")
    expect.that(
        torch.equal(stays, kept),
        "filter_top_p does not keep the smallest set of tokens whose probability reaches p.",
        "Go from the most probable token down; the token with which the sum reaches p belongs to the set. Put each "
        "token back in its own place.",
        f"With p = {p:.4g} it keeps {int(stays.sum())} of {len(stays)}.",
    )


def drawn(student, draw, logits, count=DRAWS, with_generator=True, **options):
    """What `count` draws gave, and the seed of their generator."""
    options["generator_seed"] = seed = draw.seed() if with_generator else None
    limit = seconds.DECODE
    seen = student.drive("draws", logits=logits, count=count, first=60, seed=draw.seed(), seconds=limit, **options)
    expect.that(
        "strange" not in seen,
        "sample_next does not return an int.",
        "A number taken out of a tensor is a tensor until it is converted.",
        f"It returns a {seen.get('strange')}.",
    )
    expect.that(
        sum(seen["counts"].values()) == count and len(seen["first"]) == min(60, count),
        "Not every draw could be counted.",
        "sample_next draws one token and leaves everything else alone.",
    )
    return seen, seed


def check_draws(seen, logits, kept, temperature, symptom, cause):
    kept = kept if kept is not None else torch.ones(len(logits), dtype=torch.bool)
    scaled = (logits.double() / temperature).masked_fill(~kept, -math.inf)
    probabilities = torch.softmax(scaled, dim=-1).tolist()
    support = {i: p for i, p in enumerate(probabilities) if p > 0}
    counts = f"The ids that were drawn, with their counts: {dict(sorted(seen['counts'].items()))}."
    expect.that(
        all(i in support for i in seen["counts"]),
        f"{symptom} A token is drawn that should have been dropped.",
        cause,
        counts,
    )
    expect.that(
        fits(seen["counts"], support),
        f"{symptom} The tokens are not drawn as often as their probabilities say.",
        cause,
        counts,
    )


@pytest.mark.points(0.1, cell=CELL, chance=True)
def test_draws_by_probability(student, draw):
    """sample_next draws by probability at any temperature, with the given generator"""
    logits = distinct(draw, 7, 1.5)
    for temperature in (1.0, 0.5, 3.0):
        options = {} if temperature == 1.0 else {"temperature": temperature}
        seen, seed = drawn(student, draw, logits, **options)
        symptom, cause = "Without a filter:", "Divide the logits by the temperature, then draw by the softmax."
        check_draws(seen, logits, None, temperature, symptom, cause)
        again = student.drive(
            "draws", logits=logits, count=60, first=60, generator_seed=seed, seed=draw.seed(), **options
        )
        expect.equal(
            again.get("first"),
            seen["first"],
            "Two generators with the same seed do not give the same draws.",
            "Hand the generator on to the function that draws; nothing else may be random.",
        )
    seen, _ = drawn(student, draw, logits, with_generator=False)
    check_draws(seen, logits, None, 1.0, "Without a generator:", "generator=None means torch's own.")
    for options in ({}, {"top_k": 3}, {"top_p": 0.5}):
        seen, _ = drawn(student, draw, logits, count=20, temperature=0, **options)
        argmax = {int(logits.argmax()): 20}
        expect.equal(seen["counts"], argmax, "At temperature 0 the arg max is not returned.", "Nothing is drawn there.")
    with student.raises("ValueError", symptom="sample_next does not raise ValueError for a negative temperature."):
        student.call("sample_next", logits, temperature=-0.5)


@pytest.mark.points(0.1, cell=CELL, chance=True)
def test_order_of_filters(student, draw):
    """Temperature comes first, then top-k, then top-p on what is left"""
    order = draw.permutation(8)
    logits = torch.tensor([2.1, 1.7, 1.2, 0.8, 0.1, -0.4, -1.0, -2.0])[order] + draw.uniform(-0.02, 0.02, (8,))
    largest = logits.sort(descending=True).indices
    for temperature, k, p, stay, cause in (
        (1.0, 3, None, 3, "Only the k largest logits are left."),
        (1.0, None, 0.6, 2, "Only the smallest set that reaches p is left."),
        (4.0, None, 0.6, 4, "The temperature comes before top-p: it changes which tokens reach p."),
        (0.4, None, 0.8, 2, "The temperature comes before top-p: it changes which tokens reach p."),
        (1.0, 3, 0.75, 2, "Top-p looks at the probabilities of what top-k has left, which sum to 1 again."),
        (3.0, 4, 0.7, 3, "First the temperature, then top-k, then top-p on what is left."),
        (1.0, 20, 1.0, 8, "A k above the size of the vocabulary and a p of 1 drop nothing."),
    ):
        options = {"temperature": temperature} | ({"top_k": k} if k else {}) | ({"top_p": p} if p else {})
        kept = torch.zeros(8, dtype=torch.bool)
        kept[largest[:stay]] = True
        seen, _ = drawn(student, draw, logits, count=600, **options)
        check_draws(seen, logits, kept, temperature, "With filters:", cause)
