"""Sketches of answers of any size take little memory and time; those of ordinary answers stay as they were."""

import pytest
import torch

from autograder.diagnosis import sketch as module
from autograder.diagnosis.fingerprints import observe
from autograder.diagnosis.sketch import sketch, unlike
from autograder.testing.in_process import InProcess, without_accelerator
from tests.this_course import TRANSFORMER_FUNDAMENTALS as TF

HUGE = """
def scaled_dot_product_attention(Q, K, V, mask=None, dropout=None):
    return torch.zeros(10**5, dtype=torch.uint8), torch.softmax(Q @ K.transpose(-2, -1), dim=-1)
"""


@pytest.mark.parametrize(
    ("count", "begins"),
    [
        (1, ["float (1,)", 0.0, 0.0, 0.0]),
        (9, ["float (9,)", 2.1297, -2.4219, -1.0464]),
        (5000, ["float (5000,)", 49.996, -27.851, -58.284]),
        (100_000, ["float (100000,)", 223.61, 7.2241, 206.21]),
    ],
)
def test_ordinary_sketches_stay(count, begins):
    """The fingerprints that are kept with the bank stay comparable."""
    assert sketch(torch.arange(count).double().sin())[""][:4] == begins


def test_large_tensors_are_sampled(monkeypatch):
    """However large a tensor is, only so many of its values are projected; shapes and values are still told apart."""
    seen = []
    plain = module._projection
    monkeypatch.setattr(module, "_projection", lambda n: (seen.append(n), plain(n))[1])
    zeros, more = torch.zeros(2**24, dtype=torch.uint8), torch.zeros(2**24 + 1, dtype=torch.uint8)
    ones = torch.ones(2**24, dtype=torch.uint8)
    assert not unlike(sketch(zeros), sketch(zeros))
    assert unlike(sketch(zeros), sketch(more)) and unlike(sketch(zeros), sketch(ones))
    assert max(seen) <= module.SAMPLE


def test_projections_that_are_kept_are_small():
    """What stays in memory between sketches is bounded by 128 MB."""
    sketch([torch.zeros(n) for n in (10, module.KEPT, module.KEPT + 1, module.SAMPLE)])
    most = module._kept_projection.cache_info().maxsize * module.KEPT * module.PROJECTIONS * 8
    assert most <= 128 * 2**20
    before = module._kept_projection.cache_info().currsize
    sketch(torch.zeros(module.SAMPLE - 7))
    assert module._kept_projection.cache_info().currsize == before


def test_lists_of_many_parts_are_cut(monkeypatch):
    """Of a list of half a million lists so many are looked at; one that is longer is still another one."""
    seen = []
    plain = module._numbers
    monkeypatch.setattr(module, "_numbers", lambda *a: (seen.append(1), plain(*a))[1])
    assert unlike(sketch([[1.0]] * 500_000), sketch([[1.0]] * 500_001))
    assert len(seen) <= 2 * module.MOST_LEAVES


def test_observing_keeps_only_what_can_be_drawn():
    """Of answers their sketches stay, and the small matrices that a picture may show."""
    with without_accelerator():
        observed = observe(TF, "sdpa", InProcess(TF, {"sdpa": HUGE}))
    kept = [tensor for pairs in observed.drawable.values() for _, _, tensor in pairs]
    assert kept and all(tensor.numel() < 10**5 for tensor in kept)
    assert not hasattr(observed, "answers")
