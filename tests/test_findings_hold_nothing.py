"""A finding keeps the words of an error, and not the frames that hold what a submission has sent."""

import gc
import sys

import torch

from autograder.testing.in_process import without_accelerator
from autograder.verify.trial import find
from tests.attack_tools import findings
from tests.this_course import TRANSFORMER_FUNDAMENTALS
from tests.toy_course import toy, toy_course  # noqa: F401

HUGE = "def double(x):\n    return torch.zeros(10 * 2**20, dtype=torch.uint8)"


def large_tensors():
    gc.collect()
    return [o for o in gc.get_objects() if type(o) is torch.Tensor and o.numel() >= 10 * 2**20]


def chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_after_a_trial():
    """Where tests run one by one, as verification and diagnosis do."""
    wrong = "def scaled_dot_product_attention(Q, K, V, mask=None, dropout=None):\n    raise ValueError\n"
    with without_accelerator():
        found = find(TRANSFORMER_FUNDAMENTALS, {"sdpa": wrong}, ["sdpa"]).findings
    assert all(one.__traceback__ is None for f in found for one in chain(f.error))


def test_after_grading(toy, tier):
    """Under pytest: tests that failed on 10 MB each hold nothing of it."""
    found = findings(toy, tier, double=HUGE, quadruple=HUGE.replace("double", "quadruple"))
    errors = [f.error for f in found.values()]
    assert None not in errors and len(errors) == 3
    assert all(one.__traceback__ is None for error in errors for one in chain(error))
    assert getattr(sys, "last_traceback", None) is None
    assert large_tensors() == []
