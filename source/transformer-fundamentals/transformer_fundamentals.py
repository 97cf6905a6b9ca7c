# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     main_language: python
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

# %% [markdown]
# # Transformer fundamentals

# %% nbgrader={"grade": false, "grade_id": "setup-imports", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
import io
import linecache
import math
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
import tqdm as tqdm_module
from torch.utils.data import DataLoader, Dataset

np.random.seed(42)
torch.manual_seed(42)
torch.set_num_threads(1)  # models as small as these only get slower with more threads

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]  # Okabe and Ito: safe for the colour-blind
plt.rcParams.update({
    "axes.prop_cycle": plt.cycler(color=COLOURS), "image.cmap": "cividis", "figure.figsize": (9, 4), "figure.dpi": 100,
    "figure.constrained_layout.use": True, "axes.spines.top": False, "axes.spines.right": False, "font.size": 11,
})


class tqdm(tqdm_module.tqdm):
    """Progress bar on standard output, because notebooks paint standard error red."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{"file": sys.stdout, "mininterval": 0.5, "ncols": 90, **kwargs})


class CheckFailed(AssertionError):
    """A failed check, shown in one line instead of a long traceback."""

    def _render_traceback_(self):
        return [f"Check failed. {self}"]


def explain(error):
    """One sentence for what went wrong, with the line of the notebook that raised it."""
    frames = [(f, n) for f, n in traceback.walk_tb(error.__traceback__) if f.f_globals is globals()]
    frame, line_number = frames[-1] if frames else (None, 0)
    where = frame.f_code.co_qualname if frame else "your code"
    if isinstance(error, NotImplementedError):
        return f"{where} is not filled in yet."
    if isinstance(error, AssertionError) and str(error) and where.split(".")[0] in ("<module>", "check_tensor", "check_close"):
        return str(error)
    line = linecache.getline(frame.f_code.co_filename, line_number).strip() if frame else ""
    return f"{type(error).__name__}: {error} (in {where}, line {line_number} of its cell: {line})"


CHECKS = {}  # title of a public check -> did it pass? The last cell of the notebook lists them.


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


def check_tensor(value, shape, what):
    """Fail unless `value` is a finite tensor of this shape."""
    assert isinstance(value, torch.Tensor), f"{what} should be a tensor, but is a {type(value).__name__}."
    assert tuple(value.shape) == tuple(shape), f"{what} should have shape {tuple(shape)}, but has {tuple(value.shape)}."
    assert torch.isfinite(value.float()).all(), f"{what} holds nan or infinite values."


def check_close(value, expected, what, atol=1e-4):
    """Fail unless `value` has the shape and, within `atol`, the values of `expected`."""
    expected = torch.as_tensor(expected)
    check_tensor(value, expected.shape, what)
    gap = (value.detach().double() - expected.double()).abs().max().item()
    assert gap <= atol, f"{what} has the right shape but is off by up to {gap:.3g}."


@contextmanager
def demo():
    """Run a demonstration; while a cell that it needs is unfinished, say so in one line."""
    try:
        yield
    except (NotImplementedError, NameError) as error:
        print(f"Not shown yet, because a cell above is unfinished: {explain(error)}")


# %% nbgrader={"grade": false, "grade_id": "setup-data", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
DATA = Path("data")


def read_rows(name, split):
    """The rows of `data/<name>/<split>.tsv` as a list of (text, label)."""
    path = DATA / name / f"{split}.tsv"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: start Jupyter in the folder that holds this notebook and its data folder.")
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return [(text, int(label)) for label, text in (line.split("\t", 1) for line in lines)]


movie_train, movie_val = read_rows("movie_snippets", "train"), read_rows("movie_snippets", "validation")
clause_train, clause_val = read_rows("clause_order", "train"), read_rows("clause_order", "validation")

# %% [markdown]
# ## Part 2: tokenization and embeddings

# %% nbgrader={"grade": false, "grade_id": "simple-tokenizer", "locked": false, "schema_version": 3, "solution": true, "task": false}
class SimpleTokenizer:
    """Word-level tokenizer.

    Attributes: `vocab` (dict, word -> id) and `inverse_vocab` (dict, id -> word). Both hold the special
    tokens <PAD> 0, <UNK> 1 and <CLS> 2. What happens before `build_vocab` was called is not graded.
    """

    PAD, UNK, CLS = "<PAD>", "<UNK>", "<CLS>"

    def __init__(self, vocab_size=5000):
        self.vocab_size = vocab_size
        # Step 1: set self.vocab and self.inverse_vocab to hold the three special tokens.
        ### BEGIN SOLUTION
        self.vocab = {self.PAD: 0, self.UNK: 1, self.CLS: 2}
        self.inverse_vocab = {i: word for word, i in self.vocab.items()}
        ### END SOLUTION

    def clean_text(self, text):
        """`text` (str) in lower case, each of . , ! ? ; : ( ) " a word of its own, single spaces, ends stripped.

        Example: 'Great  film, truly!' -> 'great film , truly !'
        """
        # Step 2: lower case; spaces around each punctuation mark; one space between words.
        ### BEGIN SOLUTION
        text = re.sub(r'([.,!?;:()"])', r" \1 ", text.lower())
        return " ".join(text.split())
        ### END SOLUTION

    def build_vocab(self, texts):
        """Fill `vocab` and `inverse_vocab` from a list of texts; afterwards they have at most `vocab_size` entries,
        the three special tokens counted.

        Ids go by frequency, the most frequent word first; words that are equally frequent, in order of first
        appearance. A second call starts afresh: nothing of the first is left.
        """
        # Step 3: count the words of all cleaned texts.
        # Step 4: start again from the special tokens, then give ids 3, 4, 5, ... to the most frequent words.
        ### BEGIN SOLUTION
        counts = Counter(word for text in texts for word in self.clean_text(text).split())
        self.vocab = {self.PAD: 0, self.UNK: 1, self.CLS: 2}
        for word, _ in counts.most_common(self.vocab_size - len(self.vocab)):  # ties in order of first appearance
            self.vocab[word] = len(self.vocab)
        self.inverse_vocab = {i: word for word, i in self.vocab.items()}
        ### END SOLUTION

    def tokenize(self, text, max_length=128):
        """A list of exactly `max_length` ids (int): <CLS>, then the words of the cleaned text, then <PAD>.

        Unknown words become <UNK>; words that do not fit are cut off.
        """
        # Step 5: <CLS> and the words as ids, cut to max_length.
        # Step 6: fill up with <PAD>.
        ### BEGIN SOLUTION
        words = [self.CLS, *self.clean_text(text).split()][:max_length]
        ids = [self.vocab.get(word, self.vocab[self.UNK]) for word in words]
        return ids + [self.vocab[self.PAD]] * (max_length - len(ids))
        ### END SOLUTION

    def decode(self, indices):
        """The words of `indices` joined by a space, without <PAD> and <CLS> (str)."""
        # Step 7: look the words up, drop the two special tokens, join.
        ### BEGIN SOLUTION
        words = [self.inverse_vocab[int(i)] for i in indices]
        return " ".join(word for word in words if word not in (self.PAD, self.CLS))
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "simple-tokenizer-tests", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
with public_check("SimpleTokenizer"):
    SimpleTokenizer()

# %% nbgrader={"grade": false, "grade_id": "token-embedding", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TokenEmbedding(nn.Module):
    """A vector for each token id, scaled by sqrt(d_model).

    Attribute: `embedding`, an nn.Embedding(vocab_size, d_model) whose weight starts normal with mean 0 and
    standard deviation d_model ** -0.5 (graded, within 20 %). `padding_idx=0` is allowed.
    """

    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.d_model = d_model
        # Step 1: make self.embedding and give its weight the right standard deviation.
        ### BEGIN SOLUTION
        self.embedding = nn.Embedding(vocab_size, d_model)
        nn.init.normal_(self.embedding.weight, std=d_model**-0.5)
        ### END SOLUTION

    def forward(self, x):
        """x (B, T) of token ids, int64 -> (B, T, d_model)."""
        # Step 2: look the vectors up and scale them.
        ### BEGIN SOLUTION
        return self.embedding(x) * math.sqrt(self.d_model)  # (B, T, d)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "token-embedding-tests", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
with public_check("TokenEmbedding"):
    check_tensor(TokenEmbedding(11, 6)(torch.tensor([[1, 2, 3]])), (1, 3, 6), "the output")

# %% nbgrader={"grade": false, "grade_id": "positional-encoding", "locked": false, "schema_version": 3, "solution": true, "task": false}
class PositionalEncoding(nn.Module):
    """Sinusoidal position encodings (Vaswani et al. 2017, section 3.5).

    Buffer: `pe`, shape exactly (max_length, d_model), with pe[p, 2i] = sin(p / 10000^(2i/d)) and
    pe[p, 2i+1] = cos(p / 10000^(2i/d)), graded within 1e-3. It is not a parameter, and it moves with `.to()`.
    An odd d_model and inputs longer than max_length are not graded.
    """

    def __init__(self, d_model, max_length=512):
        super().__init__()
        # Step 1: a column of positions p and a row of frequencies, one for each pair of features.
        # Step 2: fill pe (max_length, d_model): sines in the even columns, cosines in the odd ones.
        # Step 3: register pe as a buffer.
        ### BEGIN SOLUTION
        position = torch.arange(max_length, dtype=torch.float64).unsqueeze(1)  # (max_length, 1)
        two_i = torch.arange(0, d_model, 2, dtype=torch.float64)  # (d / 2,)
        angle = position / 10000 ** (two_i / d_model)  # (max_length, d / 2); float64, since float32 drifts at high p
        pe = torch.zeros(max_length, d_model)
        pe[:, 0::2] = torch.sin(angle)
        pe[:, 1::2] = torch.cos(angle)[:, : d_model // 2]
        self.register_buffer("pe", pe)
        ### END SOLUTION

    def forward(self, x):
        """x (B, T, d_model) -> x + pe[:T], shape (B, T, d_model). x itself stays as it was."""
        # Step 4: add the first T rows of pe; do not change x in place.
        ### BEGIN SOLUTION
        return x + self.pe[: x.size(1)]  # (B, T, d) + (T, d)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "positional-encoding-tests", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
with public_check("PositionalEncoding"):
    check_tensor(PositionalEncoding(6, 20).pe, (20, 6), "pe")

# %% nbgrader={"grade": false, "grade_id": "transformer-embeddings", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TransformerEmbeddings(nn.Module):
    """Token ids to vectors that know their position: tokens, then positions, then dropout.

    Attributes: `token_embedding` (TokenEmbedding), `pos_encoding` (PositionalEncoding), `dropout` (nn.Dropout).
    """

    def __init__(self, vocab_size, d_model, max_length=512, dropout=0.1):
        super().__init__()
        # Step 1: make the three parts.
        ### BEGIN SOLUTION
        self.token_embedding = TokenEmbedding(vocab_size, d_model)
        self.pos_encoding = PositionalEncoding(d_model, max_length)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, x):
        """x (B, T) of token ids -> (B, T, d_model)."""
        # Step 2: send x through the three parts in order.
        ### BEGIN SOLUTION
        return self.dropout(self.pos_encoding(self.token_embedding(x)))
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "transformer-embeddings-tests", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
with public_check("TransformerEmbeddings"):
    check_tensor(TransformerEmbeddings(11, 6)(torch.tensor([[1, 2, 3]])), (1, 3, 6), "the output")

# %% [markdown]
# ## Part 3: attention

# %% nbgrader={"grade": false, "grade_id": "sdpa", "locked": false, "schema_version": 3, "solution": true, "task": false}
def scaled_dot_product_attention(Q, K, V, mask=None, dropout=None):
    """softmax(Q K^T / sqrt(d_k)) V, for any leading dimensions (Vaswani et al. 2017, section 3.2.1).

    Q (..., Tq, d_k), K (..., Tk, d_k), V (..., Tk, d_v).
    mask: broadcasts to the scores (..., Tq, Tk); where it is 0 (or False) the key is forbidden and gets weight exactly 0,
        for allowed scores of any size up to 6e4. A row with every key forbidden is not graded.
    dropout: None, or a module that is applied to the weights before they meet V.
    Returns (output (..., Tq, d_v), attention_weights (..., Tq, Tk)); each row of the weights sums to 1.
        The weights may be those before or after dropout.
    """
    # Step 1: scores of every query against every key, scaled.
    # Step 2: forbid keys where the mask is 0.
    # Step 3: each row of scores becomes a probability distribution.
    # Step 4: dropout, if there is any; then the weighted sum of the values.
    ### BEGIN SOLUTION
    scores = Q @ K.transpose(-2, -1) / math.sqrt(Q.size(-1))  # (..., Tq, Tk)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)
    attention_weights = F.softmax(scores, dim=-1)  # (..., Tq, Tk)
    dropped = attention_weights if dropout is None else dropout(attention_weights)
    return dropped @ V, attention_weights  # (..., Tq, d_v), (..., Tq, Tk)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "sdpa-tests", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
with public_check("scaled_dot_product_attention"):
    output, weights = scaled_dot_product_attention(torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 6))
    check_tensor(output, (2, 3, 6), "the output")

# %% nbgrader={"grade": false, "grade_id": "mha", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MultiHeadAttention(nn.Module):
    """Self-attention with several heads (Vaswani et al. 2017, section 3.2.2).

    Attributes: `W_q`, `W_k`, `W_v`, `W_o` (each nn.Linear(d_model, d_model), with bias), `num_heads`, `d_k`.
    Head j owns the features j*d_k ... (j+1)*d_k - 1 of each projection. Dropout acts on the attention weights and
    nowhere else. A d_model that num_heads does not divide raises AssertionError or ValueError.
    """

    def __init__(self, d_model, num_heads, dropout=0.1):
        super().__init__()
        # Step 1: refuse a d_model that cannot be split evenly.
        # Step 2: set num_heads and d_k, make the four linear layers and the dropout.
        ### BEGIN SOLUTION
        if d_model % num_heads:
            raise ValueError(f"d_model={d_model} is not divisible by num_heads={num_heads}")
        self.num_heads, self.d_k = num_heads, d_model // num_heads
        self.W_q = nn.Linear(d_model, d_model)
        self.W_k = nn.Linear(d_model, d_model)
        self.W_v = nn.Linear(d_model, d_model)
        self.W_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, x, mask=None):
        """x (B, T, d_model) -> output (B, T, d_model), weights (B, num_heads, T, T).

        mask: anything that broadcasts to (B, num_heads, T, T); 0 (or False) forbids.
        """
        # Step 3: project x three times and split each result into heads: (B, num_heads, T, d_k).
        # Step 4: attend in all heads at once.
        # Step 5: put the heads side by side again, (B, T, d_model), and project.
        ### BEGIN SOLUTION
        B, T, d = x.shape
        Q, K, V = (
            W(x).view(B, T, self.num_heads, self.d_k).transpose(1, 2)  # (B, h, T, d_k)
            for W in (self.W_q, self.W_k, self.W_v)
        )
        output, weights = scaled_dot_product_attention(Q, K, V, mask, self.dropout)
        output = output.transpose(1, 2).reshape(B, T, d)  # (B, h, T, d_k) -> (B, T, d)
        return self.W_o(output), weights  # (B, T, d), (B, h, T, T)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "mha-tests", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
with public_check("MultiHeadAttention"):
    output, weights = MultiHeadAttention(12, 3)(torch.randn(2, 5, 12))
    check_tensor(weights, (2, 3, 5, 5), "the weights")

# %% [markdown]
# ## Part 4: the block

# %% nbgrader={"grade": false, "grade_id": "layer-norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
class LayerNorm(nn.Module):
    """Layer normalisation over the last dimension (Ba et al. 2016), equal to torch.nn.LayerNorm(features, eps).

    Parameters: `gamma` (features,), ones at first; `beta` (features,), zeros at first. The variance is the biased one
    (divide by n), and eps stands inside the root.
    """

    def __init__(self, features, eps=1e-6):
        super().__init__()
        self.eps = eps
        # Step 1: make the two parameters.
        ### BEGIN SOLUTION
        self.gamma = nn.Parameter(torch.ones(features))
        self.beta = nn.Parameter(torch.zeros(features))
        ### END SOLUTION

    def forward(self, x):
        """x (..., features) -> (..., features)."""
        # Step 2: normalise each token on its own, then scale and shift.
        ### BEGIN SOLUTION
        mean = x.mean(dim=-1, keepdim=True)
        variance = x.var(dim=-1, keepdim=True, unbiased=False)
        return self.gamma * (x - mean) / torch.sqrt(variance + self.eps) + self.beta
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "layer-norm-tests", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
with public_check("LayerNorm"):
    check_tensor(LayerNorm(6)(torch.randn(2, 5, 6)), (2, 5, 6), "the output")

# %% nbgrader={"grade": false, "grade_id": "feed-forward", "locked": false, "schema_version": 3, "solution": true, "task": false}
class FeedForward(nn.Module):
    """The same small network for every token: linear, ReLU, dropout, linear (Vaswani et al. 2017, section 3.3).

    Attributes: `linear1` (d_model -> d_ff), `linear2` (d_ff -> d_model), `dropout` (nn.Dropout).
    """

    def __init__(self, d_model, d_ff, dropout=0.1):
        super().__init__()
        # Step 1: make the three parts.
        ### BEGIN SOLUTION
        self.linear1 = nn.Linear(d_model, d_ff)
        self.linear2 = nn.Linear(d_ff, d_model)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, x):
        """x (B, T, d_model) -> (B, T, d_model)."""
        # Step 2: linear, ReLU, dropout, linear.
        ### BEGIN SOLUTION
        return self.linear2(self.dropout(F.relu(self.linear1(x))))  # (B, T, d) -> (B, T, d_ff) -> (B, T, d)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "feed-forward-tests", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
with public_check("FeedForward"):
    check_tensor(FeedForward(6, 10)(torch.randn(2, 5, 6)), (2, 5, 6), "the output")

# %% nbgrader={"grade": false, "grade_id": "transformer-block", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TransformerBlock(nn.Module):
    """One encoder block, post-norm as in Vaswani et al. 2017:

        x1 = norm1(x  + dropout(attention(x)))
        x2 = norm2(x1 + dropout(feed_forward(x1)))

    Attributes: `attention` (MultiHeadAttention), `feed_forward` (FeedForward), `norm1`, `norm2` (your LayerNorm, or
    torch's), `dropout` (nn.Dropout).
    """

    def __init__(self, d_model, num_heads, d_ff, dropout=0.1):
        super().__init__()
        # Step 1: make the five parts.
        ### BEGIN SOLUTION
        self.attention = MultiHeadAttention(d_model, num_heads, dropout)
        self.feed_forward = FeedForward(d_model, d_ff, dropout)
        self.norm1 = LayerNorm(d_model)
        self.norm2 = LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, x, mask=None):
        """x (B, T, d_model), mask as in MultiHeadAttention -> x2 (B, T, d_model), weights (B, num_heads, T, T)."""
        # Step 2: attention, dropout, residual connection, norm.
        # Step 3: feed-forward, dropout, residual connection, norm.
        ### BEGIN SOLUTION
        attended, weights = self.attention(x, mask)
        x1 = self.norm1(x + self.dropout(attended))  # (B, T, d)
        x2 = self.norm2(x1 + self.dropout(self.feed_forward(x1)))  # (B, T, d)
        return x2, weights
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "transformer-block-tests", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
with public_check("TransformerBlock"):
    output, weights = TransformerBlock(12, 3, 20)(torch.randn(2, 5, 12))
    check_tensor(output, (2, 5, 12), "the output")

# %% [markdown]
# ## Part 5: the model and its training

# %% nbgrader={"grade": false, "grade_id": "mini-transformer", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MiniTransformer(nn.Module):
    """A transformer encoder with a classifier on the mean of its tokens.

    Attributes: `embeddings` (TransformerEmbeddings), `transformer_blocks` (nn.ModuleList of num_layers
    TransformerBlocks), `ln_f` (your LayerNorm, or torch's; normalises each token before pooling), `classifier`
    (nn.Linear(d_model, num_classes)). Keep these names as the parameter names of forward: callers pass the inputs by
    position or by name.
    """

    def __init__(self, vocab_size, d_model, num_heads, num_layers, d_ff, max_length, num_classes, dropout=0.1):
        super().__init__()
        # Step 1: make the four parts.
        ### BEGIN SOLUTION
        self.embeddings = TransformerEmbeddings(vocab_size, d_model, max_length, dropout)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(d_model, num_heads, d_ff, dropout) for _ in range(num_layers)
        )
        self.ln_f = LayerNorm(d_model)
        self.classifier = nn.Linear(d_model, num_classes)
        ### END SOLUTION

    def forward(self, input_ids, attention_mask=None):
        """input_ids (B, T), attention_mask (B, T) with 1 = token and 0 = PAD, or None: every position counts.

        Returns (logits (B, num_classes), list of the weights (B, num_heads, T, T) of each layer). With a mask no query
        attends to a PAD key, and the pooled vector is the mean over the real tokens only, so that padding a batch
        further changes no logit. What PAD queries attend to, and a row of nothing but PAD, are not graded.
        """
        # Step 2: from (B, T) make a mask over keys that broadcasts to (B, num_heads, T, T).
        # Step 3: embeddings, then every block; keep the weights of each.
        # Step 4: ln_f, then the mean over the tokens that count.
        # Step 5: classify.
        ### BEGIN SOLUTION
        mask = None if attention_mask is None else attention_mask[:, None, None, :]  # (B, 1, 1, T)
        x = self.embeddings(input_ids)  # (B, T, d)
        all_weights = []
        for block in self.transformer_blocks:
            x, weights = block(x, mask)
            all_weights.append(weights)
        x = self.ln_f(x)  # (B, T, d)
        if attention_mask is None:
            pooled = x.mean(dim=1)  # (B, d)
        else:
            counts = attention_mask.unsqueeze(-1).to(x.dtype)  # (B, T, 1)
            pooled = (x * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1)  # (B, d)
        return self.classifier(pooled), all_weights  # (B, num_classes)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "mini-transformer-tests", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
with public_check("MiniTransformer"):
    logits, weights = MiniTransformer(20, 12, 3, 2, 16, 10, 4)(torch.randint(1, 20, (2, 5)))
    check_tensor(logits, (2, 4), "the logits")

# %% nbgrader={"grade": false, "grade_id": "setup-dataset", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
class SentimentDataset(Dataset):
    """Texts as dicts of tensors: input_ids (max_length,), attention_mask (max_length,), labels ()."""

    def __init__(self, texts, labels, tokenizer, max_length=32):
        ids = [tokenizer.tokenize(text, max_length) for text in texts]
        self.input_ids = torch.tensor(ids, dtype=torch.long).view(len(ids), max_length)
        self.attention_mask = (self.input_ids != 0).long()  # <PAD> has id 0
        self.labels = torch.tensor(labels, dtype=torch.long)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return {"input_ids": self.input_ids[i], "attention_mask": self.attention_mask[i], "labels": self.labels[i]}


# %% nbgrader={"grade": false, "grade_id": "train", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train_transformer(model, train_loader, val_loader, num_epochs=5, learning_rate=1e-3):
    """Train with cross-entropy and an optimizer of the Adam family; return the history.

    The loaders give dicts with input_ids (B, T), attention_mask (B, T) and labels (B,).
    The model is called as model(input_ids, attention_mask) and returns (logits, weights).

    Returns a dict of four lists with one number an epoch: train_loss, train_acc, val_loss, val_acc. Losses are averaged
    over samples (the last batch may be smaller), accuracies are percentages. The training figures are those of the
    batches as they were seen. Trains in train mode, evaluates in eval mode without gradients, shows a tqdm bar.
    Works on whatever device the model's parameters are on, and does not move the model.
    """
    history = {"train_loss": [], "train_acc": [], "val_loss": [], "val_acc": []}
    # Step 1: find the device of the model, make the optimizer.
    # Step 2: for each epoch, train on every batch of train_loader and keep the sums for the two training figures.
    # Step 3: then evaluate on every batch of val_loader in the same way, but without learning from it.
    # Step 4: append the four figures to the history.
    ### BEGIN SOLUTION
    device = next(model.parameters()).device
    optimizer = optim.Adam(model.parameters(), lr=learning_rate)

    def one_pass(loader, learn):
        """Loss per sample and accuracy in percent over one pass through `loader`."""
        loss_sum = correct = seen = 0
        for batch in loader:
            ids, mask, labels = (batch[key].to(device) for key in ("input_ids", "attention_mask", "labels"))
            logits, _ = model(ids, mask)
            loss = F.cross_entropy(logits, labels)
            if learn:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(labels)
            correct += (logits.argmax(dim=-1) == labels).sum().item()
            seen += len(labels)
        return loss_sum / seen, 100 * correct / seen

    for epoch in range(num_epochs):
        model.train()
        train_loss, train_acc = one_pass(tqdm(train_loader, desc=f"epoch {epoch + 1}/{num_epochs}"), learn=True)
        model.eval()
        with torch.no_grad():
            val_loss, val_acc = one_pass(val_loader, learn=False)
        for name, value in zip(history, (train_loss, train_acc, val_loss, val_acc)):
            history[name].append(value)
    ### END SOLUTION
    return history


# %% nbgrader={"grade": true, "grade_id": "train-tests", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
with public_check("train_transformer"):
    train_transformer(nn.Linear(1, 1), [], [], num_epochs=0)

# %% [markdown]
# ## Part 6: critical analysis

# %% [markdown] nbgrader={"grade": true, "grade_id": "q1-long-range", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# model answer

# %% [markdown] nbgrader={"grade": true, "grade_id": "q2-heads", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# model answer

# %% [markdown] nbgrader={"grade": true, "grade_id": "q3-bottlenecks", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# model answer

# %% [markdown] nbgrader={"grade": true, "grade_id": "q4-cnn-rnn", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# model answer

# %% [markdown] nbgrader={"grade": true, "grade_id": "q5-ethics", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# model answer

# %% [markdown] nbgrader={"grade": true, "grade_id": "q6-future", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# model answer

# %% [markdown] nbgrader={"grade": true, "grade_id": "q7-implementation", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# model answer

# %% [markdown] nbgrader={"grade": true, "grade_id": "takeaways", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# model answer

# %% [markdown] nbgrader={"grade": true, "grade_id": "evolution", "locked": false, "points": 1, "schema_version": 3, "solution": true, "task": false}
# model answer

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflection", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# model answer
