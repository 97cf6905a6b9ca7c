"""Stand-ins conform: in place of a student's upstream component they give what the reference gives."""

import pytest
import torch

from autograder.testing.draw import Draw
from autograder.testing.reference import reference as reference_of
from autograder.testing.stand_ins import stand_ins_of
from autograder.testing.subject import Reference
from tests.this_course import TRANSFORMER_FUNDAMENTALS as ASSIGNMENT

IDS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 0, 0]])
MASK = (IDS != 0).long()
CASES = {
    "TokenEmbedding": ((11, 6), (IDS,)),
    "PositionalEncoding": ((6, 20), (torch.randn(2, 5, 6),)),
    "TransformerEmbeddings": ((11, 6, 20), (IDS,)),
    "MultiHeadAttention": ((12, 3), (torch.randn(2, 5, 12), MASK[:, None, None])),
    "LayerNorm": ((7,), (torch.randn(2, 5, 7),)),
    "FeedForward": ((6, 10), (torch.randn(2, 5, 6),)),
    "TransformerBlock": ((12, 3, 20), (torch.randn(2, 5, 12), MASK[:, None, None])),
    "MiniTransformer": ((11, 12, 3, 2, 20, 8, 3), (IDS, MASK)),
}


@pytest.fixture(scope="module")
def both():
    """The reference, and the stand-ins behind the same interface."""
    names: dict[str, object] = {}
    exec(stand_ins_of(ASSIGNMENT).read_text(), names)
    return reference_of(ASSIGNMENT), Reference(names, ASSIGNMENT)


def same(found, expected):
    if isinstance(expected, torch.Tensor):
        return torch.allclose(found, expected, atol=2e-5)
    return len(found) == len(expected) and all(same(f, e) for f, e in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_values_are_the_references(both, name):
    """With the same parameters, under the same paths, the same inputs give the same outputs."""
    sizes, inputs = CASES[name]
    theirs, ours = (subject.build(name, *sizes) for subject in both)
    state = Draw(name).state(theirs.parameters())
    assert set(ours.parameters()) == set(state)
    theirs.load(state)
    ours.load(state)
    assert same(ours.forward(*inputs), theirs.forward(*inputs))


def test_attention_is_the_references(both):
    """Values with a mask, d_v unlike d_k and scores of any size."""
    draw = Draw("attention")
    q, k, v = draw.normal(2, 3, 4, 5), draw.normal(2, 3, 7, 5), draw.normal(2, 3, 7, 6)
    mask = draw.mask(2, 1, 4, 7)
    for scale in (1.0, 1e4):
        ours, theirs = (s.call("scaled_dot_product_attention", q * scale, k, v, mask=mask) for s in reversed(both))
        assert same(ours, theirs)
        assert bool((ours[1][mask.expand(2, 3, 4, 7) == 0] == 0).all())


def test_every_component_that_another_rests_on_has_one(both):
    """Each upstream name of the assignment is defined by the stand-ins."""
    upstream = {
        c
        for cell in ASSIGNMENT.upstream
        if cell not in ASSIGNMENT.self_contained
        for c in ASSIGNMENT.all_upstream(cell)
    }
    assert all(name in both[1].space.names for cell in upstream for name in ASSIGNMENT.defines[cell])


def test_fresh_embeddings_have_the_contracted_spread(both):
    """A training run on a stand-in starts from weights with standard deviation d ** -0.5."""
    weight = both[1].build("TokenEmbedding", 500, 64).attribute("embedding.weight")
    assert abs(float(weight.detach().std()) * 8 - 1) < 0.05
