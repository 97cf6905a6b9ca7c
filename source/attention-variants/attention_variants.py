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
from collections import Counter
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
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

    Returns a bool tensor (size, size) on `device`: True at row i (the query), column j (the key) where query i may see
    key j, that is, itself and what comes before it.
    """
    # Step 1: make the matrix on `device`, with True where a key may be seen.
    ### BEGIN SOLUTION
    return torch.ones(size, size, dtype=torch.bool, device=device).tril()
    ### END SOLUTION


def padding_mask(token_ids, pad_id=0):
    """Which keys are real tokens: (B, T) of ids, int64 -> a bool tensor (B, 1, 1, T), True where the token is not PAD.

    The two axes of size 1 stand for heads and queries. The result is on the device of token_ids.
    """
    # Step 2: compare with pad_id; then put the two axes where they belong.
    ### BEGIN SOLUTION
    return (token_ids != pad_id)[:, None, None, :]
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "masks-tests", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("masks: names"):
    pass

# %% [markdown]
# ## attention

# %% nbgrader={"grade": false, "grade_id": "attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with several heads, between two sequences or within one (Vaswani et al. 2017, 3.2).

    Attributes: `w_q`, `w_k`, `w_v` (nn.Linear(d, d) without bias), `w_o` (nn.Linear(d, d) with bias), `n_heads`, and
    `d_k` = d_model // n_heads. Head j owns the features j * d_k ... (j + 1) * d_k - 1 of each projection.
    A d_model that n_heads does not divide raises AssertionError or ValueError.
    """

    def __init__(self, d_model, n_heads, dropout=0.1):
        super().__init__()
        # Step 1: refuse sizes that do not divide; keep n_heads and d_k; make the four projections and the dropout.
        ### BEGIN SOLUTION
        assert d_model % n_heads == 0, f"d_model={d_model} cannot be divided among n_heads={n_heads}"
        self.n_heads, self.d_k = n_heads, d_model // n_heads
        self.w_q, self.w_k, self.w_v = (nn.Linear(d_model, d_model, bias=False) for _ in range(3))
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, query, key, value, mask=None):
        """query (B, Tq, d), key and value (B, Tk, d) -> (output (B, Tq, d), weights (B, h, Tq, Tk)).

        Tq and Tk may differ. Scores are divided by sqrt(d_k). Dropout acts on the weights, in training only; the
        weights that are returned are those before dropout, so that their rows sum to 1.

        mask: two to four axes that broadcast to (B, h, Tq, Tk), of type bool, integer or float. Where it is 0 or False
        the key is forbidden and gets weight exactly 0, in float32, float16 and bfloat16, and for scores of any size up
        to 1e30 in float32 and 1e4 in float16. A query whose keys are all forbidden gets finite numbers, in values and
        in gradients; which ones is not graded.
        """
        # Step 2: project, and cut the features into heads: (B, T, d) -> (B, h, T, d_k).
        # Step 3: scores of every query against every key, scaled; forbidden keys masked; softmax.
        # Step 4: dropout and the weighted sum of the values; then put the heads side by side again and apply w_o.
        ### BEGIN SOLUTION
        q, k, v = (
            project(x).unflatten(-1, (self.n_heads, self.d_k)).transpose(1, 2)  # (B, h, T, d_k)
            for project, x in ((self.w_q, query), (self.w_k, key), (self.w_v, value))
        )
        scores = (q / math.sqrt(self.d_k)) @ k.transpose(-2, -1)  # (B, h, Tq, Tk); q / ... first: half precision ends at 65504
        if mask is not None:
            scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)
        weights = F.softmax(scores, dim=-1)  # (B, h, Tq, Tk)
        heads = self.dropout(weights) @ v  # (B, h, Tq, d_k)
        return self.w_o(heads.transpose(1, 2).flatten(2)), weights  # (B, Tq, d), (B, h, Tq, Tk)
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "attention-tests", "locked": true, "points": 7, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("attention: names"):
    pass

# %% [markdown]
# ## encoder-layer

# %% nbgrader={"grade": false, "grade_id": "encoder-layer", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TransformerEncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each with dropout, a residual connection and a layer norm.

    Attributes: `self_attention` (MultiHeadAttention), `feed_forward` (FeedForward), `norm1` and `norm2`
    (nn.LayerNorm), `dropout` (nn.Dropout).
    Post-norm (norm_first=False): x = norm1(x + dropout(attention(x))), x = norm2(x + dropout(feed_forward(x))).
    Pre-norm (norm_first=True):   x = x + dropout(attention(norm1(x))), x = x + dropout(feed_forward(norm2(x))).
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
with public_check("encoder-layer: names"):
    pass

# %% [markdown]
# ## decoder-layer

# %% nbgrader={"grade": false, "grade_id": "decoder-layer", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TransformerDecoderLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward; after each dropout, residual connection and norm (post-norm).

    Attributes: `self_attention` and `cross_attention` (MultiHeadAttention), `feed_forward` (FeedForward), `norm1`,
    `norm2`, `norm3` (nn.LayerNorm, in the order of the three sublayers), `dropout` (nn.Dropout).
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

        tgt_mask says which target positions each target position may see, src_mask which source positions.
        """
        # Step 2: the three sublayers. Which mask belongs to which attention?
        ### BEGIN SOLUTION
        x = self.norm1(x + self.dropout(self.self_attention(x, x, x, tgt_mask)[0]))
        x = self.norm2(x + self.dropout(self.cross_attention(x, encoder_output, encoder_output, src_mask)[0]))
        return self.norm3(x + self.dropout(self.feed_forward(x)))
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "decoder-layer-tests", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("decoder-layer: names"):
    pass

# %% [markdown]
# ## transformer

# %% nbgrader={"grade": false, "grade_id": "transformer", "locked": false, "schema_version": 3, "solution": true, "task": false}
class Transformer(nn.Module):
    """The encoder-decoder of Vaswani et al. (2017): reads a source, writes a target.

    Attributes: `src_embedding` and `tgt_embedding` (nn.Embedding(V, d) whose weights start normal with standard deviation
    d ** -0.5, graded within 20 %, and whose outputs are scaled by sqrt(d)), `positional_encoding`
    (PositionalEncoding), `encoder_layers` and `decoder_layers` (nn.ModuleList of post-norm layers with ReLU),
    `output_projection` (nn.Linear(d, V)), `dropout` (on embeddings plus positions), `pad_id`. No weights are tied;
    `padding_idx=pad_id` is allowed.

    By default the logits at a position do not depend on later target tokens, and padding `src` or `tgt` further on the
    right changes no logit at a real position. A mask that is passed takes the place of the default.
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
        self.src_embedding, self.tgt_embedding = nn.Embedding(vocab_size, d_model), nn.Embedding(vocab_size, d_model)
        for embedding in (self.src_embedding, self.tgt_embedding):
            nn.init.normal_(embedding.weight, std=d_model**-0.5)
        self.positional_encoding = PositionalEncoding(d_model, max_seq_length)
        self.dropout = nn.Dropout(dropout)
        self.encoder_layers = nn.ModuleList(
            TransformerEncoderLayer(d_model, n_heads, d_ff, dropout) for _ in range(n_encoder_layers)
        )
        self.decoder_layers = nn.ModuleList(
            TransformerDecoderLayer(d_model, n_heads, d_ff, dropout) for _ in range(n_decoder_layers)
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
            tgt_mask = causal_mask(tgt.size(1), tgt.device) & padding_mask(tgt, self.pad_id)  # (B, 1, T, T)
        x = self.embed(self.tgt_embedding, tgt)
        for layer in self.decoder_layers:
            x = layer(x, encoder_output, src_mask, tgt_mask)
        return x
        ### END SOLUTION

    def forward(self, src, tgt, src_mask=None, tgt_mask=None):
        """src (B, S), tgt (B, T) -> logits (B, T, V).

        src_mask (B, 1, 1, S) goes to the encoder and to cross-attention; without it, both keep from looking at PAD in src.
        """
        # Step 4: encode, decode, project.
        ### BEGIN SOLUTION
        if src_mask is None:
            src_mask = padding_mask(src, self.pad_id)
        return self.output_projection(self.decode(tgt, self.encode(src, src_mask), src_mask, tgt_mask))  # (B, T, V)

    def embed(self, embedding, ids):
        """Scaled token vectors plus positions, (B, T) -> (B, T, d)."""
        return self.dropout(self.positional_encoding(embedding(ids) * math.sqrt(self.d_model)))
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "transformer-tests", "locked": true, "points": 7, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("transformer: names"):
    pass

# %% [markdown]
# ## translate

# %% nbgrader={"grade": false, "grade_id": "translate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def greedy_translate(model, src, bos_id, eos_id, max_length=32):
    """Write a target for each source, always taking the most probable next token.

    model: a Transformer; src (B, S) of ids -> int64 ids (B, L) with L <= max_length.
    Column 0 is bos_id, which counts towards max_length. A row ends after its eos_id and is filled up with model.pad_id.
    Stops as soon as every row has ended. A row's result does not depend on the other rows.
    `encode` is called once; decoding runs in eval mode and without gradients, and leaves model.training as it was.
    bos_id, eos_id and model.pad_id differ.
    """
    # Step 1: remember the mode, switch to eval mode, encode once.
    # Step 2: as long as it is needed, decode what is there and append the most probable next token of each row.
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
with public_check("translate: names"):
    pass

# %% [markdown]
# ## gpt

# %% nbgrader={"grade": false, "grade_id": "gpt", "locked": false, "schema_version": 3, "solution": true, "task": false}
class GPTTransformer(nn.Module):
    """A causal language model in the style of GPT-2 (Radford et al. 2019).

    Attributes: `token_embedding`, `position_embedding` (learned, nn.Embedding(max_seq_length, d)), `transformer_blocks`
    (nn.ModuleList of pre-norm TransformerEncoderLayers with GELU), `layer_norm` (after the last block), `lm_head`
    (nn.Linear without bias, whose weight *is* that of token_embedding), `dropout` (after the embeddings),
    `max_seq_length`. d_ff=None means 4 * d_model.
    All weights of Linear and Embedding modules start normal with standard deviation 0.02 (graded, within 20 %; those of
    `w_o` and `linear2` may start smaller, but not at 0), all biases at 0.
    """

    def __init__(
        self, vocab_size, d_model=768, n_heads=12, n_layers=12, d_ff=None, max_seq_length=1024, dropout=0.1
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
            TransformerEncoderLayer(d_model, n_heads, d_ff or 4 * d_model, dropout, norm_first=True, activation="gelu")
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
        """input_ids (B, T), attention_mask (B, T) with 1 = token and 0 = PAD (bool, integer or float) -> logits (B, T, V).

        Causal. With a mask no position attends to PAD, and the k-th real token of a row stands at position k, counted
        from 0: padding on the left or on the right changes no logit of a real token.
        T above max_seq_length raises ValueError.
        """
        # Step 3: refuse what is too long. Find the position of each token, and the mask.
        # Step 4: tokens plus positions, dropout, blocks, last norm, head.
        ### BEGIN SOLUTION
        length = input_ids.size(1)
        if length > self.max_seq_length:
            raise ValueError(f"{length} tokens are more than max_seq_length={self.max_seq_length}")
        mask = causal_mask(length, input_ids.device)  # (T, T)
        positions = torch.arange(length, device=input_ids.device)  # (T,)
        if attention_mask is not None:
            real = attention_mask != 0
            mask = mask & real[:, None, None, :]  # (B, 1, T, T)
            positions = (real.cumsum(dim=1) - 1).clamp(min=0)  # (B, T)
        x = self.dropout(self.token_embedding(input_ids) + self.position_embedding(positions))  # (B, T, d)
        for block in self.transformer_blocks:
            x = block(x, mask)
        return self.lm_head(self.layer_norm(x))  # (B, T, V)
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "gpt-tests", "locked": true, "points": 7, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("gpt: names"):
    pass

# %% [markdown]
# ## lm-training

# %% nbgrader={"grade": false, "grade_id": "lm-training", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TransformerTrainer:
    """Trains a causal language model to predict the next token. Attributes: `model`, `max_norm`."""

    def __init__(self, model, max_norm=1.0):
        self.model = model
        self.max_norm = max_norm

    def compute_loss(self, input_ids, labels=None, attention_mask=None):
        """Mean cross-entropy of the logits at t against the label at t + 1, a scalar tensor.

        input_ids, labels, attention_mask: (B, T). Labels of -100 do not count; the mean is over those that count.
        labels=None means input_ids, where PAD (attention_mask 0) does not count. Labels that are given alone decide
        what counts. attention_mask is handed to the model. Nothing that is passed in is changed.
        """
        # Step 1: find the labels. Step 2: logits. Step 3: pair each logit with the label that it predicts.
        ### BEGIN SOLUTION
        if labels is None:
            labels = input_ids if attention_mask is None else input_ids.masked_fill(attention_mask == 0, -100)
        logits = self.model(input_ids, attention_mask)  # (B, T, V)
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        ### END SOLUTION

    def train_step(self, batch, optimizer):
        """One optimizer step on one batch; returns the loss before the step, a float.

        batch: a dict with input_ids and, where they are there and not None, labels and attention_mask. It is moved to
        where the model is. Train mode; gradients start from zero; their global norm is clipped to max_norm.
        """
        # Step 4: move the batch, set the mode, clear the gradients. Step 5: loss, backward, clip, step.
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
with public_check("lm-training: names"):
    pass

# %% [markdown]
# ## generate

# %% nbgrader={"grade": false, "grade_id": "generate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def generate_text(model, prompt, max_new_tokens=100, temperature=1.0, top_k=None, eos_id=None, generator=None):
    """Continue each row of prompt (B, T); returns int64 ids (B, T + n), n <= max_new_tokens, the prompt included.

    temperature divides the logits; 0 takes the most probable token, a negative one raises ValueError.
    top_k keeps the k most probable tokens (a k above V keeps all, one below 1 raises ValueError) before the draw, which
    uses `generator` (a torch.Generator or None).
    The model sees at most its last max_seq_length tokens; what is returned is whole.
    After a new eos_id a row goes on with eos_id (one in the prompt ends nothing); ends early when every row has ended.
    No gradients; eval mode inside, and model.training as it was afterwards.
    """
    # Step 1: refuse what makes no sense; remember the mode, switch to eval mode.
    # Step 2: for each new token, the logits at the last position; choose from them by temperature and top_k.
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
with public_check("generate: names"):
    pass

# %% [markdown]
# ## grouped-query

# %% nbgrader={"grade": false, "grade_id": "grouped-query", "locked": false, "schema_version": 3, "solution": true, "task": false}
class GroupedQueryAttention(nn.Module):
    """Attention whose query heads share key and value heads (Ainslie et al. 2023, arXiv:2305.13245).

    Attributes: `w_q` (d -> d), `w_k` and `w_v` (d -> n_kv_heads * d_k), all without bias, `w_o` (d -> d, with bias),
    `n_heads`, `n_kv_heads`, `d_k`. With g = n_kv_heads, query head j uses key and value head j // (h // g).
    With g = h it equals MultiHeadAttention of the same weights.
    Sizes that do not divide (d_model by n_heads, n_heads by n_kv_heads) raise AssertionError or ValueError.
    """

    def __init__(self, d_model, n_heads, n_kv_heads, dropout=0.1):
        super().__init__()
        # Step 1: refuse sizes that do not divide, keep the sizes, make the projections and the dropout.
        ### BEGIN SOLUTION
        assert d_model % n_heads == 0, f"d_model={d_model} cannot be divided among n_heads={n_heads}"
        assert n_heads % n_kv_heads == 0, f"n_heads={n_heads} cannot be divided among n_kv_heads={n_kv_heads}"
        self.n_heads, self.n_kv_heads, self.d_k = n_heads, n_kv_heads, d_model // n_heads
        self.w_q = nn.Linear(d_model, d_model, bias=False)
        self.w_k, self.w_v = (nn.Linear(d_model, n_kv_heads * self.d_k, bias=False) for _ in range(2))
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, query, key, value, mask=None):
        """As in MultiHeadAttention: (output (B, Tq, d), weights (B, h, Tq, Tk))."""
        # Step 2: project and cut into heads: h of them for the queries, g for keys and values.
        # Step 3: let each query head meet the keys and values of its group. The rest is as before.
        ### BEGIN SOLUTION
        (B, Tq, _), Tk = query.shape, key.size(1)
        q, k, v = (
            project(x).unflatten(-1, (-1, self.d_k)).transpose(1, 2)  # (B, h or g, T, d_k)
            for project, x in ((self.w_q, query), (self.w_k, key), (self.w_v, value))
        )
        # The heads of a group ask the same keys: seen as one head with h / g times as many queries, no key is copied.
        q = (q / math.sqrt(self.d_k)).reshape(B, self.n_kv_heads, -1, self.d_k)  # (B, g, h / g * Tq, d_k)
        scores = (q @ k.transpose(-2, -1)).view(B, self.n_heads, Tq, Tk)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)
        weights = F.softmax(scores, dim=-1)  # (B, h, Tq, Tk)
        heads = self.dropout(weights).view(B, self.n_kv_heads, -1, Tk) @ v  # (B, g, h / g * Tq, d_k)
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
with public_check("grouped-query: names"):
    pass

# %% [markdown]
# ## kv-cache

# %% nbgrader={"grade": false, "grade_id": "kv-cache", "locked": false, "schema_version": 3, "solution": true, "task": false}
class CachedAttention(GroupedQueryAttention):
    """Causal self-attention that remembers the keys and values of the tokens before.

    Attributes as in GroupedQueryAttention (inherit from it, or from nn.Module and make them yourself); no dropout.
    """

    def __init__(self, d_model, n_heads, n_kv_heads):
        # Step 1: the attributes.
        ### BEGIN SOLUTION
        super().__init__(d_model, n_heads, n_kv_heads, dropout=0.0)
        ### END SOLUTION

    def forward(self, x, cache=None):
        """x (B, T, d), the next piece of the text, of any length -> (output (B, T, d), cache).

        cache: None at the beginning of a text, later what the call before returned: (keys, values), each
        (B, n_kv_heads, tokens so far, d_k), for one or many tokens.
        Feeding a text in pieces gives the outputs of feeding it whole: a query sees all that is cached and, in its own
        piece, itself and what is before it. Neither the cache that is passed in nor one returned earlier is changed.
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
            k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)  # (B, g, S, d_k)
        (B, T, _), S = x.shape, k.size(2)
        visible = torch.ones(T, S, dtype=torch.bool, device=x.device).tril(S - T)  # the first query sees S - T + 1 keys
        q = (q / math.sqrt(self.d_k)).reshape(B, self.n_kv_heads, -1, self.d_k)  # (B, g, h / g * T, d_k)
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
with public_check("kv-cache: names"):
    pass

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

    Attributes and results as in MultiHeadAttention (inherit from it, or from nn.Module and make them yourself).
    A window below 1 raises ValueError, here or in forward.
    """

    def __init__(self, d_model, n_heads, window_size, dropout=0.1):
        # Step 2: what MultiHeadAttention has, and the size of the window.
        ### BEGIN SOLUTION
        super().__init__(d_model, n_heads, dropout)
        self.window_size = window_size
        ### END SOLUTION

    def forward(self, query, key, value, mask=None):
        """As in MultiHeadAttention; a key must be allowed by the window and, where it is given, by `mask` too."""
        # Step 3: one mask from two, of whatever type the second is.
        ### BEGIN SOLUTION
        window = sliding_window_mask(query.size(1), self.window_size, query.device)
        return super().forward(query, key, value, window if mask is None else window & (mask != 0))
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "sliding-window-tests", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("sliding-window: names"):
    pass

# %% [markdown]
# ## chunked

# %% nbgrader={"grade": false, "grade_id": "chunked", "locked": false, "schema_version": 3, "solution": true, "task": false}
def memory_efficient_attention(query, key, value, mask=None, chunk_size=1024):
    """Attention that never holds all scores at once, exact for every chunk size.

    query (B, h, Tq, d_k), key (B, h, Tk, d_k), value (B, h, Tk, d_v) -> (B, h, Tq, d_v). mask: as in MultiHeadAttention,
    anything of two to four axes that broadcasts to (B, h, Tq, Tk).
    No tensor that the forward makes has more than B * h * chunk_size * max(Tq, Tk, d_k, d_v) elements; views, and tensors
    no larger than the largest of query, key, value, output and the mask as it was passed, do not count.
    F.scaled_dot_product_attention is not used on the whole. A chunk_size below 1 raises ValueError.
    """
    # Step 1: refuse a chunk_size that makes no sense.
    # Step 2: go through the queries in chunks: scores, mask, softmax, values. Which part of the mask belongs to a chunk?
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
with public_check("chunked: names"):
    pass

# %% [markdown]
# ## fused

# %% nbgrader={"grade": false, "grade_id": "fused", "locked": false, "schema_version": 3, "solution": true, "task": false}
class FusedMultiHeadAttention(MultiHeadAttention):
    """Multi-head attention computed by one call of F.scaled_dot_product_attention.

    Attributes and output as in MultiHeadAttention (inherit from it, or from nn.Module and make them yourself).
    """

    def __init__(self, d_model, n_heads, dropout=0.1):
        # Step 1: what MultiHeadAttention has. How does forward learn the rate of dropout?
        ### BEGIN SOLUTION
        super().__init__(d_model, n_heads, dropout)
        self.dropout_rate = dropout
        ### END SOLUTION

    def forward(self, query, key, value, mask=None):
        """As in MultiHeadAttention, but the second result is None: the kernel never holds all weights.

        Masks of every type as there. Dropout in training only. The kernel is called once.
        """
        # Step 2: project and cut into heads, call the kernel, put the heads side by side, apply w_o.
        ### BEGIN SOLUTION
        q, k, v = (
            project(x).unflatten(-1, (self.n_heads, self.d_k)).transpose(1, 2)  # (B, h, T, d_k)
            for project, x in ((self.w_q, query), (self.w_k, key), (self.w_v, value))
        )
        allowed = None if mask is None else mask != 0  # to the kernel, True means "may be attended to"
        rate = self.dropout_rate if self.training else 0.0
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=rate)  # (B, h, Tq, d_k)
        return self.w_o(heads.transpose(1, 2).flatten(2)), None
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "fused-tests", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface and of common slips. Hidden tests, which look at more, decide the points.
with public_check("fused: names"):
    pass

# %% [markdown]
# ## checkpointing

# %% nbgrader={"grade": false, "grade_id": "checkpointing", "locked": false, "schema_version": 3, "solution": true, "task": false}
class CheckpointedGPT(GPTTransformer):
    """A GPTTransformer that keeps only the input of each block in training, and computes the rest again when needed.

    Same arguments, same state-dict keys. In training mode with use_checkpoint every block runs under
    checkpoint(..., use_reentrant=False); in eval mode, or without use_checkpoint, nothing is checkpointed.
    From the same random state logits, loss and gradients are those of GPTTransformer, dropout included.
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
        self.transformer_blocks = nn.ModuleList(map(CheckpointedBlock, blocks))  # for the length of this call only
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
with public_check("checkpointing: names"):
    pass

# %% [markdown]
# ## mixed-precision

# %% nbgrader={"grade": false, "grade_id": "mixed-precision", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MixedPrecisionTrainer(TransformerTrainer):
    """A TransformerTrainer whose forward runs under torch.autocast.

    Matrix products are in `dtype`; parameters, gradients and optimizer state stay float32. With float16 the loss is scaled
    by `scaler` (torch.amp.GradScaler), gradients are unscaled before they are clipped, and a step whose scaled
    gradients overflow may be skipped. `scaler` under bfloat16 is not graded.
    """

    def __init__(self, model, max_norm=1.0, dtype=torch.bfloat16):
        super().__init__(model, max_norm)
        # Step 1: keep dtype; make self.scaler, which does something with float16 only.
        ### BEGIN SOLUTION
        self.dtype = dtype
        self.scaler = torch.amp.GradScaler(next(model.parameters()).device.type, enabled=dtype == torch.float16)
        ### END SOLUTION

    def train_step(self, batch, optimizer):
        """As in TransformerTrainer, under autocast of the model's device; the loss is within 3 % of the float32 one."""
        # Step 2: as before; only the forward runs under autocast, and the scaler stands between loss and step.
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
with public_check("mixed-precision: names"):
    pass

# %% [markdown]
# ## analyzer

# %% nbgrader={"grade": false, "grade_id": "analyzer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attention_maps(model, input_ids):
    """The attention weights of every block of a GPTTransformer: input_ids (B, T) -> (N, B, h, T, T).

    One forward in eval mode without gradients. The weights are read by forward hooks on each block's self_attention, which
    are gone afterwards, also when the forward raises; hooks of others stay, and model.training is left as it was.
    """
    # Step 1: a hook for each block, which keeps the weights. Step 2: one forward. Step 3: leave everything as it was.
    ### BEGIN SOLUTION
    maps = []
    hooks = [
        block.self_attention.register_forward_hook(lambda module, inputs, result: maps.append(result[1]))
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
    """Entropy in nats of each query's weights, mean over the queries: (..., Tq, Tk) -> (...). Zeros count as 0."""
    # Step 4: which limit has p log p at 0?
    ### BEGIN SOLUTION
    return -torch.xlogy(weights, weights).sum(dim=-1).mean(dim=-1)
    ### END SOLUTION


def model_statistics(model):
    """What a model's parameters add up to, each parameter counted once, a tied one too.

    Returns a dict: total_parameters, trainable_parameters, parameter_bytes (ints), and layers, a list of dicts with name (as
    in named_modules), type (the class's name) and parameters (int), one for each module that has parameters of its own,
    in the order of named_modules. A tied parameter is counted at the first module that has it, so lm_head has 0, and
    the list sums to the total.
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
with public_check("analyzer: names"):
    pass
