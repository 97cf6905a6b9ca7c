"""TransformerDecoderLayer: order of the sublayers, both masks, dropout, gradients, against torch's own."""

import pytest
import torch
from torch import nn

from autograder.graders.attention_variants import attending, layers
from autograder.graders.attention_variants.layers import Sublayer
from autograder.graders.oracles.twins import check_gradients, state_for
from autograder.testing import expect

CELL = "decoder-layer"
NAME = "TransformerDecoderLayer"
SIZES = ((2, 5, 3, 12, 3, 20), (3, 2, 7, 10, 2, 7), (1, 4, 4, 8, 4, 11))  # B, T, S, d, h, d_ff
SUBLAYERS = [
    Sublayer("self_attention.w_o", "norm1", "the output of the self-attention"),
    Sublayer("cross_attention.w_o", "norm2", "the output of the cross-attention"),
    Sublayer("feed_forward.linear2", "norm3", "the output of the feed-forward network"),
]


def torchs_own(state, d, heads, d_ff):
    """torch's layer with the same weights."""
    layer = nn.TransformerDecoderLayer(d, heads, d_ff, 0.0, batch_first=True)
    names = {"linear1": "feed_forward.linear1", "linear2": "feed_forward.linear2"}
    names |= {f"norm{n}": f"norm{n}" for n in (1, 2, 3)}
    mine = {}
    for to, of in (("self_attn", "self_attention"), ("multihead_attn", "cross_attention")):
        mine[f"{to}.in_proj_weight"] = torch.cat([state[f"{of}.w_{p}.weight"] for p in "qkv"])
        mine[f"{to}.in_proj_bias"] = torch.zeros(3 * d)
        names[f"{to}.out_proj"] = f"{of}.w_o"
    mine |= {f"{to}.{part}": state[f"{of}.{part}"] for to, of in names.items() for part in ("weight", "bias")}
    layer.load_state_dict(mine)
    return layer.eval()


def decode(handle, x, *given, **options):
    return expect.tensor(handle.forward(x, *given, **options), x.shape)


@pytest.mark.points(2, cell=CELL, role="value")
def test_decoder_values(student, reference, draw):
    """Without masks the layer equals torch's own with the same weights"""
    for batch, tokens, source, d, heads, d_ff in SIZES:
        for small in (False, True):
            state = state_for(reference, draw, NAME, d, heads, d_ff)
            if small:  # then the eps of the norms shows
                last = [s.last for s in SUBLAYERS]
                state |= {
                    f"{path}.{part}": 0.003 * state[f"{path}.{part}"] for path in last for part in ("weight", "bias")
                }
            x, encoded = draw.normal(batch, tokens, d, scale=0.01 if small else 1.5), draw.normal(batch, source, d)
            with torch.no_grad():
                expected = torchs_own(state, d, heads, d_ff)(x, encoded)
            expect.close(
                decode(student.build(NAME, d, heads, d_ff, state=state), x, encoded),
                expected,
                "The output is not that of torch's own layer with the same weights.",
                "Which sublayer comes first, what does each one take, and which norm follows it? In cross-attention "
                "the target asks, and the encoder's output gives both keys and values.",
                atol=1e-4,
                rtol=1e-3,
            )


@pytest.mark.points(1, cell=CELL)
def test_decoder_masks(student, reference, draw):
    """tgt_mask is for the self-attention, src_mask for the cross-attention, of any type that a mask may have"""
    for batch, tokens, source, d, heads, d_ff in (*SIZES, (4, 4, 4, 12, 4, 9)):
        state = state_for(reference, draw, NAME, d, heads, d_ff)
        handle, ours = (one.build(NAME, d, heads, d_ff, state=state) for one in (student, reference))
        x, encoded = draw.normal(batch, tokens, d), draw.normal(batch, source, d)
        causal = torch.ones(tokens, tokens).tril()
        for src_mask, tgt_mask in (
            (draw.mask(batch, 1, 1, source), None),
            (None, causal.bool()),
            (draw.mask(batch, 1, 1, source).bool(), causal),
            (draw.mask(batch, heads, tokens, source).float(), draw.mask(batch, 1, tokens, tokens)),
            (draw.mask(tokens, source), draw.mask(heads, tokens, tokens)),
        ):
            expected = ours.forward(x, encoded, src_mask, tgt_mask)
            output = decode(handle, x, encoded, src_mask, tgt_mask)
            cause = "Which of the two masks belongs to which attention? Each is handed on as it is."
            expect.close(output, expected, "With masks the output is wrong.", cause, atol=1e-4, rtol=1e-3)
            by_name = decode(handle, x, encoded, tgt_mask=tgt_mask, src_mask=src_mask)
            expect.close(
                by_name, expected, "With masks given by name the output is wrong.", cause, atol=1e-4, rtol=1e-3
            )


@pytest.mark.points(1, cell=CELL, chance=True)
def test_decoder_dropout(student, reference, draw):
    """Dropout acts on the output of each sublayer before it is added, and inside all three, in training only"""
    d, heads, d_ff = 6, 3, 8
    state = state_for(reference, draw, NAME, d, heads, d_ff)
    encoded = draw.normal(1, 7, d)

    def attended(name, keys=None):
        def inside(quiet, x):
            own = {p.removeprefix(f"{name}."): v for p, v in quiet.items() if p.startswith(f"{name}.")}
            others = x if keys is None else keys.expand(len(x), -1, -1)
            return reference.build("MultiHeadAttention", d, heads, state=own).forward(x, others, others)[0]

        return inside

    def fed(quiet, x):
        names = [f"feed_forward.linear{n}.{part}" for n in (1, 2) for part in ("weight", "bias")]
        w1, b1, w2, b2 = (quiet[name] for name in names)
        return (x @ w1.T + b1).relu() @ w2.T + b2

    def build(given, **options):
        return student.build(NAME, d, heads, d_ff, state=given, **options)

    def call(handle, x, **options):
        return decode(handle, x, encoded.expand(len(x), -1, -1), **options)

    for number, inside in enumerate((attended("self_attention"), attended("cross_attention", encoded), fed)):
        layers.check_dropout_of(build, call, draw, state, SUBLAYERS, number, d)
        layers.check_inner_dropout(build, call, draw, state, SUBLAYERS, number, d, inside)
    layers.check_no_dropout(build, call, draw, state, d)


@pytest.mark.points(1, cell=CELL, role="property")
def test_decoder_gradients_and_calls(student, reference, draw):
    """Gradients reach every parameter and both inputs, which stay as they were; nothing stays from a call"""
    batch, tokens, source, d, heads, d_ff = SIZES[0]
    default = student.drive("defaults", name=NAME).get("dropout", 0.1)
    expect.that(default == 0.1, "The default of dropout is wrong.", "Look at the signature.")
    init = {"d_model": d, "n_heads": heads, "d_ff": d_ff}
    student.build(NAME, **init).attribute("dropout.p")
    state = state_for(reference, draw, NAME, **init)
    x, encoded = draw.normal(batch, tokens, d), draw.normal(batch, source, d)
    src_mask, tgt_mask = draw.mask(batch, 1, 1, source), torch.ones(tokens, tokens).tril()
    calls = [[x, encoded, src_mask, tgt_mask], [x, encoded, None, None], [encoded[:1], x[:1], None, None]]
    attending.check_calls(student, NAME, init, state, calls)
    for masks in ({}, {"src_mask": src_mask, "tgt_mask": tgt_mask.bool()}):
        check_gradients(
            student,
            reference,
            draw,
            (batch, tokens, d),
            name=NAME,
            init=init,
            state=state,
            inputs={"x": x, "encoder_output": encoded, **masks},
        )
