"""autograder.testing.draw: random inputs that repeat, and that have what graders rely on."""

import pytest
import torch

from autograder.testing.draw import Draw


def test_same_seed_same_inputs():
    """The same seed gives the same inputs in the same order; another seed gives others."""
    first, second, other = Draw("a"), Draw("a"), Draw("b")
    drawn = [(d.normal(3), d.words(4), d.permutation(9).tolist(), d.integer(0, 10**6)) for d in (first, second, other)]
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert drawn[0][1:] == drawn[1][1:]
    assert drawn[0][1:] != drawn[2][1:]


def test_torch_seed_is_left_alone():
    """Drawing neither uses nor changes torch's own generator."""
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    Draw("a").normal(10)
    assert torch.equal(torch.rand(1), expected)


def test_bytes_and_text_are_seeds():
    """A seed may be bytes."""
    assert Draw(b"a").integer(0, 10**9) == Draw("a").integer(0, 10**9)


def test_inputs_are_public_where_no_seeds_of_hidden_data_are_given():
    """Else they are hidden, and each data set has a seed of its own."""
    assert Draw("a").public and Draw("a").hidden_seed("rows") is None
    hidden = Draw("a", hidden_seeds=len)
    assert not hidden.public and [hidden.hidden_seed(name) for name in ("rows", "words!")] == [4, 6]


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 4, 6), (9,), (3, 1, 2)])
def test_mask_rows_hold_both_values(shape):
    """Every row of a mask allows something and forbids something."""
    for seed in range(20):
        mask = Draw(str(seed)).mask(*shape)
        assert mask.shape == shape
        assert mask.dtype == torch.int64
        assert set(mask.unique().tolist()) == {0, 1}
        assert bool((mask.sum(-1) > 0).all())
        assert bool((mask.sum(-1) < shape[-1]).all())


def test_mask_keeps_about_the_share_that_it_should():
    """`keep` is the share of ones in long rows."""
    assert abs(float(Draw("a").mask(200, 200, keep=0.3).double().mean()) - 0.3) < 0.01


def test_derangement_moves_everything():
    """No position keeps its own number."""
    for seed in range(20):
        order = Draw(str(seed)).derangement(4)
        assert sorted(order.tolist()) == [0, 1, 2, 3]
        assert bool((order != torch.arange(4)).all())


def test_words_are_different_and_plain():
    """Words are distinct, lower case, and free of marks and spaces."""
    words = Draw("a").words(900)
    assert len(set(words)) == 900
    assert all(word.isalpha() and word.islower() and 4 <= len(word) <= 8 for word in words)


def test_state_keeps_shapes_and_is_never_at_its_start():
    """Gains lie between 0.5 and 1.5, matrices keep the scale of what they act on, and no bias stays zero."""
    old = {"W.weight": torch.zeros(40, 100), "W.bias": torch.zeros(40), "norm.gamma": torch.ones(30)}
    new = Draw("a").state(old)
    assert {k: v.shape for k, v in new.items()} == {k: v.shape for k, v in old.items()}
    assert bool(((new["norm.gamma"] > 0.5) & (new["norm.gamma"] < 1.5)).all())
    assert float(new["norm.gamma"].std()) > 0.1
    assert abs(float(new["W.weight"].std()) - 0.15) < 0.02
    assert bool((new["W.bias"] != 0).all())


def test_orthogonal_has_its_transpose_as_inverse():
    """Q Q^T is the identity."""
    q = Draw("a").orthogonal(7)
    assert torch.allclose(q @ q.T, torch.eye(7), atol=1e-5)


def test_ranges():
    """Integers exclude the upper end, uniform numbers stay inside, choice and shuffled keep to the items."""
    draw = Draw("a")
    assert set(draw.integers(2, 5, (200,)).tolist()) == {2, 3, 4}
    numbers = draw.uniform(-1.0, 3.0, (500,))
    assert -1 <= float(numbers.min()) < -0.9
    assert 2.9 < float(numbers.max()) < 3
    assert {draw.choice("abc") for _ in range(50)} == set("abc")
    assert sorted(draw.shuffled(range(30))) == list(range(30))
