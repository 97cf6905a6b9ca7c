"""TransformerEncoderLayer: post-norm and pre-norm, against torch's own; mask, dropout, gradients."""

import pytest
import torch
from torch import nn

from autograder.graders.attention_variants import attending, layers
from autograder.graders.attention_variants.layers import Sublayer
from autograder.graders.oracles.twins import check_gradients, state_for
from autograder.testing import expect

CELL = "encoder-layer"
NAME = "TransformerEncoderLayer"
SIZES = ((2, 5, 12, 3, 20), (3, 4, 10, 2, 7), (1, 6, 8, 8, 16))  # B, T, d, h, d_ff
SUBLAYERS = [
    Sublayer("self_attention.w_o", "norm1", "the output of the attention"),
    Sublayer("feed_forward.linear2", "norm2", "the output of the feed-forward network"),
]
ORDER = "Follow the formulas of the docstring: what is added to what, where does each norm stand, which is which?"


def torchs_own(state, d, heads, d_ff, norm_first, activation):
    """torch's layer with the same weights."""
    layer = nn.TransformerEncoderLayer(d, heads, d_ff, 0.0, activation, batch_first=True, norm_first=norm_first)
    mine = {
        "self_attn.in_proj_weight": torch.cat([state[f"self_attention.w_{p}.weight"] for p in "qkv"]),
        "self_attn.in_proj_bias": torch.zeros(3 * d),
    }
    names = {"self_attn.out_proj": "self_attention.w_o", "linear1": "feed_forward.linear1"}
    names |= {"linear2": "feed_forward.linear2", "norm1": "norm1", "norm2": "norm2"}
    mine |= {f"{to}.{part}": state[f"{of}.{part}"] for to, of in names.items() for part in ("weight", "bias")}
    layer.load_state_dict(mine)
    return layer.train()  # torch's fast path is taken in evaluation mode only


def encode(handle, x, *mask, **options):
    return expect.tensor(handle.forward(x, *mask, **options), x.shape)


def check_values(student, reference, draw, norm_first, activation, options, cause):
    for batch, tokens, d, heads, d_ff in SIZES:
        for small in (False, True):
            state = state_for(reference, draw, NAME, d, heads, d_ff)
            if small:  # then the eps of the norms shows
                for path in ("self_attention.w_o", "feed_forward.linear2"):
                    state |= {f"{path}.{part}": 0.003 * state[f"{path}.{part}"] for part in ("weight", "bias")}
            x = draw.normal(batch, tokens, d, scale=0.01 if small else 1.5)
            handle = student.build(NAME, d, heads, d_ff, state=state, **options)
            with torch.no_grad():
                expected = torchs_own(state, d, heads, d_ff, norm_first, activation)(x)
            expect.close(
                encode(handle, x),
                expected,
                "For small inputs the output is not that of torch's own layer."
                if small
                else "The output is not that of torch's own layer with the same weights.",
                "Which eps do the norms have?" if small else cause,
                atol=1e-4 if not small or not norm_first else 1e-5,
                rtol=1e-3,
            )


@pytest.mark.points(1, cell=CELL, role="value")
def test_encoder_post_norm(student, reference, draw):
    """Post-norm with ReLU, which is the default, equals torch's own layer"""
    check_values(student, reference, draw, False, "relu", {}, ORDER)


@pytest.mark.points(1, cell=CELL)
def test_encoder_pre_norm_and_gelu(student, reference, draw):
    """norm_first and the activation each do what they say, together and alone"""
    for norm_first, activation in ((True, "gelu"), (True, "relu"), (False, "gelu")):
        options = {"norm_first": norm_first, "activation": activation}
        cause = "Pre-norm: the sublayer sees the normed tokens, and x itself is added." if norm_first else ""
        cause = f"{cause} Does the activation reach the feed-forward network? {ORDER}".strip()
        check_values(student, reference, draw, norm_first, activation, options, cause)


@pytest.mark.points(0.5, cell=CELL)
def test_encoder_mask(student, reference, draw):
    """The mask reaches the attention: a forbidden token changes no other, in both orders"""
    for (batch, tokens, d, heads, d_ff), norm_first in ((SIZES[0], False), (SIZES[1], True)):
        state = state_for(reference, draw, NAME, d, heads, d_ff)
        handle = student.build(NAME, d, heads, d_ff, norm_first=norm_first, state=state)
        x = draw.normal(batch, tokens, d)
        free = encode(handle, x)
        for mask in (draw.mask(batch, 1, 1, tokens), draw.mask(tokens), torch.ones(tokens, tokens).tril().bool()):
            mask = mask.expand(1, tokens) if mask.dim() == 1 else mask
            seen = (mask != 0).expand(batch, heads, tokens, tokens).any(1)  # (B, query, key)
            output = encode(handle, x, mask)
            for token in range(tokens):
                changed = x.clone()
                changed[:, token] = draw.normal(batch, d)
                after = encode(handle, changed, mask)
                blind = ~seen[:, :, token] & (torch.arange(tokens) != token)
                expect.close(after[blind], output[blind], "A forbidden token still changes other tokens.", atol=1e-4)
                moved = (after - output).abs().amax(-1)[seen[:, :, token]]
                expect.that(bool((moved > 1e-6).all()), "A token that a mask allows is not attended to.")
            expect.that(bool((output != free).any()), "The mask changes nothing.", "Is it handed to the attention?")


@pytest.mark.points(1, cell=CELL, chance=True)
def test_encoder_dropout(student, reference, draw):
    """Dropout acts on the output of each sublayer before it is added, and inside both, in training only"""
    d, heads, d_ff = 6, 3, 8
    state = state_for(reference, draw, NAME, d, heads, d_ff)

    def heard(quiet, x):
        own = {p.removeprefix("self_attention."): v for p, v in quiet.items() if p.startswith("self_attention.")}
        return reference.build("MultiHeadAttention", d, heads, state=own).forward(x, x, x)[0]

    def fed(quiet, x):
        names = [f"feed_forward.linear{n}.{part}" for n in (1, 2) for part in ("weight", "bias")]
        w1, b1, w2, b2 = (quiet[name] for name in names)
        return (x @ w1.T + b1).relu() @ w2.T + b2

    for first in (False, True):

        def build(given, *, first=first, **options):
            return student.build(NAME, d, heads, d_ff, norm_first=first, state=given, **options)

        for number, inside in enumerate((heard, fed)):
            layers.check_dropout_of(build, encode, draw, state, SUBLAYERS, number, d, first)
            layers.check_inner_dropout(build, encode, draw, state, SUBLAYERS, number, d, inside, first)
        layers.check_no_dropout(build, encode, draw, state, d)


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_encoder_gradients_and_calls(student, reference, draw):
    """Gradients are right in both orders, inputs stay as they were, and nothing stays from a call"""
    batch, tokens, d, heads, d_ff = SIZES[0]
    defaults = student.drive("defaults", name=NAME)
    expected = {"dropout": 0.1, "norm_first": False, "activation": "relu"}
    for name, value in expected.items():
        expect.that(defaults.get(name, value) == value, f"The default of {name} is wrong.", "Look at the signature.")
    for options in ({}, {"norm_first": True, "activation": "gelu"}):
        init = {"d_model": d, "n_heads": heads, "d_ff": d_ff, **options}
        student.build(NAME, **init).attribute("dropout.p")
        state = state_for(reference, draw, NAME, **init)
        x, mask = draw.normal(batch, tokens, d), draw.mask(batch, 1, 1, tokens)
        attending.check_calls(student, NAME, init, state, [[x, mask], [x, None], [x[:1, :3], None]])
        for given in ({}, {"mask": mask}):
            check_gradients(
                student,
                reference,
                draw,
                (batch, tokens, d),
                name=NAME,
                init=init,
                state=state,
                inputs={"x": x, **given},
            )
        lonely = mask.clone()
        lonely[0] = 0
        handle = student.build(NAME, **init, state=state)
        expect.close(
            encode(handle, x, lonely)[1:],
            encode(handle, x, mask)[1:],
            "A text without any token changes others.",
            atol=1e-4,
        )
