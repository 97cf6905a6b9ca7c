# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "setup-imports", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
import io
import linecache
import math
import re
import sys
import time
import traceback
import warnings
import zlib
from collections import Counter
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch._dynamo  # needed by the first optimizer step and by the checks of devices: better to wait for it here
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
import tqdm as tqdm_module
from torch.utils.checkpoint import checkpoint

np.random.seed(42)
torch.manual_seed(42)
torch.set_num_threads(1)  # models as small as these only get slower with more threads

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]  # Okabe and Ito (2008)
plt.rcParams.update(
    {
        "axes.prop_cycle": plt.cycler(color=COLOURS),
        "image.cmap": "cividis",
        "figure.figsize": (9, 4),
        "font.size": 11,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "figure.titlesize": 12,
        "legend.frameon": False,
    }
)


class tqdm(tqdm_module.tqdm):
    """A progress bar on standard output, because notebooks paint standard error red."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{"file": sys.stdout, "mininterval": 1.0, "ncols": 90, **kwargs})


class CheckFailed(AssertionError):
    """A failed check, shown in one line instead of a long traceback."""

    def _render_traceback_(self):
        return [f"Check failed. {self}"]


def explain(error):
    """What went wrong, in one sentence, with the line of this notebook that raised it."""
    frames = [(f, n) for f, n in traceback.walk_tb(error.__traceback__) if f.f_globals is globals()]
    frame, line_number = frames[-1] if frames else (None, 0)
    where = frame.f_code.co_qualname if frame else "your code"
    if isinstance(error, NotImplementedError):
        return f"{where} is not filled in yet."
    if isinstance(error, AssertionError) and str(error) and (where[0] == "<" or where.startswith("check_")):
        return str(error)  # written for you, in the check itself
    line = linecache.getline(frame.f_code.co_filename, line_number).strip() if frame else ""
    return f"{type(error).__name__}: {error} (in {where}, line {line_number} of its cell: {line})"


CHECKS = {}  # title of a quick check -> did it pass? The last cell of the notebook lists them.


@contextmanager
def public_check(title):
    """Run a few checks quietly: print `ok` when they hold, else raise one short error."""
    CHECKS[title], problem = False, None
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        problem = explain(error)
    if problem is not None:
        raise CheckFailed(f"{title}: {problem}") from None
    CHECKS[title] = True
    print(f"ok: {title}")


def check_type(value, kind, what):
    """Fail unless `value` is a `kind`."""
    assert isinstance(value, kind), f"{what} should be of type {kind.__name__}, but is of type {type(value).__name__}."


def check_tensor(value, shape, what):
    """Fail unless `value` is a tensor of this shape with finite values."""
    check_type(value, torch.Tensor, what)
    assert tuple(value.shape) == tuple(shape), f"{what} should have shape {tuple(shape)}, but has {tuple(value.shape)}."
    assert torch.isfinite(value.float()).all(), f"{what} holds nan or infinite values."


def check_close(value, expected, what, atol=1e-4):
    """Fail unless `value` has the shape and, within `atol`, the values of `expected`."""
    expected = torch.as_tensor(expected)
    check_tensor(value, expected.shape, what)
    gap = (value.detach().double() - expected.detach().double()).abs().max().item()
    found = "has the right shape, but its values are off by up to" if expected.ndim else "is off by"
    assert gap <= atol, f"{what} {found} {gap:.2g}."


def check_pair(value, what):
    """Fail unless `value` is a tuple of two things."""
    assert isinstance(value, tuple) and len(value) == 2, (
        f"{what} should return a tuple of two, but returns a {type(value).__name__}."
    )

def numbers(*shape, seed=0):
    """Normal numbers that are the same on every machine, as a float32 tensor of this shape."""
    return torch.tensor(np.random.RandomState(seed).standard_normal(shape), dtype=torch.float32)


def fill(module, size=0.4):
    """Give each parameter numbers that follow from its name, switch to eval mode, and return the module."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            values = size * numbers(*parameter.shape, seed=zlib.crc32(name.encode()))
            parameter.copy_(values + 1 if "norm" in name and name.endswith("weight") else values)
    return module.eval()


def check_values(value, shape, sums, what, question, atol=2e-3):
    """Fail unless `value` has this shape and the right values; two weighted sums are compared, so that no answer shows."""
    check_tensor(value, shape, what)
    weights = numbers(2, value.numel(), seed=7).double()
    found = weights @ value.detach().double().flatten() / math.sqrt(value.numel())
    assert np.allclose(found, sums, atol=atol), f"{what}: the shape is right, the values are not. {question}"


@contextmanager
def check_raises(*errors, what):
    """Fail unless the block raises one of these errors."""
    try:
        yield
    except errors:
        return
    raise AssertionError(f"{what} should raise {' or '.join(e.__name__ for e in errors)}.")


def check_same(before, after, what):
    """Fail unless each tensor that was passed in still holds what it held."""
    assert all(torch.equal(b, a) for b, a in zip(before, after)), (
        f"{what} changed something that was passed in. Which of your operations works in place?"
    )


def check_device(run, what):
    """Fail where `run("meta")` mixes devices: "meta" computes shapes only, and refuses CPU tensors as a GPU does."""
    try:
        run("meta")
    except (RuntimeError, NotImplementedError) as error:
        assert "expected device" not in str(error), (
            f"{what} makes a tensor somewhere else than its input is, and would fail on a GPU. Which tensor is it?"
        )


@contextmanager
def demo():
    """Run a demonstration; while a cell that it needs is unfinished, say so in one line."""
    try:
        yield
    except (NotImplementedError, NameError) as error:
        print(f"Nothing to show yet, because a cell above is unfinished or was not run. {explain(error)}")

# %% nbgrader={"grade": false, "grade_id": "setup-positional-encoding", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
class PositionalEncoding(nn.Module):
    """Adds sines and cosines that tell positions apart (Vaswani et al. 2017, section 3.5). Buffer: `pe` (max_length, d)."""

    def __init__(self, d_model, max_length):
        super().__init__()
        position = torch.arange(max_length, dtype=torch.float64).unsqueeze(1)  # (max_length, 1)
        angle = position / 10000 ** (torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)  # (max_length, d / 2)
        pe = torch.zeros(max_length, d_model)
        pe[:, 0::2] = torch.sin(angle)
        pe[:, 1::2] = torch.cos(angle)[:, : d_model // 2]
        self.register_buffer("pe", pe)

    def forward(self, x):
        """x (B, T, d) -> x plus the first T rows of pe."""
        return x + self.pe[: x.size(1)]

# %% nbgrader={"grade": false, "grade_id": "setup-feed-forward", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
class FeedForward(nn.Module):
    """Two linear layers with an activation and dropout between them, applied to each token by itself."""

    def __init__(self, d_model, d_ff, dropout=0.1, activation="relu"):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.dropout = nn.Dropout(dropout)
        self.activation = {"relu": F.relu, "gelu": F.gelu}[activation]

    def forward(self, x):
        """x (B, T, d) -> (B, T, d)."""
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

# %% [markdown]
# ## masks

# %% nbgrader={"grade": false, "grade_id": "masks", "locked": false, "schema_version": 3, "solution": true, "task": false}
def causal_mask(size, device=None):
    """Which keys each query may see in a text that is written from left to right.

    Returns a bool tensor (size, size) on `device`: True at row i (the query), column j (the key)
    where query i may see key j, that is, itself and what comes before it.
    """
    # Step 1: make the matrix on `device`, with True where a key may be seen.
    ### BEGIN SOLUTION
    return torch.ones(size, size, dtype=torch.bool, device=device).tril()
    ### END SOLUTION


def padding_mask(token_ids, pad_id=0):
    """Which keys are real tokens: ids (B, T), int64 -> a bool tensor (B, 1, 1, T), False for PAD.

    The two axes of size 1 stand for heads and queries. The result is on the device of token_ids.
    """
    # Step 2: compare with pad_id; then put the two axes where they belong.
    ### BEGIN SOLUTION
    return (token_ids != pad_id)[:, None, None, :]
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "masks-tests", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("causal_mask: which keys a query may see"):
    mask = causal_mask(4)
    check_tensor(mask, (4, 4), "causal_mask(4)")
    assert mask.dtype == torch.bool, f"causal_mask should return a bool tensor, but returns {mask.dtype}."
    assert mask[0].tolist() == [True, False, False, False], (
        f"row 0 is {mask[0].tolist()}. What may the first token of a text see?"
    )
    assert mask.sum().item() == 10 and mask[3].all(), (
        f"{mask.sum().item()} of 16 pairs are allowed. Which ones should be?"
    )
    check_device(lambda d: causal_mask(3, device=d) & torch.ones(3, 3, device=d).bool(), "causal_mask")

with public_check("padding_mask: which keys are tokens"):
    ids = torch.tensor([[5, 7, 2, 0, 0], [6, 2, 7, 8, 3]])
    before = ids.clone()
    mask = padding_mask(ids)
    check_tensor(mask, (2, 1, 1, 5), "padding_mask of ids with shape (2, 5)")
    assert mask.dtype == torch.bool, f"padding_mask should return a bool tensor, but returns {mask.dtype}."
    assert mask.sum().item() == 8 and mask[1].all(), "padding_mask: True should mean that a token is real. Which are?"
    assert padding_mask(ids, pad_id=5).sum().item() == 9, "padding_mask ignores pad_id: with pad_id=5, one id is PAD."
    assert torch.equal(ids, before), "padding_mask changes the ids that it is given."
    check_device(lambda d: padding_mask(ids.to(d)) & torch.ones(5, device=d).bool(), "padding_mask")

# %% [markdown]
# ## attention

# %% nbgrader={"grade": false, "grade_id": "attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MultiHeadAttention(nn.Module):
    """Attention with several heads, between two sequences or within one (Vaswani et al. 2017, 3.2).

    Attributes: `w_q`, `w_k`, `w_v` (nn.Linear(d, d) without bias), `w_o` (nn.Linear(d, d) with
    bias), `n_heads`, and `d_k` = d_model // n_heads. Head j owns the features j * d_k ... (j + 1)
    * d_k - 1 of each projection.
    A d_model that n_heads does not divide raises AssertionError or ValueError.
    """

    def __init__(self, d_model, n_heads, dropout=0.1):
        super().__init__()
        # Step 1: refuse sizes that do not divide; keep n_heads and d_k.
        # Step 2: make the four projections and the dropout.
        ### BEGIN SOLUTION
        assert d_model % n_heads == 0, (
            f"d_model={d_model} cannot be divided among n_heads={n_heads}"
        )
        self.n_heads, self.d_k = n_heads, d_model // n_heads
        self.w_q, self.w_k, self.w_v = (nn.Linear(d_model, d_model, bias=False) for _ in range(3))
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, query, key, value, mask=None):
        """query (B, Tq, d), key, value (B, Tk, d) -> output (B, Tq, d), weights (B, h, Tq, Tk).

        Tq and Tk may differ. Scores are divided by sqrt(d_k). Dropout acts on the weights, in
        training only; the weights that are returned are those before dropout, so that their rows
        sum to 1.

        mask: two to four axes that broadcast to (B, h, Tq, Tk), of type bool, integer or float.
        Where it is 0 or False the key is forbidden and gets weight exactly 0, in float32, float16
        and bfloat16, and for scores of any size up to 1e30 in float32 and 1e4 in float16. A query
        whose keys are all forbidden gets finite numbers, in values and in gradients; which ones
        is not graded.
        """
        # Step 3: project, and cut the features into heads: (B, T, d) -> (B, h, T, d_k).
        # Step 4: scores of every query against every key, scaled; forbidden keys masked; softmax.
        # Step 5: dropout, the weighted sum of the values, the heads side by side again, w_o.
        ### BEGIN SOLUTION
        q, k, v = (
            project(x).unflatten(-1, (self.n_heads, self.d_k)).transpose(1, 2)  # (B, h, T, d_k)
            for project, x in ((self.w_q, query), (self.w_k, key), (self.w_v, value))
        )
        q = q / math.sqrt(self.d_k)  # before the product, because float16 ends at 65,504
        scores = q @ k.transpose(-2, -1)  # (B, h, Tq, Tk)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)
        weights = F.softmax(scores, dim=-1)  # (B, h, Tq, Tk)
        heads = self.dropout(weights) @ v  # (B, h, Tq, d_k)
        return self.w_o(heads.transpose(1, 2).flatten(2)), weights  # (B, Tq, d), (B, h, Tq, Tk)
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "attention-tests", "locked": true, "points": 7, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("MultiHeadAttention: parts and shapes"):
    layer = MultiHeadAttention(d_model=12, n_heads=3, dropout=0.5)
    for name in ("w_q", "w_k", "w_v", "w_o"):
        check_type(getattr(layer, name, None), nn.Linear, f"the attribute {name}")
        check_tensor(getattr(layer, name).weight, (12, 12), f"{name}.weight")
        assert (getattr(layer, name).bias is not None) == (name == "w_o"), (
            f"{name} has {'a' if name != 'w_o' else 'no'} bias. Which of the four projections have one?"
        )
    assert (layer.n_heads, layer.d_k) == (3, 4), f"n_heads and d_k are {layer.n_heads} and {layer.d_k}, not 3 and 4."
    with check_raises(AssertionError, ValueError, what="MultiHeadAttention(12, 5)"):
        MultiHeadAttention(12, 5)
    for batch in (1, 2):
        result = layer(numbers(batch, 5, 12), numbers(batch, 7, 12), numbers(batch, 7, 12))
        check_pair(result, "forward")
        check_tensor(result[0], (batch, 5, 12), "the output for 5 queries and 7 keys")
        check_tensor(result[1], (batch, 3, 5, 7), "the weights for 5 queries and 7 keys")

with public_check("MultiHeadAttention: values"):
    layer = fill(MultiHeadAttention(12, 3))
    inputs = (numbers(2, 5, 12, seed=1), numbers(2, 7, 12, seed=2), numbers(2, 7, 12, seed=3))
    before = [x.clone() for x in inputs]
    output, weights = layer(*inputs)
    check_close(weights.sum(dim=-1), torch.ones(2, 3, 5), "the sum of each row of weights")
    check_values(
        weights,
        (2, 3, 5, 7),
        [0.1143, 0.0085],
        "the weights",
        "Which features belong to head 1, what are scores divided by, and from which input does each projection read?",
    )
    check_values(
        output, (2, 5, 12), [-0.6767, 0.2715], "the output", "In which order do the heads stand when w_o reads them?"
    )
    strided = (x.transpose(0, 1).contiguous().transpose(0, 1) for x in inputs)
    check_close(layer(*strided)[0], output, "the output for inputs that are not contiguous in memory")
    check_same(before, inputs, "forward")

with public_check("MultiHeadAttention: masks"):
    allowed = numbers(2, 3, 5, 7, seed=4) > -0.6
    allowed[..., 0] = True
    for mask in (allowed, allowed[:, :1, :1], allowed[0], allowed[0, 0], allowed[:, :1].long(), allowed[0].float()):
        kind = f"with a mask of shape {tuple(mask.shape)} and type {mask.dtype},"
        kept = mask.clone()
        weights = layer(*inputs, mask)[1]
        assert (weights[(mask == 0).expand_as(weights)] == 0).all(), (
            f"{kind} a forbidden key gets a weight above 0. Does 0 mean forbidden, and is it the score that you change?"
        )
        check_close(weights.sum(dim=-1), torch.ones(2, 3, 5), f"{kind} the sum of each row of weights")
        assert torch.equal(mask, kept), f"{kind} forward changes the mask that it is given."
    check_values(
        layer(*inputs, allowed)[0],
        (2, 5, 12),
        [0.3440, -0.1623],
        "the output with a mask",
        "What do allowed keys share?",
    )

with public_check("MultiHeadAttention: large scores, half precision, queries without keys"):
    loud = fill(MultiHeadAttention(12, 3), size=4e13)  # the scores reach about 1e28
    weights = loud(*inputs, allowed)[1]
    assert (weights[~allowed] == 0).all(), (
        "with very large scores a forbidden key gets a weight above 0. Is the number that you put there low enough?"
    )
    for dtype in (torch.float16, torch.bfloat16):
        half = MultiHeadAttention(12, 3).to(dtype).eval()
        weights = half(*(x.to(dtype) for x in inputs), allowed)[1]
        assert (weights[~allowed] == 0).all() and torch.isfinite(weights).all(), f"masking does not work in {dtype}."
    x = numbers(2, 5, 12).requires_grad_()
    none = torch.ones(5, 5).index_fill(0, torch.tensor([2]), 0)  # query 2 may see nothing
    output = layer(x, x, x, none)[0]
    check_tensor(output, (2, 5, 12), "the output where one query may see no key")
    output.square().sum().backward()
    check_tensor(x.grad, (2, 5, 12), "the gradient where one query may see no key")

with public_check("MultiHeadAttention: dropout"):
    layer = fill(MultiHeadAttention(12, 3, dropout=0.5))
    check_close(layer(*inputs)[0], layer(*inputs)[0], "the output of a second call in eval mode")
    layer.train()
    assert not torch.equal(layer(*inputs)[0], layer(*inputs)[0]), "there is no dropout in training."
    check_close(layer(*inputs)[1].sum(dim=-1), torch.ones(2, 3, 5), "in training, the sum of each returned row")
    silent = MultiHeadAttention(12, 3, dropout=1.0)(*inputs)[0]
    assert silent.std(dim=1).max() < 1e-6 and silent.abs().max() > 0, (
        "when dropout takes every weight, each token's output should be the bias of w_o. What does your dropout act on?"
    )

with public_check("MultiHeadAttention: device"):
    check_device(lambda d: MultiHeadAttention(12, 3).to(d)(*(x.to(d) for x in inputs), allowed.to(d)), "forward")

# %% [markdown]
# ## encoder-layer

# %% nbgrader={"grade": false, "grade_id": "encoder-layer", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TransformerEncoderLayer(nn.Module):
    """Self-attention and feed-forward network, each with dropout, residual connection and layer norm.

    Attributes: `self_attention` (MultiHeadAttention), `feed_forward` (FeedForward), `norm1` and
    `norm2` (nn.LayerNorm), `dropout` (nn.Dropout).
    Post-norm (norm_first=False): x = norm1(x + dropout(attention(x))), x = norm2(x +
    dropout(feed_forward(x))).
    Pre-norm (norm_first=True):   x = x + dropout(attention(norm1(x))), x = x +
    dropout(feed_forward(norm2(x))).
    With the same weights it equals nn.TransformerEncoderLayer.
    """

    def __init__(self, d_model, n_heads, d_ff, dropout=0.1, norm_first=False, activation="relu"):
        super().__init__()
        # Step 1: make the parts. `activation` and `dropout` go on to those that take them.
        ### BEGIN SOLUTION
        self.self_attention = MultiHeadAttention(d_model, n_heads, dropout)
        self.feed_forward = FeedForward(d_model, d_ff, dropout, activation)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first
        ### END SOLUTION

    def forward(self, x, mask=None):
        """x (B, T, d) -> (B, T, d), without the weights. mask: as in MultiHeadAttention."""
        # Step 2: the two sublayers, in one of the two orders.
        ### BEGIN SOLUTION
        if self.norm_first:
            normed = self.norm1(x)
            x = x + self.dropout(self.self_attention(normed, normed, normed, mask)[0])
            return x + self.dropout(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.self_attention(x, x, x, mask)[0]))
        return self.norm2(x + self.dropout(self.feed_forward(x)))
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "encoder-layer-tests", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("TransformerEncoderLayer: parts and shapes"):
    layer = TransformerEncoderLayer(d_model=12, n_heads=3, d_ff=20, dropout=0.3)
    parts = {"self_attention": MultiHeadAttention, "feed_forward": FeedForward, "dropout": nn.Dropout}
    for name, kind in (parts | {"norm1": nn.LayerNorm, "norm2": nn.LayerNorm}).items():
        check_type(getattr(layer, name, None), kind, f"the attribute {name}")
    rates = {m.p for m in layer.modules() if isinstance(m, nn.Dropout)}
    assert rates == {0.3}, f"dropout=0.3 was asked for, but the rates inside are {sorted(rates)}."
    check_tensor(layer.feed_forward.linear1.weight, (20, 12), "feed_forward.linear1.weight")
    check_tensor(layer(numbers(1, 5, 12)), (1, 5, 12), "the output")

with public_check("TransformerEncoderLayer: values"):
    x, allowed = numbers(2, 5, 12, seed=1), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])[:, None, None, :]
    before = x.clone()
    for norm_first, activation, sums, question in (
        (False, "relu", [0.5590, 0.3643], "What is added before norm1, what before norm2?"),
        (False, "gelu", [0.5354, 0.3699], "Does the activation reach the feed-forward network?"),
        (True, "relu", [-0.4018, -0.1333], "In pre-norm, what does each sublayer read, and what is it added to?"),
    ):
        layer = fill(TransformerEncoderLayer(12, 3, 20, norm_first=norm_first, activation=activation))
        name = f"the output with norm_first={norm_first} and activation={activation!r}"
        check_values(layer(x, allowed), (2, 5, 12), sums, name, question)
    check_same([before], [x], "forward")

with public_check("TransformerEncoderLayer: dropout"):
    for norm_first, sums in ((False, [0.8480, -0.5456]), (True, [1.0484, -0.2288])):
        layer = fill(TransformerEncoderLayer(12, 3, 20, dropout=0.0, norm_first=norm_first)).train()
        layer.dropout.p = 1.0
        check_values(
            layer(x),
            (2, 5, 12),
            sums,
            f"the output with norm_first={norm_first} when self.dropout takes everything",
            "Which two results does self.dropout act on, and what is left without them?",
        )

# %% [markdown]
# ## decoder-layer

# %% nbgrader={"grade": false, "grade_id": "decoder-layer", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TransformerDecoderLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward; each with dropout, residual and norm (post-norm).

    Attributes: `self_attention` and `cross_attention` (MultiHeadAttention), `feed_forward`
    (FeedForward), `norm1`, `norm2`, `norm3` (nn.LayerNorm, in the order of the three sublayers),
    `dropout` (nn.Dropout).
    In cross-attention the target asks, and what the encoder has read of the source answers.
    With the same weights it equals nn.TransformerDecoderLayer.
    """

    def __init__(self, d_model, n_heads, d_ff, dropout=0.1):
        super().__init__()
        # Step 1: make the parts.
        ### BEGIN SOLUTION
        self.self_attention = MultiHeadAttention(d_model, n_heads, dropout)
        self.cross_attention = MultiHeadAttention(d_model, n_heads, dropout)
        self.feed_forward = FeedForward(d_model, d_ff, dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d_model) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, x, encoder_output, src_mask=None, tgt_mask=None):
        """x (B, T, d), encoder_output (B, S, d) -> (B, T, d).

        tgt_mask says which target positions each target position may see, src_mask which source
        positions.
        """
        # Step 2: the three sublayers. Which mask belongs to which attention?
        ### BEGIN SOLUTION
        x = self.norm1(x + self.dropout(self.self_attention(x, x, x, tgt_mask)[0]))
        x = self.norm2(
            x + self.dropout(self.cross_attention(x, encoder_output, encoder_output, src_mask)[0])
        )
        return self.norm3(x + self.dropout(self.feed_forward(x)))
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "decoder-layer-tests", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("TransformerDecoderLayer: parts and shapes"):
    layer = TransformerDecoderLayer(d_model=12, n_heads=3, d_ff=20, dropout=0.3)
    parts = {"self_attention": MultiHeadAttention, "cross_attention": MultiHeadAttention, "feed_forward": FeedForward}
    parts |= {"norm1": nn.LayerNorm, "norm2": nn.LayerNorm, "norm3": nn.LayerNorm, "dropout": nn.Dropout}
    for name, kind in parts.items():
        check_type(getattr(layer, name, None), kind, f"the attribute {name}")
    rates = {m.p for m in layer.modules() if isinstance(m, nn.Dropout)}
    assert rates == {0.3}, f"dropout=0.3 was asked for, but the rates inside are {sorted(rates)}."
    check_tensor(layer(numbers(1, 5, 12), numbers(1, 7, 12)), (1, 5, 12), "the output for 5 target and 7 source tokens")

with public_check("TransformerDecoderLayer: values"):
    layer = fill(TransformerDecoderLayer(12, 3, 20))
    x, source = numbers(2, 5, 12, seed=1), numbers(2, 7, 12, seed=2)
    src_mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]])[:, None, None, :]
    tgt_mask = torch.ones(5, 5).tril()
    before = [t.clone() for t in (x, source, src_mask, tgt_mask)]
    question = "Which sublayer reads what, in which order, and which norm follows it?"
    check_values(layer(x, source), (2, 5, 12), [0.4655, 0.4600], "the output without masks", question)
    question = "Which attention is each mask for?"
    check_values(
        layer(x, source, src_mask, tgt_mask), (2, 5, 12), [0.5645, 1.3811], "the output with both masks", question
    )
    check_same(before, [x, source, src_mask, tgt_mask], "forward")

with public_check("TransformerDecoderLayer: who sees what"):
    later = x.clone()
    later[:, 3:] += 1
    gap = (layer(later, source, src_mask, tgt_mask) - layer(x, source, src_mask, tgt_mask))[:, :3].abs().max()
    assert gap < 1e-6, "target tokens 3 and 4 change the output at tokens 0 to 2, which tgt_mask does not let see them."
    other = source.clone()
    other[1, 4:] += 1
    gap = (layer(x, other, src_mask, tgt_mask) - layer(x, source, src_mask, tgt_mask)).abs().max()
    assert gap < 1e-6, "source tokens that src_mask forbids change the output."
    assert (layer(x, source + 1) - layer(x, source)).abs().max() > 1e-3, "the encoder's output has no influence."

with public_check("TransformerDecoderLayer: dropout"):
    layer = fill(TransformerDecoderLayer(12, 3, 20, dropout=0.0)).train()
    layer.dropout.p = 1.0
    question = "Which three results does self.dropout act on, and what is left without them?"
    check_values(
        layer(x, source), (2, 5, 12), [0.9197, -0.8347], "the output when self.dropout takes everything", question
    )

# %% [markdown]
# ## transformer

# %% nbgrader={"grade": false, "grade_id": "transformer", "locked": false, "schema_version": 3, "solution": true, "task": false}
class Transformer(nn.Module):
    """The encoder-decoder of Vaswani et al. (2017): reads a source, writes a target.

    Attributes: `src_embedding` and `tgt_embedding` (nn.Embedding(V, d) whose weights start normal
    with standard deviation d ** -0.5, graded within 20 %, and whose outputs are scaled by
    sqrt(d)), `positional_encoding` (PositionalEncoding), `encoder_layers` and `decoder_layers`
    (nn.ModuleList of post-norm layers with ReLU), `output_projection` (nn.Linear(d, V)),
    `dropout` (on embeddings plus positions), `pad_id`. No weights are tied; `padding_idx=pad_id`
    is allowed.

    By default the logits at a position do not depend on later target tokens, and padding `src` or
    `tgt` further on the right changes no logit at a real position. A mask that is passed takes
    the place of the default.
    """

    def __init__(
        self,
        vocab_size,
        d_model=512,
        n_heads=8,
        n_encoder_layers=6,
        n_decoder_layers=6,
        d_ff=2048,
        max_seq_length=512,
        dropout=0.1,
        pad_id=0,
    ):
        super().__init__()
        # Step 1: make the parts, and give both embeddings their initial weights.
        ### BEGIN SOLUTION
        self.d_model, self.pad_id = d_model, pad_id
        self.src_embedding, self.tgt_embedding = (
            nn.Embedding(vocab_size, d_model),
            nn.Embedding(vocab_size, d_model),
        )
        for embedding in (self.src_embedding, self.tgt_embedding):
            nn.init.normal_(embedding.weight, std=d_model**-0.5)
        self.positional_encoding = PositionalEncoding(d_model, max_seq_length)
        self.dropout = nn.Dropout(dropout)
        self.encoder_layers = nn.ModuleList(
            TransformerEncoderLayer(d_model, n_heads, d_ff, dropout)
            for _ in range(n_encoder_layers)
        )
        self.decoder_layers = nn.ModuleList(
            TransformerDecoderLayer(d_model, n_heads, d_ff, dropout)
            for _ in range(n_decoder_layers)
        )
        self.output_projection = nn.Linear(d_model, vocab_size)
        ### END SOLUTION

    def encode(self, src, src_mask=None):
        """src (B, S) of ids -> (B, S, d). Without src_mask, PAD in src is masked."""
        # Step 2: the mask, the embedded tokens with their positions, the layers.
        ### BEGIN SOLUTION
        if src_mask is None:
            src_mask = padding_mask(src, self.pad_id)  # (B, 1, 1, S)
        x = self.embed(self.src_embedding, src)
        for layer in self.encoder_layers:
            x = layer(x, src_mask)
        return x
        ### END SOLUTION

    def decode(self, tgt, encoder_output, src_mask=None, tgt_mask=None):
        """tgt (B, T) of ids, encoder_output (B, S, d) -> (B, T, d), before the output projection.

        Without tgt_mask, attention within the target is causal, and PAD in tgt is masked.
        Without src_mask, all of encoder_output is looked at.
        """
        # Step 3: likewise, for the target.
        ### BEGIN SOLUTION
        if tgt_mask is None:
            tgt_mask = causal_mask(tgt.size(1), tgt.device) & padding_mask(
                tgt, self.pad_id
            )  # (B, 1, T, T)
        x = self.embed(self.tgt_embedding, tgt)
        for layer in self.decoder_layers:
            x = layer(x, encoder_output, src_mask, tgt_mask)
        return x
        ### END SOLUTION

    def forward(self, src, tgt, src_mask=None, tgt_mask=None):
        """src (B, S), tgt (B, T) -> logits (B, T, V).

        src_mask (B, 1, 1, S) goes to the encoder and to cross-attention; without it, both keep
        from looking at PAD in src.
        """
        # Step 4: encode, decode, project.
        ### BEGIN SOLUTION
        if src_mask is None:
            src_mask = padding_mask(src, self.pad_id)
        return self.output_projection(
            self.decode(tgt, self.encode(src, src_mask), src_mask, tgt_mask)
        )  # (B, T, V)

    def embed(self, embedding, ids):
        """Scaled token vectors plus positions, (B, T) -> (B, T, d)."""
        return self.dropout(self.positional_encoding(embedding(ids) * math.sqrt(self.d_model)))
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "transformer-tests", "locked": true, "points": 7, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("Transformer: parts and initial weights"):
    model = Transformer(300, d_model=24, n_heads=3, n_encoder_layers=2, n_decoder_layers=1, d_ff=20, max_seq_length=9)
    parts = {"src_embedding": nn.Embedding, "tgt_embedding": nn.Embedding, "positional_encoding": PositionalEncoding}
    parts |= {"encoder_layers": nn.ModuleList, "decoder_layers": nn.ModuleList, "output_projection": nn.Linear}
    for name, kind in (parts | {"dropout": nn.Dropout}).items():
        check_type(getattr(model, name, None), kind, f"the attribute {name}")
    for name, kind, count in (
        ("encoder_layers", TransformerEncoderLayer, 2),
        ("decoder_layers", TransformerDecoderLayer, 1),
    ):
        layers = getattr(model, name)
        assert len(layers) == count and all(isinstance(layer, kind) for layer in layers), (
            f"{name} should hold {count} of {kind.__name__}, but holds {[type(layer).__name__ for layer in layers]}."
        )
        assert len({id(layer) for layer in layers}) == count, f"{name} holds one layer several times."
    assert model.pad_id == 0, f"pad_id should be 0 if nothing is said, but is {model.pad_id}."
    check_tensor(model.positional_encoding.pe, (9, 24), "positional_encoding.pe for max_seq_length=9")
    check_tensor(model.output_projection.weight, (300, 24), "output_projection.weight")
    for name in ("src_embedding", "tgt_embedding"):
        weight = getattr(model, name).weight
        check_tensor(weight, (300, 24), f"{name}.weight")
        assert abs(weight.std().item() * 24**0.5 - 1) < 0.2, (
            f"{name} starts with standard deviation {weight.std():.3f}. What should it be for d_model=24?"
        )

with public_check("Transformer: values"):
    model = fill(Transformer(11, 12, 3, n_encoder_layers=2, n_decoder_layers=2, d_ff=20, max_seq_length=20, pad_id=0))
    src = torch.tensor([[4, 9, 3, 7, 5, 10, 8], [6, 3, 5, 8, 0, 0, 0]])
    tgt = torch.tensor([[1, 5, 9, 4, 2], [1, 7, 2, 0, 0]])
    before = [src.clone(), tgt.clone()]
    memory = model.encode(src)
    question = "Scaled embedding, positions, layers in order, PAD masked: which of these is missing?"
    check_values(memory, (2, 7, 12), [1.8031, -1.0520], "encode(src)", question)
    question = "Which embedding, which mask, which layers, in which order?"
    check_values(model.decode(tgt, memory), (2, 5, 12), [0.7533, 0.0485], "decode(tgt, memory)", question)
    question = "Is every layer used, and do both parts of the model know where src has PAD?"
    check_values(model(src, tgt), (2, 5, 11), [-0.9975, 1.0307], "the logits", question)
    check_same(before, [src, tgt], "forward")
    check_tensor(model(src[:1, :6], tgt[:1, :1]), (1, 1, 11), "the logits for a batch of one")

with public_check("Transformer: no token sees the future, and padding is invisible"):
    logits = model(src, tgt)
    changed = tgt.clone()
    changed[0, 3:] = torch.tensor([8, 6])
    gap = (model(src, changed)[0, :3] - logits[0, :3]).abs().max()
    assert gap < 1e-5, "a change at target position 3 changes the logits at positions 0 to 2."
    longer = model(F.pad(src, (0, 2)), F.pad(tgt, (0, 3)))
    gap = max((longer[0, :5] - logits[0]).abs().max(), (longer[1, :3] - logits[1, :3]).abs().max())
    assert gap < 1e-5, (
        "padding src and tgt further changes logits at real positions. Which of three attentions sees PAD?"
    )
    other = fill(Transformer(11, 12, 3, 1, 1, 20, 20, pad_id=10))
    short, text = torch.tensor([[4, 9, 3]]), torch.tensor([[1, 0, 5]])
    gap = (other(F.pad(short, (0, 2), value=10), text) - other(short, text)).abs().max()
    assert gap < 1e-5, "with pad_id=10 padding is visible. Is a number written where pad_id belongs?"
    assert (other(torch.tensor([[4, 0, 3]]), text) - other(torch.tensor([[4, 9, 3]]), text)).abs().max() > 1e-4, (
        "with pad_id=10 the id 0 is an ordinary source token, but it has no influence."
    )
    question = "With pad_id=10 the id 0 is an ordinary token in the target, too."
    check_values(other(short, torch.tensor([[1, 0, 5]])), (1, 3, 11), [-0.5493, -1.0377], "the logits", question)
    inner = model(src, F.pad(tgt[:, 1:], (1, 0)))[:, 1:]  # a target that begins with PAD
    assert (inner - model(src, tgt)[:, 1:]).abs().max() > 1e-4, "the first target token has no influence."

with public_check("Transformer: a mask that is passed takes the place of the default"):
    everything = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    seen = model.decode(changed, memory, tgt_mask=everything) - model.decode(tgt, memory, tgt_mask=everything)
    assert seen[0, 0].abs().max() > 1e-5, (
        "with a tgt_mask of ones, position 0 should see position 3. Is your default added?"
    )
    seen = model(src, changed, tgt_mask=everything) - model(src, tgt, tgt_mask=everything)
    assert seen[0, 0].abs().max() > 1e-5, "a tgt_mask that forward is given does not reach decode."
    first = torch.zeros(2, 1, 1, 7, dtype=torch.bool)
    first[..., :2] = True  # only the first two source tokens
    rest = src.clone()
    rest[:, 2:] = 9
    gap = (model(rest, tgt, src_mask=first) - model(src, tgt, src_mask=first)).abs().max()
    assert gap < 1e-5, "source tokens that src_mask forbids change the logits. Which two attentions need it?"

with public_check("Transformer: dropout and device"):
    model.train()
    model.dropout.p = 1.0
    for module in (*model.encoder_layers.modules(), *model.decoder_layers.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert model.encode(src[:1]).std(dim=1).max() < 1e-5, (
        "when self.dropout takes everything, neither tokens nor positions should be left. What does it act on?"
    )
    model.dropout.p = 0.0
    model(src, tgt).square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    assert not idle, f"no gradient reaches {', '.join(idle[:3])}. Is every part used, and nothing detached?"
    model.eval()
    check_device(lambda d: Transformer(11, 12, 3, 1, 1, 20, 20).to(d)(src.to(d), tgt.to(d)), "Transformer")

# %% [markdown]
# ## translate

# %% nbgrader={"grade": false, "grade_id": "translate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def greedy_translate(model, src, bos_id, eos_id, max_length=32):
    """Write a target for each source, always taking the most probable next token.

    model: a Transformer; src (B, S) of ids -> int64 ids (B, L) with L <= max_length.
    Column 0 is bos_id, which counts towards max_length. A row ends after its eos_id and is filled
    up with model.pad_id.
    Stops as soon as every row has ended. A row's result does not depend on the other rows.
    `encode` is called once; decoding runs in eval mode and without gradients, and leaves
    model.training as it was.
    bos_id, eos_id and model.pad_id differ.
    """
    # Step 1: remember the mode, switch to eval mode, encode once.
    # Step 2: as long as it is needed, decode what is there and append the most probable token.
    # Step 3: rows that have ended get PAD.
    # Step 4: put the mode back.
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    with torch.no_grad():
        src_mask = padding_mask(src, model.pad_id)
        encoder_output = model.encode(src, src_mask)
        ids = torch.full((src.size(0), 1), bos_id, dtype=torch.long, device=src.device)
        ended = torch.zeros_like(ids[:, 0], dtype=torch.bool)
        while ids.size(1) < max_length and not ended.all():
            last = model.decode(ids, encoder_output, src_mask)[:, -1]  # (B, d)
            chosen = model.output_projection(last).argmax(dim=-1).masked_fill(ended, model.pad_id)
            ids = torch.cat([ids, chosen[:, None]], dim=1)
            ended = ended | (chosen == eos_id)
    model.train(was_training)
    return ids
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "translate-tests", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
# A stand-in for a model: what it writes is fixed by the first source token, and it notes how it is used.
class ScriptedModel(nn.Module):
    """Has the interface of Transformer. After the end of a script (2) it goes on with 11, which nobody should write."""

    SCRIPTS = {3: [4, 5, 6, 9, 2], 4: [8, 2], 5: [9, 10, 9, 9, 10, 9, 10, 9, 9, 9]}

    def __init__(self):
        super().__init__()
        self.pad_id, self.output_projection, self.notes = 7, nn.Linear(12, 12, bias=False), []
        nn.init.eye_(self.output_projection.weight)

    def note(self, use, masked):
        self.notes.append({"use": use, "train": self.training, "grad": torch.is_grad_enabled(), "masked": masked})

    def encode(self, src, src_mask=None):
        self.note("encode", True)  # without a mask, encode masks PAD by itself
        return F.one_hot(src, 12).float()

    def decode(self, tgt, encoder_output, src_mask=None, tgt_mask=None):
        self.note("decode", src_mask is not None and not src_mask[..., -1].any())  # the last column is PAD
        rows = [self.SCRIPTS[first] + [11] * 40 for first in encoder_output[:, 0].argmax(dim=-1).tolist()]
        return F.one_hot(torch.tensor([row[: tgt.size(1)] for row in rows]), 12).float()


with public_check("greedy_translate: what it returns"):
    src = torch.tensor([[3, 6, 7, 7], [4, 9, 9, 7], [5, 8, 7, 7]])
    before = src.clone()
    result = greedy_translate(ScriptedModel(), src[:2], bos_id=1, eos_id=2)
    check_type(result, torch.Tensor, "the result")
    assert result.dtype == torch.int64, f"the result should hold int64 ids, but holds {result.dtype}."
    assert (result[:, 0] == 1).all(), "column 0 should be bos_id."
    assert result[0, :6].tolist() == [1, 4, 5, 6, 9, 2], (
        f"row 0 begins {result[0, :6].tolist()}, not [1, 4, 5, 6, 9, 2]."
    )
    assert result.size(1) == 6, f"both rows have ended after 6 tokens, but the result has {result.size(1)} columns."
    assert result[1].tolist() == [1, 8, 2, 7, 7, 7], (
        f"row 1 is {result[1].tolist()}. It ends with its 2; what should the columns after it hold, with pad_id 7?"
    )
    check_tensor(greedy_translate(ScriptedModel(), src[1:2], 1, 2), (1, 3), "a row of three tokens, translated alone,")
    check_tensor(
        greedy_translate(ScriptedModel(), src, 1, 2, max_length=8), (3, 8), "a batch with a row that never ends"
    )
    check_tensor(greedy_translate(ScriptedModel(), src, 1, 2, max_length=1), (3, 1), "the result with max_length=1")
    check_same([before], [src], "greedy_translate")

with public_check("greedy_translate: how it uses the model"):
    for mode in (True, False):
        model = ScriptedModel().train(mode)
        greedy_translate(model, src, bos_id=1, eos_id=2, max_length=8)
        encodings = sum(note["use"] == "encode" for note in model.notes)
        assert encodings == 1, f"encode is called {encodings} times. Does the source change between two tokens?"
        assert not any(note["train"] for note in model.notes), "the model runs in train mode, with dropout."
        assert not any(note["grad"] for note in model.notes), "gradients are recorded, though nobody needs them."
        assert all(note["masked"] for note in model.notes), "cross-attention is not told where src has PAD."
        assert model.training == mode, f"model.training was {mode} before and is {model.training} afterwards."

# %% [markdown]
# ## gpt

# %% nbgrader={"grade": false, "grade_id": "gpt", "locked": false, "schema_version": 3, "solution": true, "task": false}
class GPTTransformer(nn.Module):
    """A causal language model in the style of GPT-2 (Radford et al. 2019).

    Attributes: `token_embedding`, `position_embedding` (learned, nn.Embedding(max_seq_length,
    d)), `transformer_blocks` (nn.ModuleList of pre-norm TransformerEncoderLayers with GELU),
    `layer_norm` (after the last block), `lm_head` (nn.Linear without bias, whose weight *is* that
    of token_embedding), `dropout` (after the embeddings), `max_seq_length`. d_ff=None means 4 *
    d_model.
    All weights of Linear and Embedding modules start normal with standard deviation 0.02 (graded,
    within 20 %; those of `w_o` and `linear2` may start smaller, but not at 0), all biases at 0.
    """

    def __init__(
        self,
        vocab_size,
        d_model=768,
        n_heads=12,
        n_layers=12,
        d_ff=None,
        max_seq_length=1024,
        dropout=0.1,
    ):
        super().__init__()
        # Step 1: make the parts and tie the head to the token embedding.
        # Step 2: give weights and biases their initial values.
        ### BEGIN SOLUTION
        self.max_seq_length = max_seq_length
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(max_seq_length, d_model)
        self.dropout = nn.Dropout(dropout)
        self.transformer_blocks = nn.ModuleList(
            TransformerEncoderLayer(
                d_model, n_heads, d_ff or 4 * d_model, dropout, norm_first=True, activation="gelu"
            )
            for _ in range(n_layers)
        )
        self.layer_norm = nn.LayerNorm(d_model)
        self.lm_head = nn.Linear(d_model, vocab_size, bias=False)
        self.lm_head.weight = self.token_embedding.weight
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        ### END SOLUTION

    def forward(self, input_ids, attention_mask=None):
        """input_ids (B, T) -> logits (B, T, V).

        attention_mask (B, T): 1 = token, 0 = PAD, of type bool, integer or float; None: no PAD.
        Causal. With a mask no position attends to PAD, and the k-th real token of a row stands at
        position k, counted from 0: padding on the left or on the right changes no logit of a real
        token.
        T above max_seq_length raises ValueError.
        """
        # Step 3: refuse what is too long. Find the position of each token, and the mask.
        # Step 4: tokens plus positions, dropout, blocks, last norm, head.
        ### BEGIN SOLUTION
        length = input_ids.size(1)
        if length > self.max_seq_length:
            raise ValueError(
                f"{length} tokens are more than max_seq_length={self.max_seq_length}"
            )
        mask = causal_mask(length, input_ids.device)  # (T, T)
        positions = torch.arange(length, device=input_ids.device)  # (T,)
        if attention_mask is not None:
            real = attention_mask != 0
            mask = mask & real[:, None, None, :]  # (B, 1, T, T)
            positions = (real.cumsum(dim=1) - 1).clamp(min=0)  # (B, T)
        x = self.dropout(
            self.token_embedding(input_ids) + self.position_embedding(positions)
        )  # (B, T, d)
        for block in self.transformer_blocks:
            x = block(x, mask)
        return self.lm_head(self.layer_norm(x))  # (B, T, V)
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "gpt-tests", "locked": true, "points": 7, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("GPTTransformer: parts and initial weights"):
    torch.manual_seed(0)
    model = GPTTransformer(300, d_model=24, n_heads=3, n_layers=2, max_seq_length=9)
    parts = {"token_embedding": nn.Embedding, "position_embedding": nn.Embedding, "transformer_blocks": nn.ModuleList}
    for name, kind in (parts | {"layer_norm": nn.LayerNorm, "lm_head": nn.Linear, "dropout": nn.Dropout}).items():
        check_type(getattr(model, name, None), kind, f"the attribute {name}")
    assert len(model.transformer_blocks) == 2, f"n_layers=2, but there are {len(model.transformer_blocks)} blocks."
    assert model.max_seq_length == 9, "the attribute max_seq_length should be 9."
    check_tensor(model.position_embedding.weight, (9, 24), "position_embedding.weight")
    check_tensor(model.transformer_blocks[0].feed_forward.linear1.weight, (96, 24), "linear1.weight, d_ff not given,")
    assert model.lm_head.bias is None, "lm_head should have no bias."
    assert model.lm_head.weight is model.token_embedding.weight, (
        "lm_head.weight and token_embedding.weight should be one tensor, not two with the same numbers."
    )
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            spread, smaller = module.weight.std().item(), name.endswith(("w_o", "linear2"))
            assert spread < 0.024 and (spread > 0.016 or (smaller and spread > 0)), (
                f"{name}.weight starts with standard deviation {spread:.3f}. Which modules have you set, and when?"
            )
            assert getattr(module, "bias", None) is None or not module.bias.any(), f"{name}.bias does not start at 0."
    ids = torch.randint(0, 300, (16, 9))
    loss = F.cross_entropy(model.eval()(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()
    assert abs(loss / math.log(300) - 1) < 0.1, f"the first loss is {loss:.2f}. What is it for even guesses among 300?"

with public_check("GPTTransformer: values"):

    def filled(size=0.4):
        model = fill(GPTTransformer(11, d_model=12, n_heads=3, n_layers=2, d_ff=20, max_seq_length=8), size)
        with torch.no_grad():
            model.token_embedding.weight.copy_(size * numbers(11, 12, seed=5))
        return model

    model, ids = filled(), torch.tensor([[4, 9, 3, 7, 5], [6, 3, 10, 8, 1]])
    before = ids.clone()
    question = "Positions, pre-norm blocks with GELU, the last norm, the tied head: which of these differs?"
    check_values(model(ids), (2, 5, 11), [2.7901, 2.2022], "the logits", question)
    check_tensor(model(ids[:1, :1]), (1, 1, 11), "the logits for one token")
    check_tensor(model(torch.ones(2, 8, dtype=torch.long)), (2, 8, 11), "the logits for max_seq_length tokens")
    with check_raises(ValueError, what="a text of 9 tokens with max_seq_length=8"):
        model(torch.ones(2, 9, dtype=torch.long))
    check_same([before], [ids], "forward")

with public_check("GPTTransformer: no token sees the future, and padding is invisible"):
    changed = ids.clone()
    changed[:, 3] = 2
    gap = (model(changed) - model(ids)).abs().amax(dim=(0, 2))
    assert gap[:3].max() < 1e-5, "a change at position 3 changes the logits at earlier positions."
    assert gap[4] > 1e-4, "a change at position 3 has no influence on position 4."
    for side, where, real in (("right", (0, 2), slice(0, 5)), ("left", (2, 0), slice(2, 7))):
        mask = F.pad(torch.ones(2, 5), where)
        for kind in (mask, mask.long(), mask.bool()):
            kept = kind.clone()
            gap = (model(F.pad(ids, where), kind)[:, real] - model(ids)).abs().max()
            assert gap < 1e-5, (
                f"padding on the {side} ({kind.dtype}) changes the logits of real tokens. Where do they stand, what do they see?"
            )
            assert torch.equal(kind, kept), "forward changes the attention_mask that it is given."
    mixed = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
    gap = (model(ids, mixed)[1, 2:] - model(ids[1:, 2:])[0]).abs().max()
    assert gap < 1e-5, "a row with padding, beside one without, gets other logits than alone."

with public_check("GPTTransformer: dropout and device"):
    model = filled().train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = float(module is model.dropout)
    assert model(ids[:1]).std(dim=1).max() < 1e-5, (
        "when self.dropout takes everything, neither tokens nor positions should be left. What does it act on?"
    )
    check_device(lambda d: filled().to(d)(ids.to(d)), "GPTTransformer without a mask")
    check_device(lambda d: filled().to(d)(ids.to(d), torch.ones(2, 5, device=d)), "GPTTransformer with a mask")

# %% [markdown]
# ## lm-training

# %% nbgrader={"grade": false, "grade_id": "lm-training", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TransformerTrainer:
    """Trains a causal model to predict the next token. Attributes: `model`, `max_norm`."""

    def __init__(self, model, max_norm=1.0):
        self.model = model
        self.max_norm = max_norm

    def compute_loss(self, input_ids, labels=None, attention_mask=None):
        """Mean cross-entropy of the logits at t against the label at t + 1, a scalar tensor.

        input_ids, labels, attention_mask: (B, T). Labels of -100 do not count; the mean is over
        those that count.
        labels=None means input_ids, where PAD (attention_mask 0) does not count. Labels that are
        given alone decide what counts. attention_mask is handed to the model. Nothing that is
        passed in is changed.
        """
        # Step 1: find the labels. Step 2: logits.
        # Step 3: pair each logit with the label that it predicts.
        ### BEGIN SOLUTION
        if labels is None:
            labels = (
                input_ids
                if attention_mask is None
                else input_ids.masked_fill(attention_mask == 0, -100)
            )
        logits = self.model(input_ids, attention_mask)  # (B, T, V)
        return F.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
        )
        ### END SOLUTION

    def train_step(self, batch, optimizer):
        """One optimizer step on one batch; returns the loss before the step, a float.

        batch: a dict with input_ids and, where they are there and not None, labels and
        attention_mask. It is moved to where the model is. Train mode; gradients start from zero;
        their global norm is clipped to max_norm.
        """
        # Step 4: move the batch, set the mode, clear the gradients.
        # Step 5: loss, backward, clip, step.
        ### BEGIN SOLUTION
        device = next(self.model.parameters()).device
        given = {
            name: batch[name].to(device)
            for name in ("input_ids", "labels", "attention_mask")
            if batch.get(name) is not None
        }
        self.model.train()
        optimizer.zero_grad()
        loss = self.compute_loss(**given)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        optimizer.step()
        return loss.item()
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "lm-training-tests", "locked": true, "points": 7, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
# A stand-in for a model: its logits depend on the current token only, and it notes how it is used.
class BigramModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.scores, self.notes = nn.Embedding(9, 9), []
        fill(self, size=1.0).train()

    def forward(self, input_ids, attention_mask=None):
        self.notes.append((self.training, attention_mask))
        return self.scores(input_ids)


with public_check("TransformerTrainer: the loss"):
    ids = torch.tensor([[4, 8, 3, 7, 5], [6, 3, 1, 0, 0]])
    mask, labels = (ids != 0).long(), ids.clone()
    labels[0, 1:3] = -100
    before = [t.clone() for t in (ids, mask, labels)]
    trainer = TransformerTrainer(BigramModel())
    assert trainer.max_norm == 1.0, "max_norm should be 1.0 if nothing is said."
    loss = trainer.compute_loss(ids)
    check_tensor(loss, (), "the loss")
    assert loss.requires_grad, "the loss has lost its gradient. Does compute_loss return a tensor?"
    question = "Which token does the logit at t predict, and over what is the mean taken?"
    check_values(loss, (), [5.3753, -1.4815], "the loss", question, atol=2e-4)
    question = "Which labels count where the mask is 0, and what do you divide by?"
    for kind in (mask, mask.bool(), mask.float()):
        check_values(
            trainer.compute_loss(ids, attention_mask=kind),
            (),
            [5.2955, -1.4595],
            "the loss with a mask",
            question,
            atol=2e-4,
        )
    question = "Labels are not shifted yet, and -100 marks what does not count."
    check_values(trainer.compute_loss(ids, labels), (), [5.0545, -1.3931], "the loss with labels", question, atol=2e-4)
    question = "Labels that are given decide alone what counts."
    check_values(
        trainer.compute_loss(ids, labels, mask),
        (),
        [5.0545, -1.3931],
        "the loss with labels and mask",
        question,
        atol=2e-4,
    )
    assert trainer.model.notes[-1][1] is not None, "the model is not given the attention_mask."
    check_same(before, [ids, mask, labels], "compute_loss")

with public_check("TransformerTrainer: a step"):
    model = BigramModel().eval()
    trainer, batch = TransformerTrainer(model, max_norm=1e9), {"input_ids": ids, "labels": None, "attention_mask": mask}
    expected = trainer.compute_loss(**batch).item()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    model.scores.weight.grad = torch.ones(9, 9)  # left behind by somebody
    loss = trainer.train_step(batch, optimizer)
    check_type(loss, float, "what train_step returns")
    assert abs(loss - expected) < 1e-5, f"train_step returns {loss:.4f}, the loss before the step was {expected:.4f}."
    assert model.notes[-1][0], "train_step should put the model into train mode."
    trainer.train_step({"input_ids": ids}, optimizer)
    question = "Do gradients start from zero in each step, and is there one step for each call?"
    check_values(model.scores.weight, (9, 9), [-0.7532, 0.2436], "the weights after two steps", question)
    found = trainer.train_step({"input_ids": ids, "labels": labels}, optimizer)
    check_values(
        torch.tensor(found), (), [4.8589, -1.3392], "the loss of a step with labels", "Do labels reach compute_loss?"
    )
    assert batch["labels"] is None and len(batch) == 3, "train_step changes the batch."

with public_check("TransformerTrainer: clipping"):
    for max_norm, moved in ((0.01, 0.01), (1e9, None)):
        model = BigramModel()
        start = model.scores.weight.detach().clone()
        TransformerTrainer(model, max_norm).train_step({"input_ids": ids}, optim.SGD(model.parameters(), lr=1.0))
        found = (model.scores.weight - start).norm().item()
        assert moved is None or abs(found - moved) < 1e-4, (
            f"with max_norm={max_norm} and plain SGD at rate 1 the weights moved by {found:.3g}. When do you clip, and what?"
        )
        assert moved is not None or 0.1 < found < 10, (
            f"a gradient below max_norm is scaled: the weights moved by {found:.3g}."
        )

# %% [markdown]
# ## generate

# %% nbgrader={"grade": false, "grade_id": "generate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def generate_text(
    model, prompt, max_new_tokens=100, temperature=1.0, top_k=None, eos_id=None, generator=None
):
    """Continue each row of prompt (B, T); returns int64 ids (B, T + n), n <= max_new_tokens.

    The result begins with the prompt.
    temperature divides the logits; 0 takes the most probable token, a negative one raises
    ValueError.
    top_k keeps the k most probable tokens (a k above V keeps all, one below 1 raises ValueError)
    before the draw, which uses `generator` (a torch.Generator or None).
    The model sees at most its last max_seq_length tokens; what is returned is whole.
    After a new eos_id a row goes on with eos_id (one in the prompt ends nothing); ends early when
    every row has ended.
    No gradients; eval mode inside, and model.training as it was afterwards.
    """
    # Step 1: refuse what makes no sense; remember the mode, switch to eval mode.
    # Step 2: for each new token, logits at the last position; choose by temperature and top_k.
    # Step 3: rows that have ended get eos_id; stop when all have ended.
    # Step 4: put the mode back.
    ### BEGIN SOLUTION
    if temperature < 0:
        raise ValueError(f"temperature={temperature} is negative")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k={top_k} leaves no token")

    def choose(logits):
        """One token for each row of logits (B, V), shape (B,)."""
        if temperature == 0:
            return logits.argmax(dim=-1)
        logits = logits / temperature
        if top_k is not None:
            lowest = logits.topk(min(top_k, logits.size(-1)), dim=-1).values[:, -1:]  # (B, 1)
            logits = logits.masked_fill(logits < lowest, -torch.inf)
        return torch.multinomial(F.softmax(logits, dim=-1), 1, generator=generator).squeeze(1)

    was_training = model.training
    model.eval()
    ids = prompt.clone()
    ended = torch.zeros_like(ids[:, 0], dtype=torch.bool)
    with torch.no_grad():
        for _ in range(max_new_tokens):
            chosen = choose(model(ids[:, -model.max_seq_length :])[:, -1])
            if eos_id is not None:
                chosen = chosen.masked_fill(ended, eos_id)
                ended = ended | (chosen == eos_id)
            ids = torch.cat([ids, chosen[:, None]], dim=1)
            if ended.all():
                break
    model.train(was_training)
    return ids
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "generate-tests", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
# A stand-in for a model: after token t, t + 1 is the most probable; it notes how it is used.
class SuccessorModel(nn.Module):
    max_seq_length = 6

    def __init__(self):
        super().__init__()
        self.notes = []

    def forward(self, input_ids, attention_mask=None):
        self.notes.append((self.training, torch.is_grad_enabled(), input_ids.size(1)))
        return torch.arange(9).sub(input_ids.unsqueeze(-1) + 1).remainder(9).float().neg()  # 0 for t + 1, -1, -2, ...


with public_check("generate_text: what it returns"):
    prompt = torch.tensor([[1, 2, 3], [5, 4, 6]])
    before = prompt.clone()
    result = generate_text(SuccessorModel(), prompt, max_new_tokens=4, temperature=0)
    check_type(result, torch.Tensor, "the result")
    assert result.dtype == torch.int64, f"the result should hold int64 ids, but holds {result.dtype}."
    assert torch.equal(result[:, :3], prompt), "the result should begin with the prompt."
    assert result[:, 3:].tolist() == [[4, 5, 6, 7], [7, 8, 0, 1]], (
        f"at temperature 0 the new tokens are {result[:, 3:].tolist()}. From which position do you take the logits?"
    )
    check_tensor(generate_text(SuccessorModel(), prompt[:1], 1), (1, 4), "one new token for one row")
    long = torch.tensor([[0, 8, 7, 6, 5, 4, 3, 2]])
    model = SuccessorModel()
    result = generate_text(model, long, max_new_tokens=3, temperature=0)
    assert max(length for *_, length in model.notes) <= 6, "the model is given more tokens than its max_seq_length, 6."
    assert result.tolist() == [[0, 8, 7, 6, 5, 4, 3, 2, 3, 4, 5]], (
        f"a prompt of 8 tokens is continued to {result.tolist()[0]}. Which of its tokens does the model see, and which come back?"
    )
    check_same([before], [prompt], "generate_text")
    for mode in (True, False):
        model = SuccessorModel().train(mode)
        generate_text(model, prompt, max_new_tokens=2)
        assert not any(training for training, *_ in model.notes), "the model runs in train mode, with dropout."
        assert not any(grad for _, grad, _ in model.notes), "gradients are recorded, though nobody needs them."
        assert model.training == mode, f"model.training was {mode} before and is {model.training} afterwards."

with public_check("generate_text: the draw"):
    rows = torch.full((3000, 1), 8)  # 0 is the most probable, then 1, then 2, ...
    for temperature, top_k, expected in (
        (1.0, None, (0.632, 0.233, 0.086)),
        (0.5, None, (0.865, 0.117, 0.016)),
        (2.0, 3, (0.506, 0.307, 0.186)),
        (1.0, 99, (0.632, 0.233, 0.086)),
    ):
        seeded = torch.Generator().manual_seed(3)
        state = torch.get_rng_state()
        drawn = generate_text(SuccessorModel(), rows, 1, temperature, top_k, generator=seeded)[:, 1]
        shares = [(drawn == token).float().mean().item() for token in (0, 1, 2)]
        assert np.allclose(shares, expected, atol=0.04), (
            f"temperature {temperature}, top_k {top_k}: tokens 0, 1 and 2 are drawn in shares of "
            f"{', '.join(f'{s:.2f}' for s in shares)}; expected are {', '.join(f'{e:.2f}' for e in expected)}."
        )
        assert top_k != 3 or set(drawn.tolist()) <= {0, 1, 2}, "with top_k=3 more than three tokens are drawn."
        assert torch.equal(state, torch.get_rng_state()), "the draw does not use the generator that was given."
    greedy = generate_text(SuccessorModel(), prompt, 4, temperature=0)
    assert torch.equal(generate_text(SuccessorModel(), prompt, 4, top_k=1), greedy), (
        "top_k=1 leaves one choice, the best."
    )
    with check_raises(ValueError, what="a negative temperature"):
        generate_text(SuccessorModel(), prompt, 1, temperature=-1.0)
    with check_raises(ValueError, what="top_k=0"):
        generate_text(SuccessorModel(), prompt, 1, top_k=0)

with public_check("generate_text: the end"):
    ends = generate_text(SuccessorModel(), torch.tensor([[7, 2], [7, 5]]), 9, temperature=0, eos_id=7)
    assert ends.size(1) == 7, f"both rows have ended after five new tokens, but {ends.size(1) - 2} are there."
    assert ends.tolist() == [[7, 2, 3, 4, 5, 6, 7], [7, 5, 6, 7, 7, 7, 7]], (
        f"with eos_id=7 the rows are {ends.tolist()}. What follows a new 7, and what does a 7 in the prompt end?"
    )

# %% [markdown]
# ## grouped-query

# %% nbgrader={"grade": false, "grade_id": "grouped-query", "locked": false, "schema_version": 3, "solution": true, "task": false}
class GroupedQueryAttention(nn.Module):
    """Attention whose query heads share key and value heads (Ainslie et al. 2023, arXiv 2305.13245).

    Attributes: `w_q` (d -> d), `w_k` and `w_v` (d -> n_kv_heads * d_k), all without bias, `w_o`
    (d -> d, with bias), `n_heads`, `n_kv_heads`, `d_k`. With g = n_kv_heads, query head j uses
    key and value head j // (h // g).
    With g = h it equals MultiHeadAttention of the same weights.
    Sizes that do not divide (d_model by n_heads, n_heads by n_kv_heads) raise AssertionError or
    ValueError.
    """

    def __init__(self, d_model, n_heads, n_kv_heads, dropout=0.1):
        super().__init__()
        # Step 1: refuse sizes that do not divide, keep the sizes, make projections and dropout.
        ### BEGIN SOLUTION
        assert d_model % n_heads == 0, (
            f"d_model={d_model} cannot be divided among n_heads={n_heads}"
        )
        assert n_heads % n_kv_heads == 0, (
            f"n_heads={n_heads} cannot be divided among n_kv_heads={n_kv_heads}"
        )
        self.n_heads, self.n_kv_heads, self.d_k = n_heads, n_kv_heads, d_model // n_heads
        self.w_q = nn.Linear(d_model, d_model, bias=False)
        self.w_k, self.w_v = (
            nn.Linear(d_model, n_kv_heads * self.d_k, bias=False) for _ in range(2)
        )
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, query, key, value, mask=None):
        """As in MultiHeadAttention: (output (B, Tq, d), weights (B, h, Tq, Tk))."""
        # Step 2: project and cut into heads: h of them for the queries, g for keys and values.
        # Step 3: let each query head meet the keys and values of its group; then as before.
        ### BEGIN SOLUTION
        (B, Tq, _), Tk = query.shape, key.size(1)
        q, k, v = (
            project(x).unflatten(-1, (-1, self.d_k)).transpose(1, 2)  # (B, h or g, T, d_k)
            for project, x in ((self.w_q, query), (self.w_k, key), (self.w_v, value))
        )
        # The heads of a group ask the same keys. As one head with more queries, no key is copied.
        q = (q / math.sqrt(self.d_k)).reshape(
            B, self.n_kv_heads, -1, self.d_k
        )  # (B, g, h / g * Tq, d_k)
        scores = (q @ k.transpose(-2, -1)).view(B, self.n_heads, Tq, Tk)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)
        weights = F.softmax(scores, dim=-1)  # (B, h, Tq, Tk)
        heads = (
            self.dropout(weights).view(B, self.n_kv_heads, -1, Tk) @ v
        )  # (B, g, h / g * Tq, d_k)
        heads = heads.view(B, self.n_heads, Tq, self.d_k).transpose(1, 2).flatten(2)  # (B, Tq, d)
        return self.w_o(heads), weights
        ### END SOLUTION


class MultiQueryAttention(GroupedQueryAttention):
    """Grouped-query attention with one key and value head (Shazeer 2019, arXiv:1911.02150)."""

    def __init__(self, d_model, n_heads, dropout=0.1):
        # Step 4: what is the number of key and value heads here?
        ### BEGIN SOLUTION
        super().__init__(d_model, n_heads, 1, dropout)
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "grouped-query-tests", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("GroupedQueryAttention: parts and shapes"):
    layer = GroupedQueryAttention(d_model=24, n_heads=6, n_kv_heads=2)
    for name, rows in (("w_q", 24), ("w_k", 8), ("w_v", 8), ("w_o", 24)):
        check_type(getattr(layer, name, None), nn.Linear, f"the attribute {name}")
        check_tensor(
            getattr(layer, name).weight, (rows, 24), f"{name}.weight with 6 query heads and 2 key and value heads"
        )
        assert (getattr(layer, name).bias is not None) == (name == "w_o"), f"{name}: only w_o has a bias."
    sizes = (layer.n_heads, layer.n_kv_heads, layer.d_k)
    assert sizes == (6, 2, 4), f"n_heads, n_kv_heads and d_k are {sizes}, not (6, 2, 4)."
    for wrong in ((24, 5, 1), (24, 6, 4)):
        with check_raises(AssertionError, ValueError, what=f"GroupedQueryAttention{wrong}"):
            GroupedQueryAttention(*wrong)
    for batch in (1, 2):
        result = layer(numbers(batch, 5, 24), numbers(batch, 7, 24), numbers(batch, 7, 24))
        check_pair(result, "forward")
        check_tensor(result[0], (batch, 5, 24), "the output for 5 queries and 7 keys")
        check_tensor(result[1], (batch, 6, 5, 7), "the weights: one matrix for each query head")

with public_check("GroupedQueryAttention: values"):
    inputs = (numbers(2, 5, 24, seed=1), numbers(2, 7, 24, seed=2), numbers(2, 7, 24, seed=3))
    before = [x.clone() for x in inputs]
    for n_kv_heads, sums, question in (
        (6, [2.5909, -5.2758], "Here each query head has a key head of its own, as in MultiHeadAttention."),
        (1, [2.9139, 5.3619], "Here all query heads share one key head."),
        (
            2,
            [3.9002, -1.6413],
            "With 6 query heads and 2 key heads, which key head does query head 2 use, and which query head 3?",
        ),
    ):
        layer = fill(GroupedQueryAttention(24, 6, n_kv_heads))
        check_values(layer(*inputs)[0], (2, 5, 24), sums, f"the output with n_kv_heads={n_kv_heads}", question)
    check_close(layer(*inputs)[1].sum(dim=-1), torch.ones(2, 6, 5), "the sum of each row of weights")
    check_same(before, inputs, "forward")

with public_check("GroupedQueryAttention: masks and dropout"):
    allowed = numbers(2, 6, 5, 7, seed=4) > -0.6
    allowed[..., 0] = True
    for mask in (allowed, allowed[:, :1, :1], allowed[0], allowed[0, 0], allowed[:, :1].long(), allowed[0].float()):
        weights = layer(*inputs, mask)[1]
        assert (weights[(mask == 0).expand_as(weights)] == 0).all(), (
            f"with a mask of shape {tuple(mask.shape)} and type {mask.dtype} a forbidden key gets a weight above 0."
        )
        check_close(weights.sum(dim=-1), torch.ones(2, 6, 5), "the sum of each row of weights with a mask")
    weights = fill(GroupedQueryAttention(24, 6, 2), size=4e13)(*inputs, allowed)[1]
    assert (weights[~allowed] == 0).all(), "with very large scores a forbidden key gets a weight above 0."
    half = GroupedQueryAttention(24, 6, 2).half().eval()
    assert (half(*(x.half() for x in inputs), allowed)[1][~allowed] == 0).all(), "masking does not work in float16."
    none = torch.ones(5, 7).index_fill(0, torch.tensor([2]), 0)
    check_tensor(layer(*inputs, none)[0], (2, 5, 24), "the output where one query may see no key")
    result = GroupedQueryAttention(24, 6, 2, dropout=1.0)(*inputs)
    check_close(result[1].sum(dim=-1), torch.ones(2, 6, 5), "in training, the sum of each returned row")
    assert result[0].std(dim=1).max() < 1e-6, "when dropout takes every weight, all tokens should get the same output."
    check_device(lambda d: layer.to(d)(*(x.to(d) for x in inputs), allowed.to(d)), "forward")

with public_check("MultiQueryAttention: parts"):
    layer = MultiQueryAttention(24, 6, dropout=1.0)
    check_tensor(layer.w_k.weight, (4, 24), "w_k.weight")
    assert (layer.n_heads, layer.n_kv_heads) == (6, 1), f"n_heads, n_kv_heads: {layer.n_heads}, {layer.n_kv_heads}."
    assert layer(*inputs)[0].std(dim=1).max() < 1e-6, "the rate of dropout that was asked for does not arrive."
    check_values(
        fill(layer)(*inputs)[0], (2, 5, 24), [2.9139, 5.3619], "the output", "All query heads share one key head."
    )

# %% [markdown]
# ## kv-cache

# %% nbgrader={"grade": false, "grade_id": "kv-cache", "locked": false, "schema_version": 3, "solution": true, "task": false}
class CachedAttention(GroupedQueryAttention):
    """Causal self-attention that remembers the keys and values of the tokens before.

    Attributes as in GroupedQueryAttention (inherit from it, or from nn.Module and make them
    yourself); no dropout.
    """

    def __init__(self, d_model, n_heads, n_kv_heads):
        # Step 1: the attributes.
        ### BEGIN SOLUTION
        super().__init__(d_model, n_heads, n_kv_heads, dropout=0.0)
        ### END SOLUTION

    def forward(self, x, cache=None):
        """x (B, T, d), the next piece of the text, of any length -> (output (B, T, d), cache).

        cache: None at the beginning of a text, later what the call before returned: (keys,
        values), each (B, n_kv_heads, tokens so far, d_k), for one or many tokens.
        Feeding a text in pieces gives the outputs of feeding it whole: a query sees all that is
        cached and, in its own piece, itself and what is before it. Neither the cache that is
        passed in nor one returned earlier is changed.
        """
        # Step 2: project x, cut into heads, append the keys and values to those in the cache.
        # Step 3: which of all these keys may each query of this piece see?
        # Step 4: attention, heads side by side, w_o; return the output and the new cache.
        ### BEGIN SOLUTION
        q, k, v = (
            project(x).unflatten(-1, (-1, self.d_k)).transpose(1, 2)  # (B, h or g, T, d_k)
            for project in (self.w_q, self.w_k, self.w_v)
        )
        if cache is not None:
            k, v = (
                torch.cat([cache[0], k], dim=2),
                torch.cat([cache[1], v], dim=2),
            )  # (B, g, S, d_k)
        (B, T, _), S = x.shape, k.size(2)
        # the first query of this piece stands at position S - T and sees S - T + 1 keys
        visible = torch.ones(T, S, dtype=torch.bool, device=x.device).tril(S - T)
        q = (q / math.sqrt(self.d_k)).reshape(
            B, self.n_kv_heads, -1, self.d_k
        )  # (B, g, h / g * T, d_k)
        scores = (q @ k.transpose(-2, -1)).view(B, self.n_heads, T, S)
        weights = F.softmax(scores.masked_fill(~visible, torch.finfo(scores.dtype).min), dim=-1)
        heads = weights.view(B, self.n_kv_heads, -1, S) @ v  # (B, g, h / g * T, d_k)
        heads = heads.view(B, self.n_heads, T, self.d_k).transpose(1, 2).flatten(2)  # (B, T, d)
        return self.w_o(heads), (k, v)
        ### END SOLUTION


def cache_bytes(cache):
    """The bytes of the keys and values in a cache (int): elements times the size of one."""
    # Step 5: a tensor knows both numbers.
    ### BEGIN SOLUTION
    return sum(tensor.numel() * tensor.element_size() for tensor in cache)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "kv-cache-tests", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("CachedAttention: parts and shapes"):
    layer = fill(CachedAttention(d_model=24, n_heads=6, n_kv_heads=2))
    for name, rows in (("w_q", 24), ("w_k", 8), ("w_v", 8), ("w_o", 24)):
        check_tensor(layer.get_parameter(f"{name}.weight"), (rows, 24), f"{name}.weight")
    sizes = (layer.n_heads, layer.n_kv_heads, layer.d_k)
    assert sizes == (6, 2, 4), f"n_heads, n_kv_heads and d_k are {sizes}, not (6, 2, 4)."
    result = layer(numbers(3, 5, 24))
    check_pair(result, "forward")
    check_tensor(result[0], (3, 5, 24), "the output")
    check_pair(result[1], "the cache: forward")
    for name, tensor in zip(("keys", "values"), result[1]):
        check_tensor(tensor, (3, 2, 5, 4), f"the {name} in the cache after 5 tokens")

with public_check("CachedAttention: pieces give what the whole gives"):
    text = numbers(2, 9, 24, seed=1)
    kept = text.clone()
    whole, (all_keys, all_values) = layer(text)
    check_values(
        whole,
        (2, 9, 24),
        [-2.7996, -3.0882],
        "the output for a whole text",
        "Which keys may token 3 see? Which head asks which?",
    )
    for cuts in ((1,) * 9, (4, 5), (3, 1, 5), (8, 1)):
        cache, outputs = None, []
        for piece in text.split(cuts, dim=1):
            output, cache = layer(piece, cache)
            outputs.append(output)
        kind = f"fed in pieces of {cuts} tokens,"
        check_close(cache[0], all_keys, f"{kind} the keys in the cache")
        check_close(cache[1], all_values, f"{kind} the values in the cache")
        for i, (found, right) in enumerate(zip(outputs, whole.split(cuts, dim=1))):
            assert (found - right).abs().max() < 1e-4, (
                f"{kind} piece {i} gets another output than in the whole text. Which keys does its first query see, which its last?"
            )
    assert torch.equal(text, kept), "forward changes the text that it is given."
    check_tensor(layer(text[:, :1])[0], (2, 1, 24), "the first token of another text")

with public_check("CachedAttention: caches do not disturb each other"):
    _, cache = layer(text[:, :4])
    kept = [tensor.clone() for tensor in cache]
    first, first_cache = layer(text[:, 4:6], cache)
    kept_first = [tensor.clone() for tensor in first_cache]
    layer(text[:, 6:9], cache)
    check_same(kept, cache, "a continuation")
    check_same(kept_first, first_cache, "a second continuation of the same cache")
    check_close(layer(text[:, 4:6], cache)[0], first, "the same continuation, asked for again,")
    check_device(lambda d: layer.to(d)(text[:, 4:].to(d), layer(text[:, :4].to(d))[1]), "forward")

with public_check("cache_bytes: keys and values"):
    for dtype, expected in ((torch.float32, 960), (torch.float16, 480), (torch.float64, 1920)):
        found = cache_bytes((torch.zeros(2, 3, 5, 4, dtype=dtype), torch.zeros(2, 3, 5, 4, dtype=dtype)))
        check_type(found, int, "cache_bytes")
        assert found == expected, f"cache_bytes gives {found} for a cache in {dtype} that takes {expected} bytes."

# %% [markdown]
# ## sliding-window

# %% nbgrader={"grade": false, "grade_id": "sliding-window", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sliding_window_mask(size, window, device=None):
    """A bool tensor (size, size) on `device`: query i may see the keys i - window + 1 ... i.

    A window below 1 raises ValueError.
    """
    # Step 1: how far does each key lie behind each query? Which distances are allowed?
    ### BEGIN SOLUTION
    if window < 1:
        raise ValueError(f"window={window} leaves no key")
    position = torch.arange(size, device=device)
    behind = position[:, None] - position[None, :]  # (size, size), query minus key
    return (behind >= 0) & (behind < window)
    ### END SOLUTION


class SlidingWindowAttention(MultiHeadAttention):
    """Multi-head self-attention (Tq = Tk) in which each query sees a window of keys.

    Attributes and results as in MultiHeadAttention (inherit from it, or from nn.Module and make
    them yourself).
    A window below 1 raises ValueError, here or in forward.
    """

    def __init__(self, d_model, n_heads, window_size, dropout=0.1):
        # Step 2: what MultiHeadAttention has, and the size of the window.
        ### BEGIN SOLUTION
        super().__init__(d_model, n_heads, dropout)
        self.window_size = window_size
        ### END SOLUTION

    def forward(self, query, key, value, mask=None):
        """As in MultiHeadAttention; a key must be allowed by the window and by `mask`, if there is one."""
        # Step 3: one mask from two, of whatever type the second is.
        ### BEGIN SOLUTION
        window = sliding_window_mask(query.size(1), self.window_size, query.device)
        return super().forward(
            query, key, value, window if mask is None else window & (mask != 0)
        )
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "sliding-window-tests", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("sliding_window_mask: which keys a query may see"):
    mask = sliding_window_mask(6, 3)
    check_tensor(mask, (6, 6), "sliding_window_mask(6, 3)")
    assert mask.dtype == torch.bool, f"sliding_window_mask should return a bool tensor, but returns {mask.dtype}."
    for window in (1, 2, 3, 9):
        counts = sliding_window_mask(6, window).sum(dim=1).tolist()
        right = [min(i + 1, window) for i in range(6)]
        assert counts == right, (
            f"with window {window} the queries see {counts} keys, not {right}. Does a query see itself?"
        )
    assert not mask.triu(1).any(), "a query sees a later key."
    assert mask[5].tolist() == [False, False, False, True, True, True], f"row 5 with window 3 is {mask[5].tolist()}."
    for window in (0, -2):
        with check_raises(ValueError, what=f"a window of {window}"):
            sliding_window_mask(6, window)
    check_device(lambda d: sliding_window_mask(3, 2, device=d) & torch.ones(3, device=d).bool(), "sliding_window_mask")

with public_check("SlidingWindowAttention: values and masks"):
    layer = fill(SlidingWindowAttention(12, 3, window_size=2))
    x = numbers(2, 5, 12, seed=1)
    for name in ("w_q", "w_k", "w_v", "w_o"):
        check_tensor(layer.get_parameter(f"{name}.weight"), (12, 12), f"{name}.weight")
    result = layer(x, x, x)
    check_pair(result, "forward")
    check_tensor(result[1], (2, 3, 5, 5), "the weights")
    seen = (result[1] > 0).sum(dim=-1)[0, 0].tolist()
    assert seen == [1, 2, 2, 2, 2], f"with window_size=2 the five queries see {seen} keys."
    check_values(result[0], (2, 5, 12), [-0.5549, -0.9532], "the output", "As MultiHeadAttention, with which mask?")
    padding = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 1]])[:, None, None, :]
    for mask in (padding, padding.bool(), padding.float(), padding[1, 0], padding.expand(2, 3, 5, 5)):
        kept = mask.clone()
        weights = layer(x, x, x, mask)[1]
        assert (weights[1, :, :, 3] == 0).all(), f"a key that `mask` ({mask.dtype}) forbids gets a weight above 0."
        assert not weights.triu(1).any() and not weights.tril(-2).any(), (
            f"with a mask ({mask.dtype}) the window is lost."
        )
        check_close(weights.sum(dim=-1), torch.ones(2, 3, 5), "the sum of each row of weights with a mask")
        assert torch.equal(mask, kept), "forward changes the mask that it is given."
    result = SlidingWindowAttention(12, 3, 2, dropout=1.0)(x, x, x)
    assert result[0].std(dim=1).max() < 1e-6, "when dropout takes every weight, all tokens should get the same output."
    with check_raises(ValueError, what="a window_size of 0, in forward at the latest,"):
        SlidingWindowAttention(12, 3, 0)(x, x, x)
    check_device(lambda d: layer.to(d)(*[x.to(d)] * 3, padding.to(d)), "forward")

# %% [markdown]
# ## chunked

# %% nbgrader={"grade": false, "grade_id": "chunked", "locked": false, "schema_version": 3, "solution": true, "task": false}
def memory_efficient_attention(query, key, value, mask=None, chunk_size=1024):
    """Attention that never holds all scores at once, exact for every chunk size.

    query (B, h, Tq, d_k), key (B, h, Tk, d_k), value (B, h, Tk, d_v) -> (B, h, Tq, d_v). mask: as
    in MultiHeadAttention, anything of two to four axes that broadcasts to (B, h, Tq, Tk).
    No tensor that the forward makes has more than B * h * chunk_size * max(Tq, Tk, d_k, d_v)
    elements; views, and tensors no larger than the largest of query, key, value, output and the
    mask as it was passed, do not count.
    F.scaled_dot_product_attention is not used on the whole. A chunk_size below 1 raises
    ValueError.
    """
    # Step 1: refuse a chunk_size that makes no sense.
    # Step 2: go through the queries in chunks: scores, mask, softmax, values.
    #         Which part of the mask belongs to a chunk?
    # Step 3: put the chunks of the output together.
    ### BEGIN SOLUTION
    if chunk_size < 1:
        raise ValueError(f"chunk_size={chunk_size} is below 1")
    (B, h, Tq, d_k), Tk = query.shape, key.size(2)
    if mask is not None:
        mask = torch.broadcast_to(mask, (B, h, Tq, Tk))  # a view, nothing is copied
    outputs = []
    for start in range(0, Tq, chunk_size):
        rows = slice(start, start + chunk_size)
        scores = (query[:, :, rows] / math.sqrt(d_k)) @ key.transpose(-2, -1)  # (B, h, chunk, Tk)
        if mask is not None:
            scores = scores.masked_fill(mask[:, :, rows] == 0, torch.finfo(scores.dtype).min)
        outputs.append(F.softmax(scores, dim=-1) @ value)  # (B, h, chunk, d_v)
    return torch.cat(outputs, dim=2)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "chunked-tests", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
from torch.utils._python_dispatch import TorchDispatchMode


class LargestTensor(TorchDispatchMode):
    """Notes how many elements the largest tensor has that is made inside."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor):  # a view has the storage of what it views
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


with public_check("memory_efficient_attention: values, for every chunk size and mask"):
    query, key, value = numbers(2, 3, 7, 4, seed=1), numbers(2, 3, 10, 4, seed=2), numbers(2, 3, 10, 6, seed=3)
    allowed = numbers(2, 3, 7, 10, seed=4) > -0.6
    allowed[..., 0] = True
    masks = {
        "none": (None, [-0.3085, -0.4528]),
        "all four axes": (allowed, [-0.2005, -0.7052]),
        "one row for all queries": (allowed[:, :1, :1].float(), [-0.4603, -0.7788]),
        "three axes": (allowed[0].long(), [-0.1812, -0.6319]),
        "two axes": (allowed[1, 0], [0.2675, -0.8001]),
        "one row of two axes": (allowed[0, 0, :1], [-0.0325, -0.9052]),
    }
    before = [t.clone() for t in (query, key, value, allowed)]
    for name, (mask, sums) in masks.items():
        for chunk_size in (1, 3, 7, 1000):
            what = f"the output with chunk_size={chunk_size} and a mask of kind '{name}'"
            question = "Are scores scaled, is the last chunk whole, which part of the mask belongs to a chunk?"
            check_values(
                memory_efficient_attention(query, key, value, mask, chunk_size), (2, 3, 7, 6), sums, what, question
            )
    check_tensor(
        memory_efficient_attention(query[:1], key[:1], value[:1]), (1, 3, 7, 6), "the output for a batch of one"
    )
    check_same(before, [query, key, value, allowed], "memory_efficient_attention")
    with check_raises(ValueError, what="chunk_size=0"):
        memory_efficient_attention(query, key, value, chunk_size=0)
    one = torch.ones(7, 10).index_fill(0, torch.tensor([2]), 0)
    q = query.clone().requires_grad_()
    output = memory_efficient_attention(q, key, value, one, 3)
    check_tensor(output, (2, 3, 7, 6), "the output where one query may see no key")
    output.square().sum().backward()
    check_tensor(q.grad, (2, 3, 7, 4), "the gradient where one query may see no key")
    poisoned = value.masked_fill((torch.arange(10) == 4)[:, None], 1e6)  # key 4 is forbidden below
    loud = memory_efficient_attention(query * 1e14, key * 1e14, poisoned, (torch.arange(10) != 4)[None], 3)
    assert loud.abs().max() < 10, "with very large scores a forbidden key gets a weight above 0."
    half = memory_efficient_attention(query.half(), key.half(), value.half(), allowed, 3)
    check_tensor(half, (2, 3, 7, 6), "the output in float16")

with public_check("memory_efficient_attention: the largest tensor"):
    long, short = numbers(1, 2, 96, 4, seed=5), numbers(1, 2, 80, 4, seed=6)
    padding = torch.ones(1, 1, 1, 80, dtype=torch.bool)
    for mask in (None, padding):
        with torch.no_grad(), LargestTensor() as largest:
            memory_efficient_attention(long, short, short, mask, chunk_size=8)
        assert largest.elements <= 2 * 8 * 96, (
            f"with chunk_size=8 a tensor of {largest.elements:,} elements is made; at most {2 * 8 * 96:,} are allowed. "
            f"{'Is the mask made full?' if mask is not None else 'Are all scores there at once?'}"
        )
    check_device(
        lambda d: memory_efficient_attention(*(t.to(d) for t in (query, key, value, allowed)), 3), "the function"
    )

# %% [markdown]
# ## fused

# %% nbgrader={"grade": false, "grade_id": "fused", "locked": false, "schema_version": 3, "solution": true, "task": false}
class FusedMultiHeadAttention(MultiHeadAttention):
    """Multi-head attention computed by one call of F.scaled_dot_product_attention.

    Attributes and output as in MultiHeadAttention (inherit from it, or from nn.Module and make
    them yourself).
    """

    def __init__(self, d_model, n_heads, dropout=0.1):
        # Step 1: what MultiHeadAttention has. How does forward learn the rate of dropout?
        ### BEGIN SOLUTION
        super().__init__(d_model, n_heads, dropout)
        self.dropout_rate = dropout
        ### END SOLUTION

    def forward(self, query, key, value, mask=None):
        """As in MultiHeadAttention, but the second result is None: the kernel hands out no weights.

        Masks of every type as there. Dropout in training only. The kernel is called once.
        """
        # Step 2: project, cut into heads, call the kernel, put the heads side by side, apply w_o.
        ### BEGIN SOLUTION
        q, k, v = (
            project(x).unflatten(-1, (self.n_heads, self.d_k)).transpose(1, 2)  # (B, h, T, d_k)
            for project, x in ((self.w_q, query), (self.w_k, key), (self.w_v, value))
        )
        allowed = None if mask is None else mask != 0
        rate = self.dropout_rate if self.training else 0.0
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=rate)
        return self.w_o(heads.transpose(1, 2).flatten(2)), None
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "fused-tests", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
from torch.overrides import TorchFunctionMode


class KernelCalls(TorchFunctionMode):
    """Counts the calls of F.scaled_dot_product_attention inside, however it was imported."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += function is F.scaled_dot_product_attention
        return function(*args, **(kwargs or {}))


with public_check("FusedMultiHeadAttention: values"):
    layer = fill(FusedMultiHeadAttention(12, 3, dropout=0.5))
    for name in ("w_q", "w_k", "w_v", "w_o"):
        check_tensor(layer.get_parameter(f"{name}.weight"), (12, 12), f"{name}.weight")
    inputs = (numbers(2, 5, 12, seed=1), numbers(2, 7, 12, seed=2), numbers(2, 7, 12, seed=3))
    with KernelCalls() as kernel:
        result = layer(*inputs)
    check_pair(result, "forward")
    assert result[1] is None, "the second result should be None: the kernel does not hand out weights."
    assert kernel.count == 1, f"F.scaled_dot_product_attention is called {kernel.count} times in a forward."
    check_values(
        result[0],
        (2, 5, 12),
        [-0.6767, 0.2715],
        "the output",
        "Heads cut and joined as in MultiHeadAttention? Dropout in eval mode?",
    )
    allowed = numbers(2, 3, 5, 7, seed=4) > -0.6
    allowed[..., 0] = True
    question = "What does the kernel do with a mask that is not bool?"
    for mask in (allowed, allowed.long(), allowed.float()):
        kept = mask.clone()
        check_values(
            layer(*inputs, mask)[0], (2, 5, 12), [0.3440, -0.1623], f"the output with a mask ({mask.dtype})", question
        )
        assert torch.equal(mask, kept), "forward changes the mask that it is given."
    for mask in (allowed[:, :1, :1].float(), allowed[0], allowed[0, 0].long()):
        check_tensor(layer(*inputs, mask)[0], (2, 5, 12), f"the output with a mask of shape {tuple(mask.shape)}")
    none = torch.ones(5, 7).index_fill(0, torch.tensor([2]), 0)
    check_tensor(layer(*inputs, none)[0], (2, 5, 12), "the output where one query may see no key")

with public_check("FusedMultiHeadAttention: dropout and device"):
    check_close(layer(*inputs)[0], layer(*inputs)[0], "the output of a second call in eval mode")
    layer.train()
    assert not torch.equal(layer(*inputs)[0], layer(*inputs)[0]), "there is no dropout in training."
    layer = FusedMultiHeadAttention(12, 3, dropout=0.0).train()
    check_close(layer(*inputs)[0], layer(*inputs)[0], "with dropout=0, the output of a second call in training")
    check_device(lambda d: layer.to(d)(*(x.to(d) for x in inputs), allowed.to(d)), "forward")

# %% [markdown]
# ## checkpointing

# %% nbgrader={"grade": false, "grade_id": "checkpointing", "locked": false, "schema_version": 3, "solution": true, "task": false}
class CheckpointedGPT(GPTTransformer):
    """A GPTTransformer that keeps only the input of each block in training, and recomputes the rest.

    Same arguments, same state-dict keys. In training mode with use_checkpoint every block runs
    under checkpoint(..., use_reentrant=False); in eval mode, or without use_checkpoint, nothing
    is checkpointed.
    From the same random state logits, loss and gradients are those of GPTTransformer, dropout
    included.
    """

    def __init__(self, *args, use_checkpoint=True, **kwargs):
        super().__init__(*args, **kwargs)
        # Step 1: remember the choice.
        ### BEGIN SOLUTION
        self.use_checkpoint = use_checkpoint
        ### END SOLUTION

    def forward(self, input_ids, attention_mask=None):
        """As in GPTTransformer, padding masks too."""
        # Step 2: run every block under checkpoint, where it is wanted.
        ### BEGIN SOLUTION
        if not (self.use_checkpoint and self.training):
            return super().forward(input_ids, attention_mask)
        blocks = self.transformer_blocks
        self.transformer_blocks = nn.ModuleList(
            map(CheckpointedBlock, blocks)
        )  # for this call only
        try:
            return super().forward(input_ids, attention_mask)
        finally:
            self.transformer_blocks = blocks


class CheckpointedBlock(nn.Module):
    """Runs a block under checkpoint."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, *args, **kwargs):
        return checkpoint(self.block, *args, use_reentrant=False, **kwargs)
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "checkpointing-tests", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
def checkpoint_trial(make, ids, mask=None, train=True):
    """Loss, gradients and the runs of the first block's attention for one training step with dropout."""
    model = make(11, d_model=12, n_heads=3, n_layers=2, d_ff=20, max_seq_length=8, dropout=0.3)
    fill(model).train(train)
    keys = list(model.state_dict())
    runs = []
    model.transformer_blocks[0].self_attention.register_forward_pre_hook(lambda *_: runs.append(1))
    torch.manual_seed(5)
    loss = model(ids, mask).square().mean()
    assert list(model.state_dict()) == keys, "after a forward the state-dict keys are others than before."
    parameters = [p for name, p in model.named_parameters() if not name.startswith("position_embedding")]
    return loss, torch.autograd.grad(loss, parameters), len(runs)


with public_check("CheckpointedGPT: same model, same keys"):
    sizes = {"d_model": 12, "n_heads": 3, "n_layers": 2, "d_ff": 20, "max_seq_length": 8}
    model = CheckpointedGPT(11, **sizes)
    check_type(model, GPTTransformer, "CheckpointedGPT(...)")
    assert list(model.state_dict()) == list(GPTTransformer(11, **sizes).state_dict()), "the state-dict keys differ."
    with check_raises(ValueError, what="a text of 9 tokens with max_seq_length=8"):
        model(torch.ones(2, 9, dtype=torch.long))

with public_check("CheckpointedGPT: computed twice in training, with the same results"):
    ids, mask = torch.tensor([[4, 9, 3, 7, 5], [0, 0, 10, 8, 1]]), torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
    for given in (None, mask):
        plain, plain_gradients, _ = checkpoint_trial(GPTTransformer, ids, given)
        try:
            loss, gradients, runs = checkpoint_trial(CheckpointedGPT, ids, given)
        except RuntimeError as error:
            assert "checkpoint" not in str(error).lower(), f"is it use_reentrant=False? torch says: {str(error)[:120]}"
            raise
        assert runs == 2, f"in a training step the attention of a block runs {runs} times. When should it run again?"
        check_close(loss, plain, "the loss, with the same random state,", atol=1e-5)
        gap = max((a - b).abs().max().item() for a, b in zip(gradients, plain_gradients))
        assert gap < 1e-5, f"the gradients differ from those of GPTTransformer by up to {gap:.2g}."
    for what, make, train in (
        ("in eval mode", CheckpointedGPT, False),
        ("with use_checkpoint=False", partial(CheckpointedGPT, use_checkpoint=False), True),
    ):
        loss, _, runs = checkpoint_trial(make, ids, mask, train)
        check_close(loss, checkpoint_trial(GPTTransformer, ids, mask, train)[0], f"{what} the loss", atol=1e-5)
        assert runs == 1, f"{what} the attention of a block runs {runs} times."

# %% [markdown]
# ## mixed-precision

# %% nbgrader={"grade": false, "grade_id": "mixed-precision", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MixedPrecisionTrainer(TransformerTrainer):
    """A TransformerTrainer whose forward runs under torch.autocast.

    Matrix products are in `dtype`; parameters, gradients and optimizer state stay float32. With
    float16 the loss is scaled by `scaler` (torch.amp.GradScaler), gradients are unscaled before
    they are clipped, and a step whose scaled gradients overflow may be skipped. `scaler` under
    bfloat16 is not graded.
    """

    def __init__(self, model, max_norm=1.0, dtype=torch.bfloat16):
        super().__init__(model, max_norm)
        # Step 1: keep dtype; make self.scaler, which does something with float16 only.
        ### BEGIN SOLUTION
        self.dtype = dtype
        self.scaler = torch.amp.GradScaler(
            next(model.parameters()).device.type, enabled=dtype == torch.float16
        )
        ### END SOLUTION

    def train_step(self, batch, optimizer):
        """As in TransformerTrainer, under autocast of the model's device.

        The loss that is returned is within 3 % of the float32 one.
        """
        # Step 2: as before; only the forward runs under autocast, and the scaler stands between
        #         loss and step.
        ### BEGIN SOLUTION
        device = next(self.model.parameters()).device
        given = {
            name: batch[name].to(device)
            for name in ("input_ids", "labels", "attention_mask")
            if batch.get(name) is not None
        }
        self.model.train()
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=self.dtype):
            loss = self.compute_loss(**given)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.scaler.step(optimizer)
        self.scaler.update()
        return loss.item()
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "mixed-precision-tests", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
from torch.utils._python_dispatch import TorchDispatchMode


class ProductTypes(TorchDispatchMode):
    """Notes the types of the matrix products inside."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm):
            self.types.add(result.dtype)
        return result


def precision_trial(make_trainer, optimizer_kind=optim.AdamW, **options):
    """One step of a tiny language model: (trainer, losses, model, optimizer)."""
    model = fill(GPTTransformer(11, d_model=12, n_heads=3, n_layers=1, d_ff=20, max_seq_length=8, dropout=0.0), 0.2)
    trainer, optimizer = make_trainer(model, **options), optimizer_kind(model.parameters(), lr=0.01)
    ids, mask = torch.tensor([[4, 9, 3, 7, 5], [6, 3, 10, 0, 0]]), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    losses = [
        trainer.train_step({"input_ids": ids, "attention_mask": mask, "labels": None}, optimizer) for _ in range(3)
    ]
    return trainer, losses, model, optimizer


with public_check("MixedPrecisionTrainer: low precision where it should be, float32 where it should stay"):
    plain = precision_trial(TransformerTrainer)[1]
    for dtype in (torch.bfloat16, torch.float16):
        with ProductTypes() as products:
            trainer, losses, model, optimizer = precision_trial(MixedPrecisionTrainer, dtype=dtype)
        check_type(trainer, TransformerTrainer, "MixedPrecisionTrainer(...)")
        assert dtype in products.types, f"matrix products run in {products.types}, not in {dtype}."
        check_type(losses[0], float, "what train_step returns")
        assert np.allclose(losses, plain, rtol=0.03), (
            f"three losses in {dtype} are {np.round(losses, 3)}, in float32 {np.round(plain, 3)}. Is the scaled loss returned?"
        )
        kept = [*model.parameters(), *(p.grad for p in model.parameters())]
        kept += [v for state in optimizer.state.values() for v in state.values() if torch.is_tensor(v)]
        assert {t.dtype for t in kept} == {torch.float32}, (
            "parameters, gradients and optimizer state should stay float32."
        )
        assert model.training, "train_step should put the model into train mode."
    check_type(getattr(trainer, "scaler", None), torch.amp.GradScaler, "the attribute scaler")
    assert trainer.scaler.is_enabled(), "with float16 the scaler should be enabled."


def distance(one, other):
    """Euclidean distance between the parameters of two models."""
    return math.sqrt(sum((a - b).square().sum().item() for a, b in zip(one.parameters(), other.parameters())))


with public_check("MixedPrecisionTrainer: the step that is taken"):
    start = fill(GPTTransformer(11, 12, 3, 1, 20, 8, dropout=0.0), 0.2)
    batch, plain = {"input_ids": torch.tensor([[4, 9, 3, 7, 5], [6, 3, 10, 1, 1]])}, deepcopy(start)
    TransformerTrainer(plain, max_norm=0.01).train_step(batch, optim.SGD(plain.parameters(), lr=1.0))
    for dtype in (torch.bfloat16, torch.float16):
        model = deepcopy(start)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)  # left behind by somebody
        trainer = MixedPrecisionTrainer(model, max_norm=0.01, dtype=dtype)
        trainer.train_step(batch, optim.SGD(model.parameters(), lr=1.0))
        moved, gap = distance(model, start), distance(model, plain)
        assert abs(moved - 0.01) < 1e-4, (
            f"in {dtype}, with max_norm=0.01 and plain SGD at rate 1, the weights moved by {moved:.2g}. Which gradients are clipped?"
        )
        assert gap < 0.003, f"in {dtype} the step goes elsewhere than in float32. Do gradients start from zero?"

# %% [markdown]
# ## analyzer

# %% nbgrader={"grade": false, "grade_id": "analyzer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attention_maps(model, input_ids):
    """The attention weights of all N blocks of a GPTTransformer: (B, T) of ids -> (N, B, h, T, T).

    One forward in eval mode without gradients. The weights are read by forward hooks on each
    block's self_attention, which are gone afterwards, also when the forward raises; hooks of
    others stay, and model.training is left as it was.
    """
    # Step 1: a hook for each block, which keeps the weights.
    # Step 2: one forward. Step 3: leave everything as it was.
    ### BEGIN SOLUTION
    maps = []
    hooks = [
        block.self_attention.register_forward_hook(
            lambda module, inputs, result: maps.append(result[1])
        )
        for block in model.transformer_blocks
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(input_ids)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return torch.stack(maps)  # (N, B, h, T, T)
    ### END SOLUTION


def attention_entropy(weights):
    """Entropy of each query's weights in nats, mean over queries: (..., Tq, Tk) -> (...).

    Weights of 0 count as 0.
    """
    # Step 4: which limit has p log p at 0?
    ### BEGIN SOLUTION
    return -torch.xlogy(weights, weights).sum(dim=-1).mean(dim=-1)
    ### END SOLUTION


def model_statistics(model):
    """What a model's parameters add up to, each parameter counted once, a tied one too.

    Returns a dict: total_parameters, trainable_parameters, parameter_bytes (ints), and layers, a
    list of dicts with name (as in named_modules), type (the class's name) and parameters (int),
    one for each module that has parameters of its own, in the order of named_modules. A tied
    parameter is counted at the first module that has it, so lm_head has 0, and the list sums to
    the total.
    """
    # Step 5: go through the modules and remember which parameters you have met.
    ### BEGIN SOLUTION
    layers, met = [], {}
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own:
            new = {id(parameter): parameter for parameter in own if id(parameter) not in met}
            met |= new
            size = sum(parameter.numel() for parameter in new.values())
            layers.append({"name": name, "type": type(module).__name__, "parameters": size})
    return {
        "total_parameters": sum(p.numel() for p in met.values()),
        "trainable_parameters": sum(p.numel() for p in met.values() if p.requires_grad),
        "parameter_bytes": sum(p.numel() * p.element_size() for p in met.values()),
        "layers": layers,
    }
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "analyzer-tests", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("attention_maps: shape, rows, order"):
    model = fill(GPTTransformer(11, d_model=12, n_heads=3, n_layers=4, d_ff=20, max_seq_length=8, dropout=0.5))
    with torch.no_grad():
        model.token_embedding.weight.copy_(numbers(11, 12, seed=5))
    ids = torch.tensor([[4, 9, 3, 7, 5], [6, 3, 10, 8, 1]])
    others = []
    model.transformer_blocks[0].self_attention.register_forward_hook(lambda *_: others.append(1))
    model.train()
    maps = attention_maps(model, ids)
    check_tensor(maps, (4, 2, 3, 5, 5), "the maps of 4 blocks, 2 texts, 3 heads")
    check_close(maps.sum(dim=-1), torch.ones(4, 2, 3, 5), "the sum of each row")
    question = "Was dropout off, and are the blocks in their order?"
    check_values(maps, (4, 2, 3, 5, 5), [0.1512, -0.0380], "the maps", question)
    assert not maps.requires_grad, "the maps carry gradients, though nobody needs them."
    assert model.training, "the model was in train mode before, and is not afterwards."
    assert len(others) == 1, f"the model ran {len(others)} times; one forward is enough."
    model.eval()
    attention_maps(model, ids)
    assert len(others) == 2, "a hook of somebody else was removed."
    assert not model.training, "the model was in eval mode before, and is not afterwards."

with public_check("attention_maps: hooks"):

    def hooks(model):
        return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]

    before = hooks(model.train())
    attention_maps(model, ids)
    assert hooks(model) == before, "hooks are left behind, or others' hooks are gone."
    with check_raises(ValueError, what="a text that is too long"):
        attention_maps(model, torch.ones(1, 9, dtype=torch.long))
    assert hooks(model) == before, "hooks are left behind when the forward raises."
    assert model.training, "the mode is not put back when the forward raises."

with public_check("attention_entropy: known cases"):
    even, sure = torch.full((2, 4, 4), 0.25), torch.eye(4).expand(2, 4, 4)
    check_close(attention_entropy(even), [math.log(4)] * 2, "the entropy of even weights over 4 keys (in nats)")
    check_close(attention_entropy(sure), [0.0, 0.0], "the entropy of weights of 0 and 1")
    mixed = torch.stack([even[0, :2], sure[0, :2], torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0, 1.0]])])
    expected = [math.log(4), 0.0, math.log(2) / 2]
    check_close(attention_entropy(mixed), expected, "the entropy of three maps, each the mean over two queries,")
    check_tensor(attention_entropy(maps), (4, 2, 3), "the entropies of maps with shape (4, 2, 3, 5, 5)")

with public_check("model_statistics: every parameter once"):
    model = GPTTransformer(11, d_model=12, n_heads=3, n_layers=1, d_ff=20, max_seq_length=8)
    model.transformer_blocks[0].requires_grad_(False)
    model.layer_norm.half()
    model.scale = nn.Parameter(torch.ones(5))  # a parameter of the outermost module
    found = model_statistics(model)
    check_type(found, dict, "the result")
    keys = {"total_parameters", "trainable_parameters", "parameter_bytes", "layers"}
    assert set(found) == keys, f"the keys are {sorted(found)}, not {sorted(keys)}."
    for name, right in (("total_parameters", 1405), ("trainable_parameters", 257), ("parameter_bytes", 5572)):
        check_type(found[name], int, name)
        assert found[name] == right, f"{name} is {found[name]}, not {right}. Tied, frozen, half: how is each counted?"
    listed = {layer["name"]: (layer["type"], layer["parameters"]) for layer in found["layers"]}
    own = [name for name, m in model.named_modules() if list(m.parameters(recurse=False))]
    assert [layer["name"] for layer in found["layers"]] == own, f"layers lists {list(listed)}, not {own}."
    assert sum(size for _, size in listed.values()) == found["total_parameters"], "layers do not sum to the total."
    assert listed["lm_head"] == ("Linear", 0), f"lm_head is listed as {listed['lm_head']}. Whose is its weight?"
