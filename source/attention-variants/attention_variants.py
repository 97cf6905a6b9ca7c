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

# %% [markdown]
# # Attention variants
#
# You build the transformer in its other forms: the encoder-decoder that translates, the causal language model that
# writes, and the attention that language models use today, with shared heads, a cache, windows, chunks and fused
# kernels. Then you train them, first on dates, then on film reviews, character by character, and look inside.
#
# **What you need**: `transformer-fundamentals`, or attention, residual connections and layer norm from elsewhere. None
# of the code of that notebook is needed here.
#
# **Working time.** This is the longest assignment of the course. Count on 13 to 16 hours in all. An estimate by part:
#
# | part | what you do | hours | points | in a shorter course |
# |---|---|---|---|---|
# | 1 | two sequences: masks, attention, two layers; questions 1, 2 | 3 | 19 + 5 | needed |
# | 2 | the encoder-decoder, on dates; question 3 | 2 ½ | 11 + 3 | may be left out |
# | 3 | GPT: model, training, writing | 3 | 20 | needed |
# | 4 | attention that shares and forgets: 5 cells; questions 4, 5 | 3 ½ | 23 + 6 | 4.3 to 4.5 and question 5 may be left out |
# | 5 | training at scale: 2 short cells; question 6 | 1 | 4 + 2 | may be left out |
# | 6 | looking inside; question 7 | 1 ½ | 3 + 4 | needed for question 7 |
# | 7 | from GPT to Llama: read, run, look | ½ | | optional |
#
# A finished notebook runs from top to bottom in three to four minutes on two cores.
#
# **How hints work.** Above each cell that you fill in there are closed hints. The first asks a question, the second
# says where to look, the third takes one step, the last works an example on other numbers. Open one at a time, say to
# yourself why it is true, and try before you open the next.
#
# **How you fill in cells.** Replace each `raise NotImplementedError()` with your own lines and leave the names,
# arguments and results as they are. You may add helper functions, further attributes, arguments with defaults, and
# cells of your own. Cells without such a line are locked; what you change there is undone before grading.
#
# **How grading works.** 80 points are given automatically, 20 by a person who reads your seven answers. Below each
# cell that you fill in, a cell with quick checks finds slips of names, shapes and values. Passing them is necessary,
# not enough: hidden tests look at more, and they decide the points. A mistake costs you once. Where an early cell is
# wrong, the cells that build on it are also tried with a correct version of that cell. Cells without points may fail,
# be slow, or be left out without cost.
#
# <!-- INSTRUCTORS: the course policy on help from AI stands in the next cell and nowhere else. Edit it there. -->

# %% [markdown]
# > **Course policy on help from AI.** You may ask an assistant to explain an idea, an error message or a function of
# > a library, as you would ask a fellow student. The code in the cells that you fill in and the words of your written
# > answers must be your own, and you must be able to explain every line. If you used an assistant, say for what in
# > your answer to question 7. If you are unsure whether something is allowed, ask before you hand it in.

# %% [markdown]
# ## Setting up
#
# On Google Colab, run this cell first: it installs what is missing there and fetches the data that stand beside the
# notebook. Elsewhere it does nothing.

# %% jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "setup-colab", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
import os
import re
import sys
from pathlib import Path

ON_COLAB = "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ
COURSE_FILES = ""  # the address of this notebook's folder, where the course has one
PACKAGES = {"torch": "2.5", "numpy": "1.26", "matplotlib": "3.8", "tqdm": "4.60"}
DATA_FILES = {  # and their SHA-256
    "date_formats/train.tsv": "a395c3d41b317979a7244e6ae23332362625a8c84233abb032643fccddad8d71",
    "date_formats/validation.tsv": "e6f8781b04d74ce9b1c8a255ff566e4366c9bbdfdbdadc0fb4ba70b8c1900d10",
    "movie_characters/train.tsv": "8ebdbb847e64fbf23be12dc6d50e1562aae1385a7030b7ce5d4b8db4090b1092",
    "movie_characters/validation.tsv": "4bddfda2ce488d0435a5dce7355e8b62bc3ddf37a836e8bb64bae36384a40f32",
}


# --- shared part install_missing (9d244460) ---
def install_missing():
    """Let pip install the packages that are not there or too old."""
    import importlib.metadata
    import subprocess

    wanted = []
    for package, oldest in PACKAGES.items():
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found = "0"
        if [int(n) for n in re.findall(r"\d+", found)[:2]] < [int(n) for n in oldest.split(".")]:
            wanted.append(f"{package}>={oldest}")
    if wanted:
        print("installing", ", ".join(wanted), flush=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)
# --- end of install_missing ---


def fetch_data():
    """Put the data beside the notebook: from data.zip, if you have uploaded that, else from the course's address."""
    import hashlib
    import zipfile
    from urllib.request import urlopen

    for name, sha256 in DATA_FILES.items():
        path = Path("data", name)
        if path.is_file():
            continue
        if Path("data.zip").is_file():
            with zipfile.ZipFile("data.zip") as archive:
                content = archive.read(f"data/{name}")
        elif COURSE_FILES:
            with urlopen(f"{COURSE_FILES}/data/{name}", timeout=60) as answer:
                content = answer.read()
        else:
            raise FileNotFoundError(
                "The data are not here yet. Zip the folder `data` that you were given with the notebook, upload data.zip "
                "(the folder symbol on the left), and run this cell again."
            )
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"{name} is not the file that this notebook was made with. Nothing was kept of it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"data/{name} is here")


if ON_COLAB:
    install_missing()
    fetch_data()

# %% [markdown]
# Then run this cell (its code is folded: click the bar with the dots to open it). It imports what you need (`torch`,
# `nn`, `F`, `optim`, `math`, `np`, `tqdm`, `checkpoint`) and defines the quick checks and the progress bar. Nothing to
# fill in.

# %% jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "setup-imports", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
import io
import itertools
import linecache
import math
import re
import sys
import textwrap
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

# --- shared part figure_style (ab269a03) ---
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
# --- end of figure_style ---


# --- shared part quick_checks (a6262d16) ---
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
# --- end of quick_checks ---


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

# %% [markdown]
# Two data sets come with the notebook, each divided into training and validation rows. `data/README.md` says more.
#
# - `date_formats`: made for this course. Dates as people write them, in eight formats, and the same days in the form
#   `YYYY-MM-DD`. Each day stands in one row only.
# - `movie_characters`: sentences from film reviews (Hutto and Gilbert 2014, *VADER*, ICWSM), read character by
#   character.

# %% nbgrader={"grade": false, "grade_id": "setup-data", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
DATA = Path("data")


def read_lines(name, split):
    """The lines of data/<name>/<split>.tsv without the header."""
    path = DATA / name / f"{split}.tsv"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: start Jupyter in the folder that holds this notebook and its data folder."
        )
    return path.read_text(encoding="utf-8").split("\n")[1:-1]


date_train, date_val = (
    [tuple(line.split("\t")) for line in read_lines("date_formats", split)] for split in ("train", "validation")
)  # rows of (text, ISO date)
film_train, film_val = ("\n".join(read_lines("movie_characters", split)) for split in ("train", "validation"))
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

# %% jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "setup-figures", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
def alternative_text(figure):
    """What a figure shows, in words: its titles, what is on the axes, and the names and labels in it."""
    said = [figure.get_suptitle()]
    for ax in figure.axes:
        ticks = [*ax.get_xticklabels(), *ax.get_yticklabels()] if ax.axison else []
        words = dict.fromkeys(text.get_text() for text in (*ax.texts, *ticks))
        inside = [w for w in words if any(map(str.isalpha, w)) and "mathdefault" not in w]  # no numbers
        key = [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []
        axes = (("across", ax.get_xlabel()), ("up", ax.get_ylabel())) if ax.axison else ()
        said += [ax.get_title(), *(f"{way}: {name}" for way, name in axes if name)]
        said += [f"{what}: {', '.join(names)}" for what, names in (("shown", key), ("labels", inside)) if names]
    return "Figure. " + " ".join("; ".join(filter(None, said)).split())[:800]


def figure_as_html(figure):
    """The figure with its alternative text, for those who hear the notebook instead of seeing it."""
    import html

    from IPython.core.pylabtools import print_figure

    png = print_figure(figure, base64=True)
    return png and f'<img src="data:image/png;base64,{png}" alt="{html.escape(alternative_text(figure))}">'


plt.Figure._repr_html_ = figure_as_html


def heatmap(ax, values, title, xlabel, ylabel, xticks=None, yticks=None, numbers=False, **options):
    """Draw a matrix into `ax`, with words as ticks and the numbers inside if asked for."""
    values = torch.as_tensor(values).detach().cpu().numpy()
    picture = ax.imshow(values, aspect="auto", interpolation="nearest", **options)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.spines[:].set_visible(False)
    for axis, ticks in ((ax.xaxis, xticks), (ax.yaxis, yticks)):
        if ticks is None:
            axis.set_major_locator(plt.MaxNLocator(integer=True))
        else:
            axis.set_ticks(range(len(ticks)), ticks)
    if xticks is not None:
        ax.tick_params(axis="x", rotation=90)
    if numbers:
        for (row, column), value in np.ndenumerate(values):
            dark = picture.norm(value) < 0.6
            ax.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, color="white" if dark else "black"
            )
    return picture

# %% [markdown]
# Two parts are given, because you know them: the position encodings of Vaswani et al. (2017) and the feed-forward
# network, here with a choice of activation.

# %% nbgrader={"grade": false, "grade_id": "setup-positional-encoding", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
class PositionalEncoding(nn.Module):
    """Adds sines and cosines that tell positions apart (Vaswani et al. 2017, section 3.5).

    Buffer: `pe` (max_length, d).
    """

    def __init__(self, d_model, max_length):
        super().__init__()
        position = torch.arange(max_length, dtype=torch.float64).unsqueeze(1)  # (max_length, 1)
        angle = position / 10000 ** (torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
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
# ## Part 1: two sequences
#
# After this part you can let one sequence look at another, say with a mask who may see whom, and build the two layers
# that every transformer is stacked from.
#
# ### 1.1 What each way of looking costs
#
# A recurrent network (RNN) passes a message from token to token, a convolution reads a few neighbours, attention
# compares all pairs. For a text of $T$ tokens of width $d$, and kernels of $k$ tokens:
#
# | | steps one after the other | longest path between two tokens | multiply-adds in a layer | numbers kept for the backward pass |
# |---|---|---|---|---|
# | RNN | $T$ | $T - 1$ | $2 T d^2$ | $T d$ |
# | convolution | 1 | $(T - 1) / (k - 1)$ layers | $k T d^2$ | $T d$ |
# | attention, $h$ heads | 1 | 1 | $4 T d^2 + 2 T^2 d$ | $4 T d + h T^2$ |
#
# The last column counts the layer's own results only. The next cell puts numbers in, and lets torch count the
# operations of one case of each, as a check of the formulas.

# %% nbgrader={"grade": false, "grade_id": "demo-costs", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(run):
    """Multiply-adds of the matrix products in `run()`, as torch counts them (it counts two operations for each)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops() // 2


def layer_costs(T, d=512, h=8, k=3):
    """For each kind of layer: (steps, longest path, multiply-adds, numbers kept)."""
    return {
        "RNN": (T, T - 1, 2 * T * d**2, T * d),
        "convolution": (1, math.ceil((T - 1) / (k - 1)), k * T * d**2, T * d),
        "attention": (1, 1, 4 * T * d**2 + 2 * T**2 * d, 4 * T * d + h * T**2),
    }


print(f"{'d = 512, h = 8, k = 3':>24s}{'steps':>8s}{'longest path':>14s}{'million multiply-adds':>23s}{'million numbers':>17s}")
for T in (16, 256, 4096, 32768):
    for name, (steps, path, work, kept) in layer_costs(T).items():
        print(f"{f'T = {T:,}, {name}':>24s}{steps:8,}{path:14,}{work / 1e6:23,.0f}{kept / 1e6:17,.1f}")

T, d = 128, 64
x, twin = torch.randn(1, T, d), nn.MultiheadAttention(d, 4, bias=False, batch_first=True)
convolution, weight = nn.Conv1d(d, d, 3, padding=1, bias=False), torch.randn(d, d)
counted = {
    "RNN": multiply_adds(lambda: [(x[:, t] @ weight + x[:, t] @ weight) for t in range(T)]),
    "convolution": multiply_adds(lambda: convolution(x.transpose(1, 2))),
    "attention": multiply_adds(lambda: twin(x, x, x)),  # with weights, so that no fused kernel hides the products
}
print("\nmultiply-adds at T = 128, d = 64, counted by torch and by the formula:")
for name, count in counted.items():
    formula = layer_costs(T, d, 4)[name][2]
    print(f"{name:>24s}{count:14,}{formula:14,}   ratio {count / formula:.4f}")

# %% [markdown]
# Attention wins in steps and in path, and pays in memory: from which $T$ on is $h T^2$ the largest number in its row?
# Where does the quadratic term overtake the projections? (Set $4 T d^2 = 2 T^2 d$.) Part 4 is about what people do
# about that.
#
# ### 1.2 Masks (3 points)
#
# A mask says who may see whom: **True means may be attended to**. Two kinds do most of the work.
#
# $$\begin{gathered}
# \mathrm{causal}[i, j] = (j \le i), \\
# \mathrm{padding}[b, 0, 0, j] = (\mathrm{ids}[b, j] \ne \mathrm{PAD})
# \end{gathered}$$
#
# A causal mask is about pairs of positions, so it has a row for each query. A padding mask is about keys alone: the same
# for every head and every query, which is why two of its four axes have size 1 and broadcast. `causal & padding` then
# is a mask of shape `(B, 1, T, T)`.
#
# <details><summary>Hint 1: a question</summary>
#
# Write the matrix for three tokens on paper, queries down, keys across. In which corner are the zeros? What do you see
# when you swap the two axes by mistake?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `torch.ones` and `torch.arange` take `dtype` and `device`. The functions that keep one triangle of a matrix are
# `torch.tril` and `torch.triu`. Comparing two tensors that broadcast works, too: a column of positions with a row of
# positions.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# For padding, make the comparison first. It has shape `(B, T)`, and its `T` counts keys. In `(B, heads, queries, keys)`
# keys come last, so the two new axes go between `B` and `T`. Indexing with `None` makes an axis of size 1.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# Suppose scores for dates of birth have the axes `(city, street, house, person)` and `old` has the shape `(city, person)`.
# Then `old[:, None, None]` has the shape `(city, 1, 1, person)`, and `scores * old[:, None, None]` treats each person of
# a city the same in every street and house. `old[:, None]` would have the shape `(city, 1, person)`: aligned from the
# right, its `city` would meet `street`.
# </details>

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

# %% nbgrader={"grade": false, "grade_id": "demo-masks", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    ids = torch.tensor([[5, 8, 6, 7, 9, 4], [7, 6, 5, 0, 0, 0]])
    source = torch.tensor([[3, 9, 4, 0]])
    pictures = {
        "causal: a text that is being written": causal_mask(6),
        "padding: text 1 has three tokens": padding_mask(ids)[1, 0].expand(6, 6),
        "both": (causal_mask(6) & padding_mask(ids))[1, 0],
        "cross-attention to a padded source": padding_mask(source)[0, 0].expand(6, 4),
    }
    fig, axes = plt.subplots(1, 4, figsize=(12, 3.3))
    for ax, (title, mask) in zip(axes, pictures.items()):
        heatmap(ax, mask.float(), title, "key (position)", "query (position)", vmin=0, vmax=1)
        ax.set_xticks(np.arange(mask.size(1) + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(mask.size(0) + 1) - 0.5, minor=True)
        ax.grid(which="minor", color="white", lw=1)
        ax.tick_params(which="minor", length=0)
        ax.title.set_fontsize(9)
    fig.suptitle("Who may see whom: yellow = allowed, blue = forbidden")
    plt.show()
    print(f"A text of 6 tokens has {36} pairs; causal allows {causal_mask(6).sum().item()}.")

# %% [markdown]
# In the third picture rows 3 to 5 are queries that are PAD themselves. Do they see anything? Would it hurt the model if
# they saw nothing at all? Keep your answer in mind for the next section.
#
# ### 1.3 Multi-head attention between two sequences (7 points)
#
# $$\begin{gathered}
# \mathrm{head}_j = \mathrm{softmax}\!\left(\frac{Q_j K_j^\top}{\sqrt{d_k}}\right) V_j, \\
# \mathrm{output} = [\mathrm{head}_0, \dots, \mathrm{head}_{h-1}]\, W_o + b_o
# \end{gathered}$$
#
# with $Q = \mathrm{query}\, W_q$, $K = \mathrm{key}\, W_k$, $V = \mathrm{value}\, W_v$, each cut into $h$ heads of
# $d_k = d / h$ consecutive features. Query and key may come from sequences of **different lengths**: the scores are
# $T_q \times T_k$. Self-attention is the case in which all three are the same tensor.
#
# Three things decide whether such a class can be trusted.
#
# - **The mask must be absolute.** A forbidden key gets weight 0, not a small weight, whatever the scores are. Choose the
#   number that takes the place of a forbidden score with care: it must lie below every allowed score, exist in the type
#   of the scores (float16 ends at 65,504), and leave finite numbers even where a query may see nothing.
# - **Any mask.** Bool, integer or float, of two, three or four axes.
# - **Dropout acts on the weights, but the weights that are returned are those before it.** Otherwise their rows do not
#   sum to 1, and every picture of them is wrong.
#
# <details><summary>Hint 1: questions</summary>
#
# You want heads as an axis of their own, before the tokens. If you `view` a `(B, T, d)` tensor as `(B, h, T, d_k)`
# straight away, whose features end up in head 0? Which two axes have to change places afterwards? And which of `T_q`
# and `T_k` do you need for which of the three projections?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `Tensor.unflatten` cuts one axis in two, `transpose` swaps two axes, `flatten(2)` joins the last ones. `masked_fill`
# puts a number where a condition holds; a comparison makes a condition of a mask of any type. `torch.finfo(dtype)` knows
# the smallest number of a type.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Write the part from `(B, T, d)` to `(B, h, T, d_k)` once and use it for all three projections. Then everything has the
# axes `(B, h, ...)`, and `@` multiplies the last two for all batches and heads at once. On the way back undo the steps
# in the opposite order: first swap, then join.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# A shelf has 2 rows of 6 books; in each row the first 3 are red, the last 3 blue: `shelf` has the shape `(2, 6)`.
# `shelf.unflatten(1, (2, 3))` is `(2 rows, 2 colours, 3 books)`, and `.transpose(0, 1)` is `(2 colours, 2 rows, 3
# books)`: entry 0 holds the red books of both rows. `shelf.view(2, 2, 3)` has the same shape, but its entry 0 is the
# first row, red and blue.
# </details>

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
# The next cell looks at one row of three scores. The third key is forbidden, and five different numbers take the place
# of its score. Before you run it: in which lines will the forbidden key get some weight, and in which will there be no
# number at all?

# %% nbgrader={"grade": false, "grade_id": "demo-mask-numbers", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
print(f"{'weight of the forbidden key':36s}{'-1e4':>10s}{'-1e9':>10s}{'finfo.min':>12s}{'-inf':>10s}")
cases = {
    "scores 2 and 1, float32": (torch.float32, [2.0, 1.0]),
    "scores -2e4 and -3e4, float32": (torch.float32, [-2e4, -3e4]),
    "scores -1e10 and -2e10, float32": (torch.float32, [-1e10, -2e10]),
    "scores 2 and 1, float16": (torch.float16, [2.0, 1.0]),
    "no key allowed, float32": (torch.float32, []),
}
for name, (dtype, scores) in cases.items():
    line = f"{name:36s}"
    for number, width in ((-1e4, 10), (-1e9, 10), (torch.finfo(dtype).min, 12), (-math.inf, 10)):
        if -math.inf < number < torch.finfo(dtype).min:
            line += f"{'no number':>{width}s}"
        else:
            row = torch.tensor([*scores, *[number] * (3 - len(scores))], dtype=dtype)
            line += f"{row.softmax(dim=-1)[-1].item():>{width}.2f}"
    print(line)

# %% [markdown]
# One column has no 1.00, no missing number and no `nan`. In the last row it gives the forbidden keys a third each: a
# query without keys then reads the mean of all values. That is harmless as long as nobody uses what such a query says.
#
# **Question 1, masks (2 points).** A colleague writes `scores.masked_fill(mask == 0, -1e9)` and says that it has always
# worked. Quote two cases from the table above in which it does not, with the figures, and say for each when it would
# happen in practice. Then say what a `padding_mask` of shape `(B, T)` instead of `(B, 1, 1, T)` does when `B = T`, and
# why no error appears.
#
# *Marks:* 1 for two cases with figures and when they happen; 1 for the mask of the wrong shape.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q1-masks", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* (1) With scores of -1e10 and -2e10 in float32 the forbidden key gets weight 1.00: -1e9 is the largest
# of the three. That happens when training diverges or weights are loaded with a wrong scale, so exactly when one wants to
# rely on the mask. (2) In float16 there is no -1e9 at all ("no number"), because the type ends at -65,504. torch raises
# an error as soon as such a model runs in half precision, for example under autocast on a GPU. A mask of shape `(B, T)`
# broadcasts from the right, so against scores `(B, h, T, T)` it is read as (queries, keys). With `B = T` the shapes fit.
# Row `b`, which says which keys *text* `b` has, then decides which keys *query* `b` sees, in every text. All shapes are
# right and the loss even falls, only PAD is seen and tokens are not.
#
# *For the marker.* 1 point: two of the failing cases (large negative scores, float16), each with its figure from the
# table and a situation. 1 point: broadcasting aligns from the right, rows of the batch are taken for queries, no error
# because the sizes agree. Half a point each without figures or without the reason for the silence.

# %% [markdown]
# ### 1.4 The encoder layer, post-norm and pre-norm (4 points)
#
# Two sublayers, each with a residual connection. The only question is where the norm stands.
#
# $$\begin{gathered}
# \textbf{post-norm:}\quad x \leftarrow \mathrm{norm}_1(x + \mathrm{drop}(\mathrm{att}(x))), \quad
# x \leftarrow \mathrm{norm}_2(x + \mathrm{drop}(\mathrm{ff}(x))) \\
# \textbf{pre-norm:}\quad x \leftarrow x + \mathrm{drop}(\mathrm{att}(\mathrm{norm}_1(x))), \quad
# x \leftarrow x + \mathrm{drop}(\mathrm{ff}(\mathrm{norm}_2(x)))
# \end{gathered}$$
#
# Vaswani et al. (2017) used the first, GPT-2 and nearly everything since use the second. In pre-norm there is a path
# from input to output on which nothing is ever normalised. Section 1.6 measures what that does to gradients.
#
# <details><summary>Hint 1: a question</summary>
#
# In pre-norm, which tensor goes into the attention as query, key and value, and which one is it added to? Is it the same
# one? Ask the same of post-norm.
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# Your attention returns two things, and a layer passes on only one of them. `FeedForward` takes the activation as its
# fourth argument. Look at the four arguments with defaults in `__init__`: each has a place where it must arrive.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Draw both orders as a line with boxes. The residual line goes straight through in pre-norm and is cut by a norm twice
# in post-norm. Write post-norm first, because it is what the paper shows, then the other, starting again from the
# drawing and not from your first version.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# Let the only sublayer be `f(x) = 3 * x` and the norm `n(x) = x / 10`, with `x = 10`. Post-norm gives
# `n(10 + 30) = 4`. Pre-norm gives `10 + f(n(10)) = 10 + 3 = 13`. If you get `n(10) + f(n(10)) = 4`, your residual
# connection starts at the wrong place.
# </details>

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
# ### 1.5 The decoder layer (5 points)
#
# A decoder writes a target while it looks at a source. Its layer has three sublayers, post-norm, in this order:
# self-attention within the target, **cross-attention** from the target to what the encoder made of the source, and the
# feed-forward network.
#
# $$\begin{gathered}
# x \leftarrow \mathrm{norm}_1(x + \mathrm{drop}(\mathrm{att}(x, x, x;\ \mathrm{tgt\_mask}))) \\
# x \leftarrow \mathrm{norm}_2(x + \mathrm{drop}(\mathrm{cross}(\,?\,, \,?\,, \,?\,;\ \mathrm{src\_mask}))) \\
# x \leftarrow \mathrm{norm}_3(x + \mathrm{drop}(\mathrm{ff}(x)))
# \end{gathered}$$
#
# Which sequence asks, and which one answers? That is for you to decide. The shape of the result tells you whether you
# are right, if the two lengths differ.
#
# <details><summary>Hint 1: a question</summary>
#
# The result of cross-attention is added to `x`, which has `T` tokens. The output of attention has as many tokens as one
# of its three inputs. Which one?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# The docstring of your `MultiHeadAttention`: the number of queries is `Tq`, the number of keys `Tk`, and the mask
# broadcasts to `(B, h, Tq, Tk)`. A mask over source tokens has `S` columns.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Name the roles before you write the call: "for each position of the target, find the source positions that help, and
# fetch what stands there". *For each* names the query, *find* the key, *fetch* the value.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# Three cooks (queries) look for ingredients in a store with five shelves. Each shelf has a label (key) and content
# (value). The weights have the shape `(3, 5)`, the result has three rows, one for each cook. A shelf that is empty is
# masked in the *columns*. Whether cook 2 may listen to cook 3 is another mask, of shape `(3, 3)`, for another attention.
# </details>

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

# %% nbgrader={"grade": false, "grade_id": "demo-torch-twins", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def copy_attention(ours, twin):
    """Give an nn.MultiheadAttention the weights of a MultiHeadAttention."""
    twin.in_proj_weight.data = torch.cat([ours.w_q.weight, ours.w_k.weight, ours.w_v.weight]).detach()
    nn.init.zeros_(twin.in_proj_bias)
    twin.out_proj.load_state_dict(ours.w_o.state_dict())


def copy_layer(ours, twin, attentions, norms):
    """Give a layer of torch's the weights of one of ours."""
    for name, twin_name in attentions.items():
        copy_attention(getattr(ours, name), getattr(twin, twin_name))
    for name in norms:
        getattr(twin, name).load_state_dict(getattr(ours, name).state_dict())
    for name in ("linear1", "linear2"):
        getattr(twin, name).load_state_dict(getattr(ours.feed_forward, name).state_dict())
    return twin.train(False)


with demo():
    x, source = numbers(2, 5, 12, seed=1), numbers(2, 7, 12, seed=2)
    allowed = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]]).bool()
    twin_options = {"dim_feedforward": 20, "batch_first": True}
    gaps = {}
    ours, twin = fill(MultiHeadAttention(12, 3)), nn.MultiheadAttention(12, 3, batch_first=True)
    copy_attention(ours, twin)
    output, weights = ours(x, source, source, allowed[:, None, None])
    right, right_weights = twin(x, source, source, key_padding_mask=~allowed, average_attn_weights=False)
    gaps["nn.MultiheadAttention, output"] = output - right
    gaps["nn.MultiheadAttention, weights"] = weights - right_weights
    for norm_first, activation in itertools.product((False, True), ("relu", "gelu")):
        ours = fill(TransformerEncoderLayer(12, 3, 20, norm_first=norm_first, activation=activation))
        twin = nn.TransformerEncoderLayer(12, 3, activation=activation, norm_first=norm_first, **twin_options)
        copy_layer(ours, twin, {"self_attention": "self_attn"}, ("norm1", "norm2"))
        name = f"nn.TransformerEncoderLayer, {'pre' if norm_first else 'post'}-norm, {activation}"
        gaps[name] = ours(x) - twin(x)
    ours, twin = fill(TransformerDecoderLayer(12, 3, 20)), nn.TransformerDecoderLayer(12, 3, **twin_options)
    copy_layer(ours, twin, {"self_attention": "self_attn", "cross_attention": "multihead_attn"}, ("norm1", "norm2", "norm3"))
    future = torch.ones(5, 5).triu(1).bool()  # torch's masks are the other way round: True = forbidden
    right = twin(x, source, tgt_mask=future, memory_key_padding_mask=~allowed)
    gaps["nn.TransformerDecoderLayer"] = ours(x, source, allowed[:, None, None], ~future) - right
    for name, gap in gaps.items():
        print(f"{name:50s} largest difference {gap.abs().max():.1e}")

# %% [markdown]
# These are the layers that torch ships, with your weights in them. Differences of about 1e-7 are rounding. Note one
# trap: in `nn.MultiheadAttention` and the layers made of it a bool mask says **True = forbidden**, in
# `F.scaled_dot_product_attention` and in this notebook **True = allowed**.
#
# ### 1.6 What the place of the norm does to gradients
#
# Stack untrained layers, send random tokens through them, and ask for the gradient of each layer's weights. All weight
# matrices start as in Vaswani et al. (Glorot and Bengio's uniform distribution). Predict first: the last layer is next to
# the loss. Does its gradient depend on how many layers stand *before* it?

# %% nbgrader={"grade": false, "grade_id": "demo-norm-gradients", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def layer_gradients(depth, norm_first, seed):
    """The norm of the gradient of each layer's feed-forward weights in an untrained stack."""
    torch.manual_seed(seed)
    layers = nn.ModuleList(TransformerEncoderLayer(64, 4, 128, 0.0, norm_first) for _ in range(depth))
    for parameter in layers.parameters():
        if parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter)
    x, target = torch.randn(8, 16, 64), torch.randn(8, 16, 64)
    for layer in layers:
        x = layer(x)
    if norm_first:
        x = F.layer_norm(x, (64,))  # a pre-norm stack ends with one norm
    (x - target).square().mean().backward()
    return [layer.feed_forward.linear1.weight.grad.norm().item() for layer in layers]


with demo():
    depths = (2, 4, 8, 12, 16, 24)
    kinds = {"post-norm": False, "pre-norm": True}
    norms = {
        (kind, depth): np.mean([layer_gradients(depth, first, seed) for seed in range(5)], axis=0)
        for kind, first in kinds.items()
        for depth in depths
    }
    fig, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True)
    for kind, style in zip(kinds, ("o-", "s--")):
        axes[0].plot(range(1, 25), norms[kind, 24], style, label=kind, ms=4)
        axes[1].plot(depths, [norms[kind, depth][-1] for depth in depths], style, label=kind)
    line = [norms["pre-norm", 2][-1] * math.sqrt(2 / depth) for depth in depths]
    axes[1].plot(depths, line, ":", color="grey", lw=1.5, label="falling with 1 / √depth")
    axes[0].set(xlabel="layer (1 = next to the input)", ylabel="norm of the gradient", title="Each layer of a stack of 24")
    axes[1].set(xlabel="layers in the stack", title="The last layer, by the depth of the stack", ylim=(0, None))
    for ax in axes:
        ax.legend(fontsize=9)
    fig.suptitle("Gradients of the feed-forward weights in untrained stacks, mean over 5 draws")
    plt.show()
    print(f"{'norm of the gradient':24s}{'2 layers, last':>16s}{'24 layers, last':>17s}{'24 layers, first':>18s}")
    for kind in kinds:
        print(f"{kind:24s}{norms[kind, 2][-1]:16.3f}{norms[kind, 24][-1]:17.3f}{norms[kind, 24][0]:18.3f}")
    print(f"1 / √depth falls by {math.sqrt(12):.2f} from 2 to 24 layers.")

# %% [markdown]
# Xiong et al. (2020, *On Layer Normalization in the Transformer Architecture*, ICML) prove it for the start of training:
# near the output, the gradient of a post-norm stack does not depend on the depth, and that of a pre-norm stack falls as
# 1 / √depth. A deep post-norm stack therefore takes large first steps near its output and needs a warm-up of the learning
# rate; deep pre-norm stacks mostly do without. This is a statement about untrained weights. It does not say which of the
# two is better once trained.
#
# **Question 2, norms (3 points).** Describe with at least three figures from section 1.6 how gradients behave in the two
# kinds of stack. Explain the difference by following the residual line through one layer of each. Then say which
# consequence for training you expect, and name one thing that this measurement cannot show.
#
# *Marks:* 1 for three figures read correctly; 1 for the residual line; 1 for a consequence and a limit.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q2-norms", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* In the post-norm stack the gradient of the last layer hardly depends on the depth: 0.117 with 2 layers,
# 0.113 with 24. In the pre-norm stack it falls from 0.095 to 0.027, by 3.5, as 1 / √depth would (3.46). Within 24 layers
# pre-norm falls from 0.094 at the first layer to 0.027 at the last; post-norm rises from 0.077 to 0.113. Follow the
# residual line: in pre-norm nothing on it is ever normalised. Each layer adds something of size about 1, so after L layers
# its variance is about L, and the last norm divides by √L. What one of the last layers adds is a small part of a long sum,
# and so is its gradient. In post-norm every layer ends with a norm that brings the sum back to size 1, so a late layer
# always has a large say, and on the way back the gradient is rescaled at every norm. Consequence: with post-norm the first
# steps near the output are large whatever the depth, so I expect that deep stacks need a warm-up or a lower rate. The
# measurement shows untrained weights only: not whether post-norm is worse once it is trained.
#
# *For the marker.* 1 point: three figures, of both kinds, read correctly. 1 point: an unnormalised sum that grows against a
# norm after every layer. 1 point: a consequence (warm-up, rate, depth) and a limit (start of training, random inputs, one
# weight matrix). Figures may differ slightly between machines: compare with the student's own output.

# %% [markdown]
# ## Part 2: the encoder-decoder, on dates
#
# After this part you have a model that reads `the 22nd of March 1987` and writes `1987-03-22`, character by character,
# you know why it must be trained with a mask, and you can watch where it looks.
#
# ### 2.1 The model (7 points)
#
# An encoder reads the source, a decoder writes the target. Both begin with scaled embeddings plus positions:
#
# $$x = \mathrm{drop}\big(\sqrt{d}\; E[\mathrm{ids}] + \mathrm{pe}\big), \qquad E_{ij} \sim \mathcal{N}(0, \sigma^2)$$
#
# What must $\sigma$ be, so that the scaled entries have standard deviation 1, as loud as the sines and cosines? (With
# `nn.Embedding`'s own $\sigma = 1$ they would be $\sqrt d$ times as loud, and positions would hardly be heard.)
#
# **Masks by default.** A model that forgets its masks trains well and is worthless, so yours builds them itself.
#
# | attention | who may be seen, if nobody says otherwise |
# |---|---|
# | encoder | source tokens that are not PAD |
# | decoder, within the target | earlier target tokens and the token itself, if they are not PAD |
# | decoder, to the source | in `forward`: source tokens that are not PAD; in `decode`: everything |
#
# `decode` cannot know where the source had PAD, because it gets vectors, not ids. Who tells it?
#
# <details><summary>Hint 1: questions</summary>
#
# Which of the two masks needs both of your functions from section 1.2, and how are two masks joined to one? What is the
# shape of the result? And which of the masks of `forward` is used twice?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# Embedding, scaling, positions and dropout happen twice, so they deserve a helper. `nn.init.normal_` fills a weight.
# `nn.ModuleList` holds layers, each made anew. `&` joins two bool tensors that broadcast.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Write `encode` alone and run the quick check: its first complaint is about the parts, the next about `encode(src)`. Only
# then write `decode`, and let `forward` be nothing but calls of the two and the projection, plus the one mask that both
# must have.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# A class has marks `(pupil, subject)`, a rule says which *subjects* count, `(1, subject)`, another which *pairs* were
# examined, `(pupil, subject)`. `rule & examined` has the shape `(pupil, subject)`: a pair counts if both say so. If a
# caller hands in a rule of his own, it is used *instead of* yours: `if rule is None: rule = ...`.
# </details>

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
    model = fill(Transformer(11, 12, 3, 2, 2, 20, 20, dropout=0.0)).train()
    model.dropout.p = 1.0
    assert model.encode(src[:1]).std(dim=1).max() < 1e-5, (
        "when self.dropout takes everything, neither tokens nor positions should be left. What does it act on?"
    )
    model.dropout.p = 0.0
    model(src, tgt).square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    assert not idle, f"no gradient reaches {', '.join(idle[:3])}. Is every part used, and nothing detached?"
    model.eval()
    check_device(lambda d: Transformer(11, 12, 3, 1, 1, 20, 20).to(d)(src.to(d), tgt.to(d)), "Transformer")

# %% nbgrader={"grade": false, "grade_id": "demo-transformer-size", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    with torch.device("meta"):  # shapes without numbers: the largest model costs nothing
        large = Transformer(vocab_size=10000)
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in large.named_children()}
    total = sum(parts.values())
    for name, size in parts.items():
        print(f"{name:24s}{size:12,}  {100 * size / total:5.1f} %  {'#' * round(40 * size / total)}")
    print(f"{'together':24s}{total:12,}")
    assert total == 59_480_848, "this is not the size of the contracted model"

# %% [markdown]
# With 10,000 tokens and the sizes of the paper, three quarters of the parameters are in the layers. A decoder layer is
# larger than an encoder layer: by which of its parts?
#
# ### 2.2 Greedy translation (4 points)
#
# To translate, encode the source once, then write the target token by token: feed what is there, take the logits at the
# last position, append the most probable token. Rows of a batch end at different times. A row that has written its
# `eos_id` gets PAD from then on, and the loop stops when every row has ended or `max_length` is reached.
#
# <details><summary>Hint 1: questions</summary>
#
# What changes from one step to the next: the encoder's output, the target, or both? A row ended three steps ago and the
# model wants to append a digit. Who prevents it? Which mode was the model in when your function was called?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `decode` returns vectors of width `d`; `output_projection` makes logits of them. `torch.full` makes the first column, on
# the device of the source. `torch.no_grad()`, `model.training`, `model.train(mode)`. A bool tensor with one entry a row
# remembers who has ended.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Keep the state of the loop in two tensors: the ids `(B, L)` and `ended (B,)`. In each round: the chosen tokens, then
# their correction by `ended`, then the new column, then the new `ended`. In any other order a row loses its `eos_id` or
# keeps talking.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# Three people count aloud and stop after saying 9: they say (7, 9, 8), then (8, -, 9), then (9, -, -). `ended` is
# (no, yes, no), then (no, yes, yes), then all yes. Note that the 9 itself was said: `ended` is looked up *before* a number
# is written, and updated *after* it.
# </details>

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
# ### 2.3 Training on dates
#
# The next two cells prepare the data and train: source characters in, target characters out. The decoder reads the
# target shifted by one (`<bos>1987-03-2`) and must predict the character that follows at **each** position, all at once.
# That is called teacher forcing, and it is honest only because the mask hides what is to be predicted.

# %% nbgrader={"grade": false, "grade_id": "setup-dates", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
PAD, BOS, EOS = 0, 1, 2
DATE_IDS = {c: i for i, c in enumerate(sorted({c for row in date_train for c in row[0] + row[1]}), start=3)}
DATE_CHARACTERS = {i: c for c, i in DATE_IDS.items()}


def pad_rows(rows):
    """Lists of ids as one int64 tensor, filled up with PAD on the right."""
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PAD)


def date_batch(rows):
    """Ids of rows (text, ISO date): source (B, S), what the decoder reads (B, 11), what it must answer (B, 11)."""
    sources = [[DATE_IDS[c] for c in text] for text, _ in rows]
    dates = [[DATE_IDS[c] for c in iso] for _, iso in rows]
    return tuple(pad_rows(ids).to(device) for ids in (sources, [[BOS, *d] for d in dates], [[*d, EOS] for d in dates]))


def translated(model, texts):
    """What the model writes for each text, without the special tokens."""
    ids = greedy_translate(model, date_batch([(text, "") for text in texts])[0], BOS, EOS, max_length=12)
    return ["".join(DATE_CHARACTERS.get(i, "") for i in row) for row in ids.tolist()]


def date_model(seed=0):
    """The translator of this part: two encoder layers, one decoder layer, 4 heads, d_model 64."""
    torch.manual_seed(seed)
    return Transformer(len(DATE_IDS) + 3, 64, 4, 2, 1, 128, max_seq_length=32, dropout=0.0, pad_id=PAD).to(device)


def train_on_dates(model, steps, batch_size=32, rate=3e-3, every=50, tgt_mask=None, seed=0):
    """Train by teacher forcing; returns [(step, loss, share of 200 validation dates right in full in %)]."""
    random = np.random.RandomState(seed)
    optimizer = optim.Adam(model.parameters(), lr=rate)
    schedule = optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=steps)
    history, losses = [], []
    for step in tqdm(range(1, steps + 1), desc="dates"):
        model.train()
        src, read, answer = date_batch([date_train[i] for i in random.randint(len(date_train), size=batch_size)])
        loss = F.cross_entropy(model(src, read, tgt_mask=tgt_mask).transpose(1, 2), answer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % every == 0:
            found = translated(model, [text for text, _ in date_val[:200]])
            right = 100 * np.mean([a == iso for a, (_, iso) in zip(found, date_val)])
            history.append((step, np.mean(losses[-every:]), right))
    return history

# %% nbgrader={"grade": false, "grade_id": "demo-train-dates", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    start = time.process_time()
    translator = date_model()
    date_history = train_on_dates(translator, steps=500)
    print(f"{time.process_time() - start:.0f} s of processor time on {device}")
    steps, losses, shares = zip(*date_history)
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.6))
    axes[0].plot(steps, losses, "o-", ms=4)
    axes[0].axhline(math.log(11), color="grey", lw=1, ls=":", label="even guesses among 10 digits and the dash")
    axes[0].set(xlabel="training step (batches of 32)", ylabel="cross-entropy (nats a character)", ylim=(0, None))
    axes[1].plot(steps, shares, "o-", ms=4)
    axes[1].set(xlabel="training step (batches of 32)", ylabel="dates right in full (%)", ylim=(0, 102))
    axes[0].set_title("Training loss"), axes[1].set_title("200 validation dates, written by greedy_translate")
    axes[0].legend(fontsize=9)
    plt.show()
    low = 85
    print(f"{shares[-1]:.0f} % of 200 validation dates are right in full. Right versions reach {low} to 100 % here.")
    if shares[-1] < low:
        print("That is far off: go to 'When it does not learn' at the end of part 3 before you go on.")

# %% nbgrader={"grade": false, "grade_id": "demo-date-examples", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    rows = date_val[:800]
    answers = translated(translator, [text for text, _ in rows])
    formats = ["14 July 1998", "July 14, 1998", "Tuesday 14 July 1998", "14-Jul-1998", "14.07.1998", "7/14/1998"]
    formats += ["the 14th of July 1998", "19980714"]
    print(f"{'written as':24s}{'right of 100':>13s}   a mistake, if there is one")
    for i, name in enumerate(formats):
        group = [(text, iso, answer) for (text, iso), answer in zip(rows[i::8], answers[i::8])]
        wrong = [f"{text} -> {answer}" for text, iso, answer in group if answer != iso]
        print(f"{name:24s}{len(group) - len(wrong):13d}   {''.join(wrong[:1])}")
    for text in ("31 February 2023", "July 4 1776", "Monday 1 January 2024"):
        print(f"not in the data: {text} -> {translated(translator, [text])[0]}")

# %% [markdown]
# Which format is the hardest, and is that what you expected? The last lines ask for what the training data never show: a
# day that does not exist, a form without its comma in another century, a Monday that is a Monday. The model answers
# anyway, and never says that it does not know.
#
# ### 2.4 What if the target mask shows the future?
#
# The next cell trains the same model once more, with one change: a target mask of ones. Before you run it, write down
# what you expect of the training loss, and of the share of dates that are right.

# %% [markdown]
# *Your prediction, loss and share (double-click to write it down):*

# %% nbgrader={"grade": false, "grade_id": "experiment-leak", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["experiment"]
with demo():
    leaky = date_model()
    everything = torch.ones(1, 1, 11, 11, dtype=torch.bool, device=device)
    leaky_history = train_on_dates(leaky, steps=200, tgt_mask=everything)
    print(f"{'step':>5s}{'loss, as contracted':>22s}{'loss, future shown':>22s}{'right (%)':>12s}{'right (%), future shown':>25s}")
    for (step, loss, right), (_, leaky_loss, leaky_right) in zip(date_history, leaky_history):
        print(f"{step:5d}{loss:22.3f}{leaky_loss:22.3f}{right:12.1f}{leaky_right:25.1f}")
    print("written by the second model:", ", ".join(translated(leaky, [text for text, _ in date_val[:3]])))

# %% [markdown]
# The model with the lower loss cannot write a single date. The character to be predicted stood in its input, one place to
# the right, and it learned to copy it. A loss that is too good, too early, is a bug until you have shown otherwise.
#
# ### 2.5 Where does the translator look?
#
# Each head of cross-attention has a weight for every pair of a target position and a source position. The next cells put a
# function that takes notes in the place of the layer's forward (part 6 has a better way), translate four dates, and take
# the mean over heads.

# %% nbgrader={"grade": false, "grade_id": "setup-alignment", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
def cross_attention(model, text):
    """(source characters, characters written, weights (heads, written, source)) of the last decoder layer."""
    answer = translated(model, [text])[0]
    src, tgt, _ = date_batch([(text, answer)])
    kept = []
    attention = model.decoder_layers[-1].cross_attention
    original = attention.forward

    def noting(*args, **kwargs):
        kept.append(original(*args, **kwargs))
        return kept[-1]

    attention.forward = noting
    model.eval()
    with torch.no_grad():
        model(src, tgt)
    del attention.forward  # the class's own is back
    return list(text), [*answer, "<eos>"], kept[0][1][0].cpu()

# %% nbgrader={"grade": false, "grade_id": "demo-alignment", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    texts = ["the 22nd of March 1987", "March 22, 1987", "3/22/1987", "Sunday 22 March 1987"]
    fig, axes = plt.subplots(2, 2, figsize=(12, 8.2))
    for ax, text in zip(axes.flat, texts):
        source, written_text, weights = cross_attention(translator, text)
        labels = ("", "source character", "character written", source, written_text)
        shown = heatmap(ax, weights.mean(dim=0), *labels, vmin=0, vmax=1)  # one scale for all four
        ax.tick_params(axis="x", rotation=0)
        ax.set_title(text)
    fig.colorbar(shown, ax=axes, label="attention weight, mean over heads")
    fig.suptitle("Where the last decoder layer looks in the source while it writes each character")
    plt.show()
    for text in texts:
        source, written_text, weights = cross_attention(translator, text)
        print(f"{text} -> {''.join(written_text[:-1])}")
        for i in (2, 6, 9):  # a digit of the year, of the month, of the day
            mean = weights.mean(dim=0)[i]
            best = mean.argsort(descending=True)[:3].tolist()
            looked = ", ".join(f"{source[j]!r} at {j} ({mean[j]:.2f})" for j in best)
            print(f"    for character {i}, {written_text[i]!r}, it looks most at {looked}")

# %% [markdown]
# Look for the day and the year: the digits are copied, and the weights point at them. For the month there is no single
# character to copy. Which ones does the model look at, and do they differ between the formats?
#
# **Question 3, alignment (3 points).** Choose two of the four pictures. Quote for each at least one weight that points
# where a person would look and one that does not, and say what the model may be doing there (remember that the encoder
# has mixed the characters before). Then use the figures of section 2.4 to explain why a low training loss proves nothing
# about translation.
#
# *Marks:* 1 for weights read correctly in two pictures; 1 for an explanation no stronger than the evidence; 1 for the
# argument from 2.4 with figures.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q3-alignment", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* "March 22, 1987": writing `8` of the year it gives the source `8` 0.41, where I would look; writing the
# second digit of the day it gives 0.08 to the `1` of the year, where I would not. "3/22/1987": writing the `3` of the month it
# gives 0.83 to the `3`, and 0.12 to the slash behind it. A weight on a place does not say what was fetched
# there: the encoder has two layers of its own, so the vector at a full stop or a letter may hold what stood beside it, for
# example "this is March". That is why a weight that a person would not give may still be a good one, and why I cannot
# conclude from the picture alone that the model reads the month from these letters. I would have to mask them and see. On
# 2.4: with the future shown, the loss after 200 steps was 0.030, nearly five times lower than 0.142 as contracted, and 0 % of the
# dates were right against 56 %. The loss is measured while the right answer stands in the input. If the mask lets the model
# copy it, the loss measures copying. Only writing without the answer measures translation.
#
# *For the marker.* 1 point: two pictures, for each a weight where a person would look and one elsewhere, with positions. 1
# point: says that the vectors are mixed by the encoder (or a mean over heads), claims no more than that. 1 point: both
# losses and both shares of 2.4, and teacher forcing as the reason. Weights and shares differ from run to run: compare with
# the student's output.

# %% [markdown]
# ## Part 3: GPT
#
# After this part you have a language model that writes something like film reviews, you can say in bits how much it has
# learned, and you know what to look at when a model does not learn.
#
# ### 3.1 The model (7 points)
#
# A GPT is a stack of **pre-norm encoder layers with a causal mask**: a decoder without a source. Positions are learned
# (one vector a position), the activation is GELU, a last norm stands before the head, and the head uses the token
# embedding's weight a second time:
#
# $$\mathrm{logits} = \mathrm{norm}(x)\; E^\top, \qquad E \in \mathbb{R}^{V \times d} .$$
#
# **Initial weights.** Every Linear and Embedding weight starts normal with standard deviation 0.02, every bias at 0. A
# model that knows nothing should guess evenly, with a loss of $\ln V$. With $E \sim \mathcal N(0, 1)$ the first logits
# would have a standard deviation of about $\sqrt d$, and the model would be sure of nonsense.
#
# **Padding.** An `attention_mask` may have its zeros on the left or on the right (generation pads on the left, training
# on the right). Neither may change a logit of a real token. Attention alone does not guarantee that: where does a token
# *stand* if two PAD come before it?
#
# <details><summary>Hint 1: questions</summary>
#
# A row has the mask 0 0 1 1 1. Which positions should its three tokens get, and how can you compute them from the mask
# for all rows at once? Two tensors shall share their numbers for ever, also after training: do you copy the numbers, or
# something else?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `cumsum` counts upwards along an axis. A parameter is an attribute like any other: it can be assigned. `self.modules()`
# goes through all modules inside, however deep, and `isinstance` takes a tuple of classes. Your encoder layer has two
# arguments for what is different here.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# First write `forward` without `attention_mask` until the values check complains about padding only. Then make the mask
# from two parts, as in the decoder of part 2, and the positions from the mask. A position of PAD is of no interest, but
# it must exist in the table.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# People queue for tickets; 1 marks a person, 0 a gap: `[1, 0, 1, 1, 0, 1]`. Its cumulative sum is `[1, 1, 2, 3, 3, 4]`: at
# each person, how many people stand there up to and including them. The first in the queue has number 0 if you begin to
# count at 0, so something is still to be done; and a gap at the very front would then get the number -1, which no table
# has.
# </details>

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

    def filled(**options):
        model = fill(GPTTransformer(11, d_model=12, n_heads=3, n_layers=2, d_ff=20, max_seq_length=8, **options))
        with torch.no_grad():
            model.token_embedding.weight.copy_(0.4 * numbers(11, 12, seed=5))
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
    model = filled(dropout=0.0).train()
    model.dropout.p = 1.0
    assert model(ids[:1]).std(dim=1).max() < 1e-5, (
        "when self.dropout takes everything, neither tokens nor positions should be left. What does it act on?"
    )
    check_device(lambda d: filled().to(d)(ids.to(d)), "GPTTransformer without a mask")
    check_device(lambda d: filled().to(d)(ids.to(d), torch.ones(2, 5, device=d)), "GPTTransformer with a mask")

# %% nbgrader={"grade": false, "grade_id": "demo-gpt-first-look", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    torch.manual_seed(0)
    model = GPTTransformer(1000, d_model=256, n_heads=4, n_layers=4, max_seq_length=64).eval()
    ids = torch.randint(0, 1000, (8, 64))
    with torch.no_grad():
        logits = model(ids)
    assert logits.shape == (8, 64, 1000) and torch.isfinite(logits).all()
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()
    print(f"logits of 8 texts of 64 tokens: {tuple(logits.shape)}, their standard deviation {logits.std():.2f}")
    print(f"first loss {loss:.3f} nats, even guesses among 1,000 tokens {math.log(1000):.3f}")
    nn.init.normal_(model.token_embedding.weight)  # what nn.Embedding does by itself
    with torch.no_grad():
        logits = model(ids)
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()
    print(f"with token weights of standard deviation 1: logits {logits.std():.2f}, first loss {loss:.1f}")

# %% [markdown]
# Why is the last loss not merely large but much *larger* than that of even guesses? What does a model pay that is sure
# and wrong?
#
# ### 3.2 Learning to predict the next token (7 points)
#
# The logits at position $t$ are a prediction of the token at $t + 1$. The loss is the mean over the labels that count:
#
# $$\mathrm{loss} = -\frac{1}{|C|} \sum_{(b, t) \in C} \log p_\theta(\mathrm{label}_{b, t+1} \mid \mathrm{ids}_{b, 0 \dots t}),
# \qquad C = \{(b, t) : \mathrm{label}_{b, t+1} \ne -100\}$$
#
# - Labels are given **unshifted**: `labels[b, t]` is the token at `t`. The shift happens here, once.
# - Without labels the ids are the labels, except PAD. With labels, they alone decide. What is passed in stays as it was.
# - A step: train mode, gradients from zero, loss, backward, **clip** the global norm of the gradient, one optimizer step.
#
# <details><summary>Hint 1: questions</summary>
#
# A text of `T` tokens has how many predictions whose answer is known? Which logits have no answer, and which label is
# nobody's answer? When is the global norm of the gradient known: before or after `backward`?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `F.cross_entropy` wants `(N, V)` and `(N,)`, and has an argument for labels that do not count. `masked_fill` (without
# an underscore at its end) makes a new tensor. `nn.utils.clip_grad_norm_`. Where a model is, its parameters know.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Decide first what the labels are, in one expression of three cases, and only then compute a loss. In `train_step` make a
# new dict with the tensors that are there, moved to the device, and hand it to `compute_loss` by name: then a missing
# mask needs no case of its own.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# For the text `D O G S` the pairs are D -> O, O -> G, G -> S: logits 0, 1, 2 with labels 1, 2, 3. If the mask is
# `1 1 1 0` the pair G -> S does not count, and the mean is over two pairs, not three. If you pair logit `t` with label
# `t`, the model learns to repeat what it reads, and its loss goes to 0 within a few hundred steps.
# </details>

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
# ### 3.3 How good can one be? Counting first
#
# Before training, a yardstick. An $n$-gram model counts which character follows the last $n - 1$ ones, and falls back on
# shorter contexts where the long one was rare (interpolated, Witten and Bell 1991). Quality is measured in **bits a
# character**, the cross-entropy with base 2: how many yes/no answers are missing, on average, to know the next character.

# %% nbgrader={"grade": false, "grade_id": "setup-characters", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
FILM_CHARACTERS = ["\ufffd", *sorted(set(film_train))]  # id 0 stands for characters that training never shows
FILM_IDS = {c: i for i, c in enumerate(FILM_CHARACTERS)}
SENTENCE_END = FILM_IDS["\n"]


def film_ids(text):
    """The characters of a text as a one-dimensional int64 tensor."""
    return torch.tensor([FILM_IDS.get(c, 0) for c in text])


def film_text(ids):
    return "".join(FILM_CHARACTERS[i] for i in ids)


film_stream, film_val_stream = film_ids(film_train), film_ids(film_val)
FILM_WINDOW = 64  # characters that the models of this notebook see at once


def film_batch(generator, batch_size=16):
    """Random windows of the training text: a batch for TransformerTrainer."""
    starts = torch.randint(len(film_stream) - FILM_WINDOW, (batch_size, 1), generator=generator)
    return {"input_ids": film_stream[starts + torch.arange(FILM_WINDOW)]}


def validation_bits(model, windows=200):
    """Bits a character on windows of the validation text, each character predicted from those before it in its window."""
    ids = film_val_stream[: windows * FILM_WINDOW].view(windows, FILM_WINDOW).to(next(model.parameters()).device)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        loss = TransformerTrainer(model).compute_loss(ids).item()
    model.train(was_training)
    return loss / math.log(2)


def write(model, prompt, length=150, rows=1, **options):
    """Texts that the model writes after `prompt`, always the same ones for the same model and options.

    The model sees one character less than its table has places: the last place has never predicted anything, because in
    training its label lay outside the window.
    """
    ids = film_ids(prompt)[None].repeat(rows, 1).to(device)
    drawn = torch.Generator(device=device).manual_seed(0)
    model.max_seq_length = FILM_WINDOW - 1
    try:
        written = generate_text(model, ids, length, generator=drawn, **options)
    finally:
        model.max_seq_length = FILM_WINDOW
    return [film_text(row) for row in written[:, len(prompt) :].tolist()]


def film_gpt(kind=None, n_layers=2, seed=0, dropout=0.0, **options):
    """The language model of this notebook: d_model 64, 4 heads, windows of 64 characters."""
    torch.manual_seed(seed)
    sizes = {"d_model": 64, "n_heads": 4, "n_layers": n_layers, "max_seq_length": FILM_WINDOW, "dropout": dropout}
    return (kind or GPTTransformer)(len(FILM_CHARACTERS), **sizes, **options).to(device)

# %% nbgrader={"grade": false, "grade_id": "demo-ngrams", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def count_ngrams(text, order):
    """For each length n up to `order`: counts of n-grams, and the number and the kinds of what followed each context."""
    levels = []
    for n in range(1, order + 1):
        counts = Counter(text[i : i + n] for i in range(len(text) - n + 1))
        totals, kinds = Counter(), Counter()
        for gram, count in counts.items():
            totals[gram[:-1]] += count
            kinds[gram[:-1]] += 1
        levels.append((counts, totals, kinds))
    return levels


def ngram_bits(levels, test):
    """Bits a character on `test`: each longer context corrects the estimate of the shorter one."""
    bits = 0.0
    for i in range(len(test)):
        p = 1 / len(FILM_CHARACTERS)
        for n, (counts, totals, kinds) in enumerate(levels[: i + 1], start=1):
            gram = test[i - n + 1 : i + 1]
            total, different = totals[gram[:-1]], kinds[gram[:-1]]
            if not total:
                break
            p = (counts[gram] + different * p) / (total + different)
        bits -= math.log2(p)
    return bits / len(test)


levels = count_ngrams(film_train, order=5)
NGRAM_NAMES = ("unigram", "bigram", "trigram", "4-gram", "5-gram")
ngrams = {name: ngram_bits(levels[:n], film_val[:20000]) for n, name in enumerate(NGRAM_NAMES, start=1)}
print(f"{len(film_train):,} characters of training text, {len(FILM_CHARACTERS)} different ones")
print(f"even guesses {math.log2(len(FILM_CHARACTERS)):.2f} bits a character")
for name, bits in ngrams.items():
    print(f"{name:12s} {bits:.2f} bits a character")

# %% [markdown]
# A transformer without attention, whatever its depth, sees one character at a time. Which of these lines can it reach at
# best, and not pass? If your model passes that line, attention works.
#
# ### 3.4 Writing (6 points)
#
# To write, take the logits at the last position, choose a token, append it, and go on. The choice is a draw from
#
# $$p_i \propto \exp(z_i / \tau) \quad \text{over the } k \text{ largest logits } z_i ,$$
#
# with the temperature $\tau$: below 1 the draw is more careful, above 1 bolder, and 0 means the most probable token. A
# prompt longer than the model's table is no error: the model then sees its last `max_seq_length` tokens.
#
# <details><summary>Hint 1: questions</summary>
#
# Dividing by 0 is no way to get the most probable token; what is? Which logit must another one reach to be among the
# `k` largest? And what should happen to a token that is not?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `torch.topk` returns values in falling order. `masked_fill`. `torch.multinomial` draws from each row by itself and takes
# a `generator`. A slice with a negative start takes the end of a row, also where the row is shorter.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Write a small function that gets logits `(B, V)` and returns one token a row, with all rules about temperature and
# `top_k` in it. The loop around it then is the one from section 2.2, with other words: `eos_id` in place of PAD, and a
# prompt in place of the first column.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# Logits 4, 1, 3, 0 and `k = 2`: the second largest is 3, so 1 and 0 go. With $\tau = 1$ the shares of the others are as
# $e^4 : e^3$, that is 0.73 to 0.27. With $\tau = 0.5$ the logits become 8 and 6, and the shares 0.88 to 0.12. A `k` of 9
# keeps all four, because there are no nine.
# </details>

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
# ### 3.5 Training on film reviews
#
# The next cell trains for about a minute. It measures bits a character on validation text as it goes, and lets the model
# write before, during and after training. Before you run it: which of the five lines of section 3.3 will the model cross,
# and in which order will it learn words, spaces and sentences?

# %% [markdown]
# *Your prediction (double-click to write it down):*

# %% nbgrader={"grade": false, "grade_id": "demo-train-gpt", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def train_on_film(model, steps, rate=8e-3, every=100, snapshots=(), seed=1, trainer=None, description="film"):
    """Train with a warm-up and a cosine; returns [(step, training loss in bits, validation bits)] and {step: text}."""
    generator = torch.Generator().manual_seed(seed)
    trainer = trainer or TransformerTrainer(model)
    optimizer = optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=min(0.2, 100 / steps))
    history, losses, texts = [], [], {}
    for step in tqdm(range(steps + 1), desc=description):
        if step in snapshots:
            texts[step] = write(model, "\n", temperature=0.8)[0]
        if step % every == 0 and step:
            history.append((step, np.mean(losses[-every:]) / math.log(2), validation_bits(model)))
        if step < steps:
            losses.append(trainer.train_step(film_batch(generator), optimizer))
            schedule.step()
    return history, texts


with demo():
    start = time.process_time()
    writer = film_gpt()
    print(f"{sum(p.numel() for p in writer.parameters()):,} parameters")
    film_history, snapshots = train_on_film(writer, 2000, snapshots=(0, 100, 500, 2000))
    print(f"{time.process_time() - start:.0f} s of processor time on {device}")

# %% nbgrader={"grade": false, "grade_id": "demo-gpt-curve", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    steps, training, validation = zip(*film_history)
    fig, ax = plt.subplots(figsize=(9.5, 4.4))
    ax.plot(steps, validation, "o-", ms=4, label="GPT, validation")
    ax.plot(steps, training, "--", lw=1.2, label="GPT, training (mean of 100 batches)")
    for (name, bits), colour in zip(list(ngrams.items())[1:], COLOURS[2:]):
        ax.axhline(bits, color=colour, lw=1.3, ls=":")
        ax.text(steps[-1] * 1.01, bits, f"{name} {bits:.2f}", va="bottom", fontsize=9)
    ax.set(
        xlabel="training step (batches of 16 windows of 64 characters)",
        ylabel="bits a character",
        title="A small GPT beside models that count, on film sentences",
        xlim=(0, steps[-1] * 1.13),
    )
    ax.legend()
    plt.show()
    for name, bits in ngrams.items():
        step = next((step for step, value in zip(steps, validation) if value < bits), None)
        print(f"{name:8s} {bits:.2f} bits: " + (f"passed by step {step:,}" if step else f"not passed in {steps[-1]:,} steps"))
    low, high = 2.4, 2.8
    print(f"\n{validation[-1]:.2f} bits a character on validation text. Right versions reach {low} to {high} here.")
    if validation[-1] > high:
        print("That is far off: go to 'When it does not learn' below before you go on.")
    elif validation[-1] < low - 0.3:
        print("That is too good to be true: does a position see what it has to predict?")
    for step, text in snapshots.items():
        shown = text.strip().replace("\n", " / ")
        print("\n" + textwrap.fill(f"after {step:,} steps: {shown}", 96))

# %% [markdown]
# What is there first, and what never comes? Compare the amount of text with what large models read: 0.7 million
# characters here, some tens of trillions there. Your model has seen each character a few times.
#
# The same model at several temperatures, and how many of its words the training text knows:

# %% nbgrader={"grade": false, "grade_id": "demo-temperatures", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    known = set(re.findall(r"[a-z']+", film_train.lower()))
    print(f"{'setting':26s}{'known words (%)':>17s}{'different words (%)':>21s}")
    samples = {}
    for name, options in {
        "temperature 0 (greedy)": {"temperature": 0},
        "temperature 0.5": {"temperature": 0.5},
        "temperature 0.8": {"temperature": 0.8},
        "temperature 1": {"temperature": 1.0},
        "temperature 1.5": {"temperature": 1.5},
        "temperature 1.5, top_k 5": {"temperature": 1.5, "top_k": 5},
    }.items():
        rows = write(writer, "\n", 120, rows=8, **options)
        samples[name] = rows[0].replace("\n", " / ")
        words = [word for row in rows for word in re.findall(r"[a-z']+", row.lower())[:-1]]
        shares = [100 * np.mean([word in known for word in words]), 100 * len(set(words)) / len(words)]
        print(f"{name:26s}{shares[0]:17.0f}{shares[1]:21.0f}")
    for name, text in samples.items():
        print("\n" + textwrap.fill(f"{name}: {text}", 96))

# %% [markdown]
# ### 3.6 When it does not learn
#
# Every cell of this notebook can be right in shape and wrong in substance. This order of looking has saved many evenings.
#
# 1. **Print shapes and the first loss.** It should be near $\ln V$. Far above: initial weights, or logits scaled twice. Far
#    below: the answer is in the input.
# 2. **Overfit one batch.** Any right model learns 16 windows by heart. If it cannot, the bug is in the model or the step,
#    not in the data or the rate.
# 3. **Look at gradients by layer**, after one backward. A `None` or a zero is a part that is not connected.
# 4. **Change one input token** and see which outputs move. Earlier ones must not.
# 5. **Only then** change the learning rate, by factors of three.
#
# The next cell does 1 to 4 for your GPT.

# %% nbgrader={"grade": false, "grade_id": "demo-first-aid", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    patient, batch = film_gpt(seed=3), film_batch(torch.Generator().manual_seed(3))
    trainer = TransformerTrainer(patient)
    first = trainer.compute_loss(batch["input_ids"].to(device))
    print(f"1. first loss {first.item():.2f}, ln V = {math.log(len(FILM_CHARACTERS)):.2f}")
    first.backward()
    print("3. gradient norms:", end=" ")
    parts = {"token_embedding": patient.token_embedding, "position_embedding": patient.position_embedding}
    parts |= {f"block {i}": block for i, block in enumerate(patient.transformer_blocks)}
    for name, part in parts.items():
        print(name, f"{math.sqrt(sum(p.grad.square().sum().item() for p in part.parameters())):.3f}", end="; ")
    optimizer = optim.AdamW(patient.parameters(), lr=3e-3)
    losses = [trainer.train_step(batch, optimizer) for _ in range(120)]
    print(f"\n2. one batch of 16 windows, 120 steps: loss {losses[0]:.2f} -> {losses[59]:.2f} -> {losses[-1]:.2f}")
    ids = batch["input_ids"][:1].to(device)
    changed = ids.clone()
    changed[0, 30] = 5
    patient.eval()
    with torch.no_grad():
        moved = (patient(changed) - patient(ids)).abs().amax(dim=-1)[0]
    print(f"4. after a change at position 30: before it {moved[:30].max():.1e}, from it on {moved[30:].max():.1e}")

# %% [markdown]
# **Find the bug.** The next cell trains four models for 150 steps. One is right. One is given the same batch in every step.
# In one, the target of each position is the character that stands there. In one, the learning rate is a hundred times too
# high. Look at the curves and at what each model writes, decide which is which, and only then open the answer.

# %% nbgrader={"grade": false, "grade_id": "experiment-find-the-bug", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["experiment"]
class RepeatsItself(nn.Module):
    """A language model that is asked for the character it reads: its logits come one position late."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask=None):
        logits = self.model(input_ids)
        return torch.cat([logits[:, 1:], logits[:, -1:]], dim=1) if self.training else logits


with demo():
    patients = {
        "A": {"model": film_gpt(), "rate": 3e-3, "seed": lambda step: 1},
        "B": {"model": film_gpt(), "rate": 0.3, "seed": lambda step: step},
        "C": {"model": RepeatsItself(film_gpt()), "rate": 3e-3, "seed": lambda step: step},
        "D": {"model": film_gpt(), "rate": 3e-3, "seed": lambda step: step},
    }
    fig, ax = plt.subplots(figsize=(9, 3.8))
    written_by = {}
    for (name, patient), style in zip(patients.items(), ("-", "--", "-.", ":")):
        trainer, losses = TransformerTrainer(patient["model"]), []
        optimizer = optim.AdamW(patient["model"].parameters(), lr=patient["rate"])
        for step in tqdm(range(150), desc=name):
            batch = film_batch(torch.Generator().manual_seed(patient["seed"](step)))
            losses.append(trainer.train_step(batch, optimizer) / math.log(2))
        ax.plot(range(1, 151), losses, style, lw=2, label=name)
        written_by[name] = write(patient["model"], "\nthe film ", 60, temperature=0.8)[0]
    ax.set(xlabel="training step", ylabel="training loss (bits a character)", title="One right model, three bugs", ylim=(0, 9))
    ax.legend()
    plt.show()
    for name, text in written_by.items():
        print(f"{name}: {text!r}")

# %% [markdown]
# <details><summary>The answer, when you have decided</summary>
#
# D is right: its loss falls slowly, to about that of a bigram model, and its text has likely letters and few words. A sees
# one batch: its loss goes to 0, because 16 windows can be learned by heart, and it writes nonsense after anything else.
# (Validation would show it at once.) C is asked for the character that it reads: its loss falls fastest of all, and it goes on with whatever
# came last, here the space. B has the high rate: its loss jumps at first and then stays where counting single characters
# gets. Two of the three bugs have a *better* loss than the right model. What is written gives them away.
# </details>

# %% [markdown]
# ## Part 4: attention that shares and forgets
#
# After this part you can say what a long text costs, in operations, in memory and in time, and which of five remedies
# changes which of them.
#
# ### 4.1 Sharing keys and values (6 points)
#
# While a model writes, it must keep the keys and values of every token so far, in every layer. With $h$ heads of width
# $d_k$ that is $2 h d_k$ numbers a token and layer. **Grouped-query attention** keeps $g \le h$ heads of keys and values,
# each shared by $h / g$ query heads:
#
# $$\mathrm{head}_j = \mathrm{softmax}\!\left(\frac{Q_j K_{\lfloor j g / h \rfloor}^\top}{\sqrt{d_k}}\right) V_{\lfloor j g / h \rfloor},
# \qquad W_k, W_v \in \mathbb{R}^{d \times g d_k} .$$
#
# With $g = h$ it is multi-head attention, with $g = 1$ **multi-query attention**. For 6 query heads and 2 key heads the
# query heads 0, 1, 2 use key head 0, and 3, 4, 5 use key head 1.
#
# <details><summary>Hint 1: questions</summary>
#
# Into which sizes do you cut the features of the keys, and how many heads result? For 6 query heads and 2 key heads, write
# down which key head each query head uses. Is it 0 0 0 1 1 1 or 0 1 0 1 0 1, and which function makes which of the two?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# Two functions repeat along an axis, `repeat` and `repeat_interleave`, and they order the copies differently. There is
# also a way without any copy: `reshape` the queries so that the heads of one group stand together.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Take your multi-head attention and let keys and values have their own number of heads. The one new line stands between
# cutting and scoring. After it, everything has `h` heads again (or everything has `g`, if you grouped the queries).
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# Letters `[a, b]` for four readers: `repeat_interleave(2)` gives `[a, a, b, b]`, `repeat(2)` gives `[a, b, a, b]`. If
# readers 0 and 1 are to share letter `a`, only one of them is right. Both have the same shape, both train, and with one
# letter or with four nobody can tell them apart.
# </details>

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
# ### 4.2 A cache for writing (6 points)
#
# To write token number 500, a model without a cache computes the keys and values of all 499 tokens before it, which it
# has computed for number 499 already. With a **cache** it keeps them and adds one.
#
# A text may be fed in pieces of any size: the prompt at once, then single tokens. Each query sees everything that is
# cached and, in its own piece, itself and what stands before it. The result must be *exactly* what the whole text would
# give. And a cache is a value, not a place: two continuations of one prompt must not disturb each other.
#
# <details><summary>Hint 1: questions</summary>
#
# The cache holds 4 tokens, the piece has 3. How many keys are there, and which of them may the first query of the piece
# see, which the last? What changes in your causal mask when the queries are only the last rows of it?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `torch.cat` along the axis of the tokens makes a new tensor and leaves both old ones as they were. `tril` has a second
# argument, a diagonal. You may inherit from your `GroupedQueryAttention`; then `__init__` is one line.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Project the piece, cut it into heads, and append. From here on there are `T` queries and `S` keys with `S >= T`. Draw the
# mask for `T = 3`, `S = 7` on paper, and check the cases `T = S` (no cache) and `T = 1` (one token) by eye.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# Five guests sit at a table, then two more arrive, one after the other. Everyone may listen to those who came no later. The
# sixth may listen to six people, the seventh to seven. As rows: `1 1 1 1 1 1 0` and `1 1 1 1 1 1 1`, a matrix of 2 × 7.
# Its diagonal of ones does not begin in the upper left corner.
# </details>

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

# %% nbgrader={"grade": false, "grade_id": "demo-cache-memory", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    print("bytes of the cache of one layer, d = 64, 8 query heads, float32, measured:")
    print(f"{'':22s}" + "".join(f"{f'g = {g}':>12s}" for g in (8, 4, 2, 1)))
    for batch, length in ((1, 64), (1, 128), (1, 256), (4, 256)):
        sizes = []
        for g in (8, 4, 2, 1):
            _, cache = CachedAttention(64, 8, g)(torch.randn(batch, length, 64))
            sizes.append(cache_bytes(cache))
            assert sizes[-1] == 2 * batch * g * length * 8 * 4, "this is not 2 · B · g · T · d_k · 4"
        print(f"{f'B = {batch}, T = {length}':22s}" + "".join(f"{size:12,}" for size in sizes))

    # a model of the size of Llama 2 7B: 32 layers, 32 heads of width 128, 13.5 GB of weights in 16 bits
    groups, lengths, card = [32, 16, 8, 4, 2, 1], (2048, 8192, 32768), 24e9
    per_token = {g: 32 * 2 * g * 128 * 2 for g in groups}
    fig, axes = plt.subplots(1, 2, figsize=(11.5, 4))
    axes[0].bar(range(6), [per_token[g] / 2**10 for g in groups], color=COLOURS[0])
    axes[0].set_xticks(range(6), groups)
    axes[0].set(xlabel="key and value heads g (of 32 query heads)", ylabel="cache (KiB a token, all layers)")
    axes[0].set_title("What one token costs")
    for length, style in zip(lengths, ("o-", "s--", "^:")):
        largest = [int((card - 13.5e9) // (per_token[g] * length)) for g in groups]
        axes[1].plot(range(6), largest, style, label=f"{length:,} tokens")
        print(f"largest batch, {length:6,} tokens: " + ", ".join(f"g = {g}: {n}" for g, n in zip(groups, largest)))
    axes[1].set_xticks(range(6), groups)
    axes[1].set_yscale("symlog", linthresh=1)
    axes[1].set_ylim(-0.1, 500)
    axes[1].set(xlabel="key and value heads g (of 32 query heads)", ylabel="texts in one batch (count)")
    axes[1].set_title("Largest batch beside 13.5 GB of weights on 24 GB"), axes[1].legend(fontsize=9)
    axes[1].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    fig.suptitle("Computed for a model of 32 layers, 32 heads, d_k = 128, 16-bit numbers")
    plt.show()

# %% [markdown]
# The sizes above are measured, the figure is arithmetic on them. The measured ones are linear in `B`, in `T` and in `g`.
# Where the largest batch is 0, not even one text fits.
#
# The next cell measures time: writing $T$ tokens, one at a time, through one layer, with the cache and by feeding the
# whole text again for each token. Every time is a median over repeated runs after a warm-up, with quartiles; on a CPU it is
# processor time, so that other programs do not disturb it much.

# %% nbgrader={"grade": false, "grade_id": "setup-timing", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
def times(functions, repeats=7, warm=2):
    """Milliseconds of each function: {name: (lower quartile, median, upper quartile)}, taking turns, after a warm-up.

    On a CPU it is processor time, which other programs do not count towards; on a GPU the clock, with waiting for it.
    """
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    taken = {name: [] for name in functions}
    for i in range(warm + repeats):
        for name, function in functions.items():  # taking turns, so that a busy moment does not hit one of them only
            start = clock()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if i >= warm:
                taken[name].append(1000 * (clock() - start))
    return {name: tuple(np.percentile(values, (25, 50, 75))) for name, values in taken.items()}


def plot_times(ax, sizes, measured, styles=("o-", "s--", "^:", "D-.", "v-", "x--")):
    """Medians as lines and quartiles as bands; `measured` is a list of results of `times`, one for each size."""
    for (name, style), colour in zip(zip(measured[0], styles), COLOURS):
        low, middle, high = zip(*(result[name] for result in measured))
        ax.plot(sizes, middle, style, color=colour, label=name, ms=5)
        ax.fill_between(sizes, low, high, color=colour, alpha=0.2, lw=0)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()

# %% nbgrader={"grade": false, "grade_id": "demo-cache-timing", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo(), torch.no_grad():
    layer = CachedAttention(64, 4, 2).eval()
    lengths, measured = (16, 32, 64, 128, 256, 512), []

    def write_with_cache(x):
        cache = None
        for t in range(x.size(1)):
            _, cache = layer(x[:, t : t + 1], cache)

    def write_anew(x):
        for t in range(x.size(1)):
            layer(x[:, : t + 1])

    for length in tqdm(lengths, desc="lengths"):
        x = torch.randn(1, length, 64)
        measured.append(times({"cached": partial(write_with_cache, x), "whole text again": partial(write_anew, x)}, 5, 1))
    fig, ax = plt.subplots(figsize=(8, 3.8))
    plot_times(ax, lengths, measured)
    ax.set(xlabel="tokens written one at a time", ylabel="time (ms, logarithmic)")
    ax.set_title("Writing through one layer of width 64 on this machine: medians and quartiles")
    ax.legend()
    plt.show()
    for length, result in zip(lengths, measured):
        print(f"{length:4d} tokens: the cache is {result['whole text again'][1] / result['cached'][1]:.1f} times as fast")

# %% [markdown]
# At small sizes both do the same number of calls, and calls are what a CPU spends its time on. The gain grows with the
# length. On a GPU the gain begins at greater lengths, because a GPU computes a short text about as fast as one token. What
# the cache saves there first is work that the other texts of a batch can use.
#
# **Question 4, cache (4 points).** (a) From your measured table, write down how the bytes of a cache depend on `B`, `T`
# and `g`, with the rows that show each. (b) A model has 40 layers, 40 query heads of width 128 and 16-bit numbers. How
# many bytes does a text of 4,096 tokens need with g = 40 and with g = 8? Show the formula with the numbers in it. (c)
# Quote two ratios of times from section 4.2 and explain why the ratio depends on the length. (d) Sharing keys and values
# leaves the multiply-adds of the scores as they are. So what does it save while a model writes, and what while it trains?
#
# *Marks:* 1 for each.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q4-cache", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* (a) Bytes = 2 · B · g · T · d_k · 4, linear in each: T from 64 to 128 doubles 32,768 to 65,536; B from 1 to
# 4 at T = 256 makes 131,072 to 524,288; g from 8 to 4 halves 131,072 to 65,536. (b) 2 · 40 layers · g · 128 · 2 bytes a
# token: g = 40 gives 819,200 bytes, times 4,096 = 3,355,443,200 (3.1 GiB); g = 8 gives 671,088,640 (0.63 GiB), a fifth. (c)
# At 64 tokens the cache is 1.3 times as fast, at 512 tokens 11.9 times. Without a cache token t costs the work of a text of t tokens, so T tokens cost about T² / 2 projections and T³
# score products; with it, T projections and T² / 2 scores. For short texts both are hidden behind the fixed cost of a
# call, so the ratio is near 1, and it grows with T. (d) While writing it saves the memory of the cache, so that more or
# longer texts fit, and the time to read the cache for every token, which on a GPU is what writing waits for. In training
# there is no cache: it saves parameters of w_k and w_v and the keys and values that are kept for the backward pass; scores
# and their memory stay as they are, one matrix for each query head.
#
# *For the marker.* 1 point each. (a) all three factors, each with a pair of figures. (b) both numbers with the formula
# (GB or GiB). (c) two ratios from the notebook and why they grow: repeated work against fixed cost. Times change from run to
# run. (d) both halves: cache size and reading it; in training at most projections and kept keys and values.

# %% [markdown]
# ### 4.3 A sliding window (4 points)
#
# Each query sees the last $w$ tokens, itself included:
#
# $$\mathrm{window}[i, j] = (i - w < j \le i) .$$
#
# What lies further back is reached through layers: token $i$ of layer 1 has read $i - w + 1 \dots i$, and token $i$ of
# layer 2 reads those of them.
#
# <details><summary>Hint 1: questions</summary>
#
# With window 3, which keys does query 5 see, in numbers? And query 1? How many are they? If your mask gives query 5 four
# keys, which of the two bounds is off by one?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# A column of positions minus a row of positions is a matrix of distances. Two comparisons of it, joined by `&`, make the
# mask. For the class: `super().forward`, and the conversion of any mask to bool from section 1.3.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Write the mask first and print it for size 6 and windows 1, 3 and 9. Window 1 must be the diagonal, window 9 the causal
# mask. Then the class needs no new attention, only another mask for the one that you have.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# A shop keeps the receipts of the last 7 days, today included. On day 20 it has those of days 14 to 20, seven of them: day
# 13 is gone. The age of a receipt is 0 to 6, so the condition on the age has `< 7` in it and not `<= 7`; and nobody has
# receipts of tomorrow, whose age is negative.
# </details>

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

# %% nbgrader={"grade": false, "grade_id": "demo-window", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def attention_pattern(kind, size, window=8, stride=8):
    """A causal bool mask: `full`, `window`, or `strided` (the window, and every `stride`-th token before it)."""
    if kind == "full":
        return causal_mask(size)
    if kind == "window":
        return sliding_window_mask(size, window)
    if kind == "strided":
        column = torch.arange(size) % stride == stride - 1
        return causal_mask(size) & (sliding_window_mask(size, window) | column)
    raise ValueError(f"there is no pattern {kind!r}: full, window, strided")


with demo():
    kinds = ("full", "window", "strided")
    fig, axes = plt.subplots(1, 4, figsize=(13.5, 3.5), width_ratios=(1, 1, 1, 1.35))
    for ax, kind in zip(axes, kinds):
        mask = attention_pattern(kind, 32)
        heatmap(ax, mask.float(), f"{kind}: {mask.sum().item()} pairs", "key (position)", "query (position)", vmin=0, vmax=1)
    print(f"{'pairs not computed, of the causal ones (%)':44s}" + "".join(f"{kind:>10s}" for kind in kinds))
    for size in (32, 256, 2048):
        shares = [100 - 100 * attention_pattern(kind, size).sum().item() / (size * (size + 1) // 2) for kind in kinds]
        print(f"{f'T = {size:,}':44s}" + "".join(f"{share:10.1f}" for share in shares))

    # the receptive field: which inputs move the last output of a stack of N windowed layers?
    torch.manual_seed(0)
    window, reach = 4, []
    for depth in range(1, 6):
        layers = [SlidingWindowAttention(16, 2, window).eval() for _ in range(depth)]
        x = torch.randn(1, 32, 16, requires_grad=True)
        hidden = x
        for layer in layers:
            hidden = hidden + layer(hidden, hidden, hidden)[0]
        hidden[0, -1].sum().backward()
        reach.append(int((x.grad[0].abs().sum(dim=-1) > 0).sum()))
    axes[3].plot(range(1, 6), reach, "o", ms=8, label="measured")
    axes[3].plot(range(1, 6), [n * (window - 1) + 1 for n in range(1, 6)], ":", color="grey", label="N (w - 1) + 1")
    axes[3].set(xlabel="layers N", ylabel="inputs reached (count)", title=f"Receptive field, w = {window}", ylim=(0, 18))
    axes[3].set_yticks([1, *reach])
    axes[3].legend(fontsize=9)
    fig.suptitle("Three causal patterns for 32 tokens (w = 8, stride 8; yellow = allowed), and how far a window sees through layers")
    plt.show()
    print(f"\nreceptive field of 1 to 5 layers with w = {window}: {reach}")

# %% [markdown]
# A mask alone saves nothing: your class computes all scores and throws most of them away. The shares above become savings
# only in a kernel that skips what is forbidden. Section 4.5 measures this.
#
# **Question 5, window (2 points).** Read from your figure and the printed lines how many inputs reach the output through
# 1, 2 and 5 layers with `w = 4`, and give the formula. Then: a model has 32 layers and a window of 4,096. How far could it
# see at most, and why does "could" not mean that it remembers what stood there?
#
# *Marks:* 1 for figures and formula; 1 for the computed reach and its limit.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q5-window", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* One layer: 4 inputs, two: 7, five: 16. Each layer adds w - 1 = 3, so N (w - 1) + 1. For 32 layers and a
# window of 4,096 that is 32 · 4,095 + 1 = 131,041 tokens. "Could" says only that there is a path: the measurement counts
# inputs whose gradient is not exactly 0. What stood 100,000 tokens back must be handed on through some 25 layers, each time
# as part of a weighted mean, in a vector of fixed width that serves other purposes, too. Whether it survives is a matter of
# training, and the gradient may be as good as 0.
#
# *For the marker.* 1 point: 4, 7, 16 and the formula. 1 point: 131,041 (131,072 without the "+ 1" and "- 1" loses half a
# point) and a limit: averaging in each hop, fixed width, not trained to do it.

# %% [markdown]
# ### 4.4 In chunks (5 points)
#
# The scores of all queries against all keys are the largest tensor in attention: $B\, h\, T_q\, T_k$ numbers. But each
# query's output depends on its own row only. So go through the queries in chunks, and never hold more than
# $B\, h \cdot \mathrm{chunk} \cdot \max(T_q, T_k, d_k, d_v)$ numbers in one tensor. The result is **exact**, for every
# chunk size.
#
# The mask may have two to four axes, and an axis of size 1 that stands for all queries. Which rows of it belong to a
# chunk?
#
# <details><summary>Hint 1: questions</summary>
#
# The mask has the shape `(B, 1, 1, Tk)`, and you want rows 8 to 15 of it. What do you get if you slice its third axis, and
# what should you get? If you make it full first, how many elements does it have?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `torch.broadcast_to` (or `expand`) pretends that a tensor is larger: a view, of which nothing is copied, and which can be
# sliced like the real thing. `range` with a step, `split`, and `torch.cat`.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Forget the chunks and write attention for `(B, h, T, d_k)` tensors in three lines. Then put a loop around it which gives
# it a part of the queries and the same part of the mask, and collects what comes out. Test it with `chunk_size=3` and 7
# queries: is the last chunk, of one query, there?
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# 23 letters in envelopes of 5: `range(0, 23, 5)` gives 0, 5, 10, 15, 20, and a slice `20:25` of 23 letters has 3: slices
# may reach beyond the end. Loops that count whole envelopes, `23 // 5`, lose three letters.
# </details>

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

# %% nbgrader={"grade": false, "grade_id": "demo-chunk-sizes", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo(), torch.no_grad():
    query, key, value = (torch.randn(1, 4, 1024, 32) for _ in range(3))
    plain = memory_efficient_attention(query, key, value, chunk_size=1024)
    print(f"{'chunk size':>10s}{'largest tensor (elements)':>27s}{'MiB in float32':>16s}{'time (ms, median)':>19s}{'off by':>10s}")
    for chunk_size in (1, 16, 64, 256, 1024):
        with LargestTensor() as largest:
            found = memory_efficient_attention(query, key, value, chunk_size=chunk_size)
        run = partial(memory_efficient_attention, query, key, value, chunk_size=chunk_size)
        middle = times({"run": run}, repeats=3, warm=1)["run"][1]
        gap = (found - plain).abs().max()
        print(f"{chunk_size:10,}{largest.elements:27,}{largest.elements * 4 / 2**20:16.2f}{middle:19.1f}{gap:10.0e}")

# %% [markdown]
# Why does the largest tensor stop shrinking at small chunks? (What else is there?) And is a small chunk always slower? A
# chunk that fits into the processor's cache can even win.
#
# One honest remark: in *training* this loop saves less than it seems, because the backward pass keeps the weights of every
# chunk. Part 5 has the remedy: computing them again.
#
# ### 4.5 One fused kernel (2 points)
#
# `F.scaled_dot_product_attention` does the same in one call. On a GPU it chooses a kernel that goes through queries *and*
# keys in tiles and never writes the scores to memory (FlashAttention; Dao et al. 2022, arXiv 2205.14135). On a CPU it has
# such a kernel, too, for some cases. It returns no weights, because it never has them all.
#
# It takes q, k and v with heads already cut, a mask and a rate of dropout. Read its documentation for two things: what a
# float mask means to it, and whether it knows about eval mode.
#
# <details><summary>Hint 1: questions</summary>
#
# A float mask of 0 and 1 is legal there. What would it do to the scores? And who switches dropout off in eval mode, if the
# kernel is a function and not a module?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `help(F.scaled_dot_product_attention)`, at `attn_mask` and `dropout_p`. Your conversion of any mask to bool. A module
# knows its mode: `self.training`.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Inherit, keep everything before the scores and everything after the sum over values, and put one call between them. Your
# class needs to remember the rate of dropout as a number.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# If a score is 2.0 and a float mask holds 1 for "allowed" and 0 for "forbidden", adding gives 3.0 and 2.0: the forbidden
# one is as good as before. Nothing fails, nothing warns. A float mask that is *added* needs 0 and minus infinity.
# </details>

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
# ### 4.6 What each remedy costs, counted and timed
#
# First operations and bytes, which do not depend on the machine. torch counts the multiply-adds of one layer with
# $d = 64$, 4 heads; the bytes are those of the scores that are held at once, and of the cache that a writing model needs.

# %% nbgrader={"grade": false, "grade_id": "demo-count-variants", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def variant_counts(T, d=64, h=4, window=64, chunk=64):
    """For each kind of attention: (multiply-adds counted, bytes of scores held at once, bytes of the cache)."""
    x = torch.randn(1, T, d)
    q, k, v = (torch.randn(1, h, T, d // h) for _ in range(3))
    full, one = 4 * h * T * T, 4 * d // h  # bytes of all scores; bytes of one head's key
    projections = 4 * T * d * d
    return {
        "full": (multiply_adds(lambda: MultiHeadAttention(d, h)(x, x, x)), full, 2 * h * T * one),
        "grouped, g = 1": (multiply_adds(lambda: MultiQueryAttention(d, h)(x, x, x)), full, 2 * T * one),
        "window 64, as a mask": (
            multiply_adds(lambda: SlidingWindowAttention(d, h, window)(x, x, x)),
            full,
            2 * h * min(T, window) * one,
        ),
        "chunks of 64": (
            projections + multiply_adds(lambda: memory_efficient_attention(q, k, v, chunk_size=chunk)),
            4 * h * min(T, chunk) * T,
            2 * h * T * one,
        ),
    }


with demo():
    lengths = (64, 256, 1024, 2048)
    counts = {T: variant_counts(T) for T in lengths}
    print(f"{'':24s}" + "".join(f"{f'T = {T:,}':>16s}" for T in lengths))
    for i, unit in enumerate(("million multiply-adds", "KiB of scores at once", "KiB of cache")):
        scale = 1e6 if i == 0 else 2**10
        print(unit)
        for kind in counts[64]:
            print(f"  {kind:22s}" + "".join(f"{counts[T][kind][i] / scale:16,.1f}" for T in lengths))
    banded = [(4 * T * 64**2 + 2 * 64 * sliding_window_mask(T, 64).sum().item()) / 1e6 for T in lengths]
    print("million multiply-adds in theory, of a kernel that skips what a window forbids")
    print(f"  {'window 64, skipping':22s}" + "".join(f"{value:16,.1f}" for value in banded))
    for T in lengths:  # the formula: projections 2 d² + 2 d g d_k for each token, scores and values 2 T² d
        assert counts[T]["full"][0] == 4 * T * 64**2 + 2 * T**2 * 64, "formula and count differ"
        assert counts[T]["grouped, g = 1"][0] == T * (2 * 64**2 + 2 * 64 * 16) + 2 * T**2 * 64
    fig, axes = plt.subplots(1, 3, figsize=(13, 3.8))
    names = ("multiply-adds (million)", "scores held at once (KiB)", "cache (KiB)")
    for i, (ax, name) in enumerate(zip(axes, names)):
        for (kind, style), colour in zip(zip(counts[64], ("o-", "s--", "^:", "D-.")), COLOURS):
            ax.plot(lengths, [counts[T][kind][i] / (1e6 if i == 0 else 2**10) for T in lengths], style, color=colour, label=kind)
        if i == 0:
            ax.plot(lengths, banded, "x-", color=COLOURS[5], label="window 64, skipping (theory)")
        ax.set(xlabel="length T (tokens)", ylabel=name, xscale="log", yscale="log", title=name.split(" (")[0])
        ax.set_xticks(lengths, [f"{T:,}" for T in lengths])
        ax.minorticks_off()
    axes[0].legend(fontsize=8)
    fig.suptitle("One layer, d = 64, 4 heads, float32: what grows how")
    plt.show()

# %% [markdown]
# Read one column after the other: which remedy changes the operations, which the scores, which the cache? Lines that
# cover each other say that a remedy changes nothing there.
#
# Now the clock. On a CPU, with one thread and small sizes:

# %% nbgrader={"grade": false, "grade_id": "demo-speed", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo(), torch.no_grad():
    lengths, measured = (64, 128, 256, 512, 1024), []
    layers = {
        "dense": MultiHeadAttention(64, 4),
        "fused": FusedMultiHeadAttention(64, 4),
        "grouped, g = 1": MultiQueryAttention(64, 4),
        "window 64, as a mask": SlidingWindowAttention(64, 4, 64),
    }
    for length in tqdm(lengths, desc="lengths"):
        x, mask = torch.randn(4, length, 64), causal_mask(length)
        q, k, v = (torch.randn(4, 4, length, 16) for _ in range(3))
        runs = {name: partial(layer.eval(), x, x, x, mask) for name, layer in layers.items()}
        runs["chunks of 64, without projections"] = partial(memory_efficient_attention, q, k, v, mask, 64)
        measured.append(times(runs))
    fig, ax = plt.subplots(figsize=(9, 4.4))
    plot_times(ax, lengths, measured)
    ax.set(xlabel="length (tokens)", ylabel="time of a forward (ms, logarithmic)")
    ax.set_title("Causal self-attention on this machine, 4 texts, d = 64, 4 heads: medians and quartiles")
    ax.legend(fontsize=9)
    plt.show()
    base = measured[-1]["dense"][1]
    for name, (low, middle, high) in measured[-1].items():
        print(f"{name:34s}{middle:7.1f} ms at {lengths[-1]:,} tokens ({low:.1f} to {high:.1f}), dense / this {base / middle:.2f}")
    speed = {name: base / measured[-1][name][1] for name in measured[-1]}
    cached = counts[2048]["full"][2] / counts[2048]["grouped, g = 1"][2]
    print("\nFour claims that one reads, with the figures of this notebook:")
    print(f"  'A window makes attention linear': in theory {banded[-1]:.0f} instead of {counts[2048]['full'][0] / 1e6:.0f} million")
    print(f"      multiply-adds at 2,048 tokens; as a mask {speed['window 64, as a mask']:.2f} times as fast as dense: not by itself.")
    print(f"  'Shared heads are faster': here {speed['grouped, g = 1']:.2f} times as fast; the cache is {cached:.0f} times smaller.")
    print(f"  'Memory is what limits length': scores {counts[2048]['full'][1] // 2**20} MiB at 2,048 tokens for one text and one layer,")
    print(f"      {counts[2048]['chunks of 64'][1] / 2**20:.1f} MiB in chunks of 64.")
    print(f"  'The fused kernel is the one to use': {speed['fused']:.2f} times as fast as dense here, and no scores are held.")

# %% [markdown]
# What a CPU shows is honest, and narrow: one thread, tens of milliseconds, and kernels tuned for other sizes. On a GPU
# memory traffic decides, so what writes fewer scores gains much more than here, and windows gain where a kernel skips
# blocks. The counts of the cell above hold on every machine.

# %% [markdown]
# ## Part 5: training at scale
#
# After this part you can trade time for memory in training, and you know what half of the bits are enough for. Both
# techniques are a few lines, and both have traps.
#
# ### 5.1 Checkpointing (2 points)
#
# The backward pass needs what the forward pass computed, so a training step keeps it: scores, weights, the inside of every
# feed-forward network, in every layer. **Checkpointing** (Chen et al. 2016, arXiv 1604.06174) keeps only the input of each
# block, and runs the block a second time when its gradients are due. The result must be the same to the last bit, dropout
# included: the second run has to draw the same zeros as the first.
#
# `checkpoint(function, *args, use_reentrant=False)` from `torch.utils.checkpoint` does this for any function. Your class
# decides where, and when not: in eval mode there is no backward pass, and nothing to save.
#
# <details><summary>Hint 1: questions</summary>
#
# What is the unit that should be run again: the whole model, a block, or a line? And which of the two, `self.training` or
# `use_checkpoint`, must be looked at in `forward`, and which may be looked at in `__init__`?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `help(checkpoint)`. Your `GPTTransformer.forward` has one line that calls a block. Two ways: write a `forward` of your own
# with that line changed, or let the blocks be called through something that checkpoints, and reuse `super().forward`.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Whatever way you choose, look at `state_dict()` before and after a forward: the names must be those of `GPTTransformer`. A
# wrapper that stays in `transformer_blocks` puts its own name between, and saved weights no longer load.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# For `y = sin(exp(x))` the backward pass needs `exp(x)`. Kept: one number more. Checkpointed, `checkpoint(f, x,
# use_reentrant=False)` keeps `x` and computes `exp(x)` again: two calls of `f` for one gradient, and the same gradient.
# </details>

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

# %% nbgrader={"grade": false, "grade_id": "demo-saved-bytes", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def saved_bytes(model, ids):
    """Bytes that autograd keeps during one forward in training, without the parameters; each storage once."""
    kept, parameters = {}, {p.untyped_storage().data_ptr() for p in model.parameters()}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = (storage.nbytes(), storage)  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = model(ids).square().mean()
    del loss
    return sum(size for size, _ in kept.values())


with demo():
    ids = film_batch(torch.Generator().manual_seed(0), batch_size=16)["input_ids"].to(device)
    depths, kept, taken = (1, 2, 4, 8), {"plain": [], "checkpointed": []}, []

    def one_step(model):
        model(ids).square().mean().backward()

    for depth in tqdm(depths, desc="depths"):
        models = {
            name: film_gpt(CheckpointedGPT, depth, dropout=0.1, use_checkpoint=name == "checkpointed").train() for name in kept
        }
        for name, model in models.items():
            kept[name].append(saved_bytes(model, ids) / 2**20)
        taken.append(times({name: partial(one_step, model) for name, model in models.items()}, repeats=3, warm=1))
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.8))
    for (name, values), style in zip(kept.items(), ("o-", "s--")):
        axes[0].plot(depths, values, style, label=name)
        axes[1].plot(depths, [result[name][1] for result in taken], style, label=name)
    axes[0].set(xlabel="blocks", ylabel="kept for the backward pass (MiB)", ylim=(0, None), title="Memory, measured by hooks")
    axes[1].set(xlabel="blocks", ylabel="forward and backward (ms, median)", ylim=(0, None), title="Time on this machine")
    for ax in axes:
        ax.legend()
    plt.show()
    print(f"{'blocks':>6s}{'plain (MiB)':>14s}{'checkpointed (MiB)':>20s}{'ratio':>8s}{'time ratio':>12s}")
    for i, depth in enumerate(depths):
        ratio, slower = kept["plain"][i] / kept["checkpointed"][i], taken[i]["checkpointed"][1] / taken[i]["plain"][1]
        print(f"{depth:6d}{kept['plain'][i]:14.1f}{kept['checkpointed'][i]:20.1f}{ratio:8.1f}{slower:12.2f}")

# %% [markdown]
# A backward pass costs about two forwards, so a second forward should add a third to the time. Compare that with the last
# column: in a model as small as this one, drawing dropout twice and many small operations weigh more. What stays in memory
# with checkpointing are the inputs of the blocks, and the logits: 97 numbers a position here, 50,000 and more in a real
# vocabulary. While one block is run again its insides are there once more, which this measurement leaves out.
#
# ### 5.2 Mixed precision (2 points)
#
# A number in bfloat16 takes half the bytes of one in float32, and matrix products of such numbers are many times faster on
# hardware made for it. Not everything can be done in 16 bits: adding a step of 0.0001 to a weight of 1 changes nothing in
# bfloat16, whose next number after 1 is 1.0078. Hence *mixed* precision: **weights, gradients and optimizer state stay in
# float32, matrix products run in 16 bits.** `torch.autocast` does the casting inside its block.
#
# float16 has more digits, but ends at 65,504 and, more to the point, loses everything below 6e-8. Small gradients vanish.
# So the loss is multiplied by a large number before the backward pass, and the gradients divided by it afterwards:
#
#     scale the loss -> backward -> unscale -> clip -> step (skipped if something overflowed) -> update the scale
#
# Where in this chain must clipping stand, and why?
#
# <details><summary>Hint 1: questions</summary>
#
# If the gradients are 65,536 times too large when you clip them to norm 1, what remains of them after unscaling? Which
# parts of the step belong inside the autocast block: the forward, the backward, the optimizer?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `torch.amp.GradScaler` (with `enabled=False` all its methods do nothing, so one code serves both types) and the page
# "Automatic Mixed Precision examples" of torch's documentation, at *gradient clipping*. `torch.autocast` wants the *type*
# of a device, a string.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# Copy `train_step` of your trainer and mark its five actions: clear, loss, backward, clip, step. Only the second goes into
# the block. Three calls of the scaler replace or surround the last three.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# Prices in cents, a budget of 10 dollars, three bills of 5, 8 and 12 dollars. "Cap the sum at 10" before converting cents
# to dollars caps 2,500 cents at 10 cents. Convert first, cap then.
# </details>

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

# %% nbgrader={"grade": false, "grade_id": "demo-precision", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    precisions = {"float32": None, "bfloat16": torch.bfloat16}
    if torch.cuda.is_available():
        precisions["float16"] = torch.float16
    curves = {}
    for name, dtype in precisions.items():
        model, generator = film_gpt(), torch.Generator().manual_seed(1)
        trainer = TransformerTrainer(model) if dtype is None else MixedPrecisionTrainer(model, dtype=dtype)
        optimizer, start = optim.AdamW(model.parameters(), lr=3e-3), time.perf_counter()
        losses = [trainer.train_step(film_batch(generator), optimizer) for _ in tqdm(range(250), desc=name)]
        curves[name] = (losses, 1000 * (time.perf_counter() - start) / 250)
    fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.8))
    smooth = {name: np.convolve(losses, np.ones(10) / 10, "valid") / math.log(2) for name, (losses, _) in curves.items()}
    for (name, values), style in zip(smooth.items(), ("-", "--", ":")):
        axes[0].plot(range(10, 251), values, style, lw=2, label=name)
    gaps = 100 * (np.array(curves["bfloat16"][0]) / np.array(curves["float32"][0]) - 1)
    axes[1].plot(range(1, 251), gaps, lw=0.8, color=COLOURS[5])
    axes[1].axhline(0, color="grey", lw=1)
    axes[0].set(xlabel="training step", ylabel="training loss (bits a character)", title="Mean of 10 steps")
    axes[1].set(xlabel="training step", ylabel="difference (% of the loss)", title="bfloat16 against float32, step by step")
    axes[0].legend()
    plt.show()
    for name, (losses, milliseconds) in curves.items():
        bits = np.mean(losses[-50:]) / math.log(2)
        print(f"{name:9s} last 50 steps: {bits:.3f} bits a character, {milliseconds:.0f} ms a step")
    print(f"difference in one step: at most {abs(gaps).max():.1f} %, in the mean {gaps.mean():+.2f} %")
    a = torch.randn(512, 512)
    halves = (a.bfloat16(), a.bfloat16())
    middle = {k: v[1] for k, v in times({"float32": lambda: a @ a, "bfloat16": lambda: halves[0] @ halves[1]}).items()}
    print(f"a product of two 512 × 512 matrices: {middle['float32']:.1f} ms in float32, {middle['bfloat16']:.1f} ms in bfloat16")
    one = torch.tensor(1.0)
    for dtype in (torch.float16, torch.bfloat16):
        small = torch.tensor(1e-4, dtype=dtype)
        print(f"{str(dtype)[6:]:9s} 1 + 0.0001 = {(one.to(dtype) + small).item()}, 1e-8 becomes {torch.tensor(1e-8, dtype=dtype).item():.1e}")

# %% [markdown]
# Whether bfloat16 is *faster* here depends on the processor: many CPUs have no units for it, and then it is slower, while on
# a GPU of the last years it is several times faster. What the figure shows holds everywhere: the losses stay together.
#
# ### 5.3 Where does the time of a step go?

# %% nbgrader={"grade": false, "grade_id": "demo-profile", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
class OperationTimes(TorchDispatchMode):
    """Notes how long each operation takes that runs inside, in ms, in the forward and in the backward pass."""

    def __init__(self):
        super().__init__()
        self.taken = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        start = time.perf_counter()
        result = function(*args, **(kwargs or {}))
        self.taken.setdefault(str(function.overloadpacket), []).append(1000 * (time.perf_counter() - start))
        return result


with demo():
    model, generator = film_gpt(), torch.Generator().manual_seed(1)
    trainer, optimizer = TransformerTrainer(model), optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(3):
        trainer.train_step(film_batch(generator), optimizer)
    batch = film_batch(generator)
    start = time.perf_counter()
    with OperationTimes() as operations:
        trainer.train_step(batch, optimizer)
    clock = 1000 * (time.perf_counter() - start)
    total = sum(sum(taken) for taken in operations.taken.values())
    print(f"one training step: {total:.0f} ms in torch's operations ({clock:.0f} ms with what Python and the timing take)")
    print(f"{'operation':40s}{'time (ms)':>10s}{'share (%)':>11s}{'calls':>8s}")
    for name, taken in sorted(operations.taken.items(), key=lambda item: -sum(item[1]))[:12]:
        print(f"{name:40s}{sum(taken):10.2f}{100 * sum(taken) / total:11.1f}{len(taken):8d}")

# %% [markdown]
# Which share goes to matrix products (`mm`, `addmm`, `bmm`), and which to everything else? Autocast speeds up the first
# group only.
#
# **Question 6, precision (2 points).** From section 5.2 quote the largest and the mean difference between the two losses
# and say what each shows. Then explain with the last two lines of the output why the weights stay in float32, and why
# float16 needs a scaler and bfloat16 does not.
#
# *Marks:* 1 for the figures and their reading; 1 for the two explanations.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q6-precision", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* The losses differ by at most 0.8 % in a single step and by 0.05 % in the mean over 250 steps. The first
# says that rounding does change single steps, the second that it does so in both directions and does not add up: training
# does not go elsewhere. Weights stay in float32 because steps are small against them: in both 16-bit types 1 + 0.0001 gives
# 1.0, so that step would be lost, every time. float16 turns 1e-8 into 0, so small gradients vanish unless the loss is made
# large first, which is what the scaler does. bfloat16 keeps 1e-8, because it has as many bits for the exponent as float32:
# it is coarse, but it does not run out of small numbers, so there is nothing to scale.
#
# *For the marker.* 1 point: largest and mean difference from the notebook (they vary a little between machines), read as
# scatter without drift. 1 point: both explanations, each tied to a printed number.

# %% [markdown]
# ## Part 6: looking inside
#
# After this part you can take the attention out of a running model without leaving a trace, say in one number how
# focused a head is, and account for every parameter.
#
# ### 6.1 Instruments (3 points)
#
# Your encoder layers throw the attention weights away, as they should. **Forward hooks** get at them all the same: a
# function that torch calls after a module's forward, with its result. An instrument must not change what it measures: one
# forward, in eval mode, without gradients; and afterwards no hook is left, the mode is as before, and hooks of others are
# still there, also when the forward raised.
#
# The **entropy** of a row of weights says how many keys a query really looks at:
#
# $$H = -\sum_j w_j \ln w_j, \qquad 0 \le H \le \ln n, \qquad e^H = \text{effective number of keys} .$$
#
# **Statistics** count each parameter once. Where two modules share one, it belongs to the first.
#
# <details><summary>Hint 1: questions</summary>
#
# What is 0 · ln 0, in mathematics and in floating point? When a forward raises, which lines of your function still run?
# Two names for one tensor: how do you notice that you have met it before, if comparing tensors compares numbers?
# </details>
#
# <details><summary>Hint 2: where to look</summary>
#
# `register_forward_hook` returns a handle, and the handle knows how to remove its hook. `try: ... finally: ...`.
# `torch.xlogy`. `named_modules()`, `parameters(recurse=False)`, and Python's `id`.
# </details>
#
# <details><summary>Hint 3: one step</summary>
#
# A hook for each block puts the weights into a list; the order of the calls is the order of the blocks. Everything that
# must happen in any case stands under `finally`. For the statistics go through the modules once and carry along what you
# have met; the totals follow from it.
# </details>
#
# <details><summary>Hint 4: an example on other numbers</summary>
#
# Four keys with weights 0.5, 0.5, 0, 0: $H = 2 \cdot 0.5 \ln 2 + 0 = 0.69$, so the query looks at $e^{0.69} = 2$ keys. Two
# people with one bank account of 100 own 100 together, not 200: list the account under the first name and 0 under the
# second, and the list adds up.
# </details>

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

# %% nbgrader={"grade": false, "grade_id": "demo-statistics", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    for name, model in (("the GPT of part 3", film_gpt()), ("the same with torch's untied head", None)):
        if model is None:
            model = film_gpt()
            model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
        found = model_statistics(model)
        print(f"{name}: {found['total_parameters']:,} parameters, {found['parameter_bytes']:,} bytes")
        assert sum(layer["parameters"] for layer in found["layers"]) == found["total_parameters"]
    groups = Counter()
    for layer in model_statistics(film_gpt())["layers"]:
        groups[re.sub(r"transformer_blocks\.\d+\.", "blocks: ", layer["name"])] += layer["parameters"]
    for name, size in groups.items():
        print(f"  {name:34s}{size:8,}")

# %% [markdown]
# ### 6.2 The heads of your GPT
#
# The next cell feeds validation text to the trained GPT of part 3 and to an untrained one, and draws all heads for one
# text and the entropy of each head, beside the two limits: 0, and even attention over everything that a query may see.

# %% nbgrader={"grade": false, "grade_id": "demo-heads", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    ids = film_val_stream[: 40 * FILM_WINDOW].view(40, FILM_WINDOW).to(device)
    maps = attention_maps(writer, ids)
    text = film_text(ids[0, :24].tolist()).replace("\n", "↵").replace(" ", "␣")
    fig, axes = plt.subplots(2, 4, figsize=(13, 6.6), sharex=True, sharey=True)
    for layer, head in np.ndindex(2, 4):
        shown = heatmap(
            axes[layer, head], maps[layer, 0, head, :24, :24].sqrt(), f"layer {layer}, head {head}", "", "", list(text), list(text),
            vmin=0, vmax=1,
        )
        axes[layer, head].tick_params(labelsize=7)
        axes[layer, head].tick_params(axis="x", rotation=0)
    fig.supxlabel("key: the character looked at", fontsize=10)
    fig.supylabel("query: the character that looks", fontsize=10)
    bar = fig.colorbar(shown, ax=axes, label="attention weight")
    bar.set_ticks(np.sqrt([0, 0.05, 0.2, 0.5, 1]), labels=["0", "0.05", "0.2", "0.5", "1"])
    fig.suptitle("The eight heads of the trained GPT on one text; colours show the root of the weight, so that low ones are seen")
    plt.show()

# %% nbgrader={"grade": false, "grade_id": "demo-entropy", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    even = np.mean([math.log(i + 1) for i in range(FILM_WINDOW)])
    entropies = {
        "trained": attention_entropy(maps).mean(dim=1).flatten().tolist(),
        "untrained": attention_entropy(attention_maps(film_gpt(seed=1), ids)).mean(dim=1).flatten().tolist(),
    }
    names = [f"layer {layer}\nhead {head}" for layer, head in np.ndindex(2, 4)]
    fig, ax = plt.subplots(figsize=(10, 3.8))
    for shift, (name, values), hatch in zip((-0.2, 0.2), entropies.items(), ("", "//")):
        ax.bar(np.arange(8) + shift, values, width=0.38, label=name, hatch=hatch, edgecolor="white")
    ax.axhline(even, color="grey", lw=1, ls=":", label="even attention over all keys that may be seen")
    ax.set_xticks(range(8), names, fontsize=9)
    ax.set(ylabel="entropy (nats, mean over queries)", title="How focused each head is: 40 validation texts", ylim=(0, even * 1.25))
    ax.legend(fontsize=9, ncols=3)
    plt.show()
    before = [[maps[layer, :, head].diagonal(-k, 1, 2).mean().item() for k in range(4)] for layer, head in np.ndindex(2, 4)]
    print(f"{'':18s}{'entropy':>9s}{'effective keys':>16s}{'on itself':>11s}{'1 back':>8s}{'2 back':>8s}{'3 back':>8s}")
    for name, entropy, weights in zip(names, entropies["trained"], before):
        row = "".join(f"{w:>{n}.2f}" for w, n in zip(weights, (11, 8, 8, 8)))
        print(f"{name.replace(chr(10), ', '):18s}{entropy:9.2f}{math.exp(entropy):16.1f}{row}")
    print(f"{'even attention':18s}{even:9.2f}{math.exp(even):16.1f}")

# %% [markdown]
# Which heads read the character just before, which one spreads out? A head whose entropy stays at that of the untrained
# model has either learned nothing or an average, and the picture does not tell which. To find out, take it away and
# measure.

# %% nbgrader={"grade": false, "grade_id": "demo-take-heads-away", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    whole, costs = validation_bits(writer, 100), []
    for layer, head in np.ndindex(2, 4):
        crippled = deepcopy(writer)
        columns = slice(16 * head, 16 * head + 16)  # what w_o reads from this head
        with torch.no_grad():
            crippled.transformer_blocks[layer].self_attention.w_o.weight[:, columns] = 0
        costs.append(validation_bits(crippled, 100) - whole)
    fig, ax = plt.subplots(figsize=(10, 3.4))
    bars = ax.bar(range(8), costs, color=[COLOURS[0]] * 4 + [COLOURS[1]] * 4)
    ax.bar_label(bars, [f"{cost:+.2f}" for cost in costs], fontsize=9)
    ax.set_xticks(range(8), names, fontsize=9)
    ax.set(ylabel="bits a character lost", title="What the model loses when one head is silenced")
    plt.show()
    print(f"with all heads {whole:.2f} bits a character on the same 100 windows")

# %% [markdown]
# Where hardly anything is lost without any one head of a layer, does that layer do nothing? Not necessarily: the others may
# say the same. Silence all four of them and see.
#
# ### 6.3 How fast does it read?

# %% nbgrader={"grade": false, "grade_id": "demo-inference-profile", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def profile_inference(model, ids, runs=30):
    """Times of a forward in eval mode without gradients: total, mean, quartiles (ms), texts and tokens a second."""
    model.eval()
    clock = time.perf_counter if ids.is_cuda else time.process_time
    taken = []
    with torch.no_grad():
        for i in range(runs + 3):
            start = clock()
            model(ids)
            if ids.is_cuda:
                torch.cuda.synchronize()
            if i >= 3:
                taken.append(1000 * (clock() - start))
    low, median, high = np.percentile(taken, (25, 50, 75))
    figures = {"total": sum(taken), "mean": np.mean(taken), "lower quartile": low, "median": median, "upper quartile": high}
    assert abs(figures["mean"] * runs - figures["total"]) < 1e-6
    return figures | {"texts a second": 1000 * len(ids) / median, "tokens a second": 1000 * ids.numel() / median}


with demo():
    for batch in (1, 16):
        figures = profile_inference(film_gpt(), film_val_stream[: batch * FILM_WINDOW].view(batch, FILM_WINDOW).to(device))
        print(f"{batch} texts of 64 characters, times in ms")
        print("    " + ", ".join(f"{name} {value:,.1f}" for name, value in list(figures.items())[:5]))
        print("    " + ", ".join(f"{name} {value:,.0f}" for name, value in list(figures.items())[5:]))

# %% [markdown]
# Compare the tokens a second of the two lines. On a GPU sixteen texts win by far, because one text leaves most of it idle.
# On a CPU they may even lose: their tensors no longer fit into the processor's fast memory.
#
# ### 6.4 Reading a data sheet
#
# Published models come with a short list of sizes. Two of them, from their reports:
#
# | | Llama 2 7B (Touvron et al. 2023, arXiv 2307.09288) | Mistral 7B (Jiang et al. 2023, arXiv 2310.06825) |
# |---|---|---|
# | layers | 32 | 32 |
# | width d, query heads h | 4,096, 32 | 4,096, 32 |
# | key and value heads g | 32 | 8 |
# | feed-forward width (three matrices, SwiGLU) | 11,008 | 14,336 |
# | vocabulary | 32,000 | 32,000 |
# | window | none (length 4,096) | 4,096 |
#
# **Question 7, reading (4 points).** (a) For both models compute the parameters of one layer's attention (no biases) and
# of one layer's feed-forward network, and say what Mistral did with what it saved. (b) Compute the bytes of the cache of
# both at 32,768 tokens in 16 bits, first without regard to the window, then with a cache that forgets what left it. (c)
# Choose two heads of your GPT, quote entropy, a weight on an earlier character, and what is lost without them, and say
# what you may conclude and what not. (d) Name the cell of this notebook that was hardest for you, one wrong number or error
# message that you met, and its cause. If you used an assistant, say for what.
#
# *Marks:* 1 for each.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q7-reading", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* (a) Attention, Llama: 4 · 4,096² = 67,108,864. Mistral: w_q and w_o 2 · 4,096², w_k and w_v
# 2 · 4,096 · 1,024, together 41,943,040. Feed-forward, Llama: 3 · 4,096 · 11,008 = 135,266,304; Mistral: 3 · 4,096 · 14,336 =
# 176,160,768. Mistral saved 25 million a layer on keys and values and spent 41 million more on the feed-forward network. (b)
# Llama: 2 · 32 · 32 · 128 · 2 = 524,288 bytes a token, at 32,768 tokens 16 GiB (it was made for 4,096, so this is a thought
# experiment). Mistral: 131,072 bytes a token, 4 GiB; with a cache of the last 4,096 tokens 0.5 GiB, whatever the length. (c)
# Layer 0, head 1: entropy 1.31, weight 0.43 on the character before, and 0.59 bits lost without it. Layer 1, head 0:
# entropy 2.93 (even attention: 3.21), weight 0.06 on the character before, 0.01 bits lost. I may conclude that this model relies on the first head and could do without the second, on this data. I may not
# conclude that the second does nothing (the other heads of its layer may do the same), nor that low entropy means
# importance. (d) The hardest cell was `kv-cache`: one token at a time was right, but the check said "fed in pieces of (4,
# 5) tokens, piece 1 gets another output". My mask was the causal one for 5 keys, cut off on the right, when its diagonal
# had to begin at key 4. I used no assistant.
#
# *For the marker.* (a) 1 point: four numbers, and where the savings went. (b) 1 point: 16, 4 and 0.5 GiB (17.2, 4.3 and 0.54
# GB). (c) 1 point: two heads with all three figures, a conclusion no stronger than they allow. (d) 1 point: a concrete
# mistake with its cause. Declared use of an assistant costs nothing if the policy allows it.

# %% [markdown]
# ## Part 7 (optional): from GPT to Llama
#
# Between GPT-2 (2019) and the Llama models (2023 and after) the block changed in three places, besides the shared heads of
# section 4.1. There is nothing to fill in; the parts below are put into your own GPT one after the other.
#
# - **RMSNorm** (Zhang and Sennrich 2019, arXiv 1910.07467) leaves out the mean and the bias:
#   $x / \sqrt{\mathrm{mean}(x^2) + \epsilon} \cdot \gamma$.
# - **Rotary positions** (Su et al. 2021, arXiv 2104.09864) add nothing to the tokens. They turn each pair of features of
#   queries and keys by an angle that grows with the position, so that a score depends on the *distance* of two tokens.
# - **SwiGLU** (Shazeer 2020, arXiv 2002.05202) lets one half of the feed-forward network decide what passes of the other:
#   $W_2\, (\mathrm{SiLU}(W_1 x) \odot W_3 x)$.

# %% nbgrader={"grade": false, "grade_id": "setup-llama", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
class RMSNorm(nn.Module):
    """x divided by its root mean square, times a learned scale."""

    def __init__(self, d_model, eps=1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d_model)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.eps) * self.weight


class Rotary(nn.Module):
    """Turns pairs of neighbouring features of each head by angles that grow with the position."""

    def __init__(self, d_k, base=10000):
        super().__init__()
        self.register_buffer("frequency", base ** (-torch.arange(0, d_k, 2) / d_k), persistent=False)  # (d_k / 2,)

    def forward(self, x):
        """x (B, T, heads * d_k), as a projection gives it."""
        pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))  # a pair of features as one complex number
        frequency = self.frequency.repeat(pairs.size(-1) // len(self.frequency))
        angle = torch.arange(x.size(1), device=x.device)[:, None] * frequency
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).view(x.shape)


class SwiGLU(nn.Module):
    """A feed-forward network with a gate; three matrices of 2/3 of the width have as many numbers as two of it."""

    def __init__(self, d_model, d_ff):
        super().__init__()
        width = 2 * d_ff // 3
        self.gate, self.up = (nn.Linear(d_model, width, bias=False) for _ in range(2))
        self.down = nn.Linear(width, d_model, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


def modern_gpt(changes):
    """Your GPT with some of its parts exchanged: a set of "grouped", "RMSNorm", "SwiGLU", "rotary"."""
    model = film_gpt()
    for block in model.transformer_blocks:
        if "grouped" in changes:
            block.self_attention = GroupedQueryAttention(64, 4, 2, dropout=0.0)
        if "RMSNorm" in changes:
            block.norm1, block.norm2 = RMSNorm(64), RMSNorm(64)
        if "SwiGLU" in changes:
            block.feed_forward = SwiGLU(64, 256)
        for module in block.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
        if "rotary" in changes:
            attention = block.self_attention
            attention.w_q, attention.w_k = (nn.Sequential(w, Rotary(16)) for w in (attention.w_q, attention.w_k))
    if "RMSNorm" in changes:
        model.layer_norm = RMSNorm(64)
    if "rotary" in changes:  # then positions are nowhere else
        nn.init.zeros_(model.position_embedding.weight).requires_grad_(False)
    return model.to(device)

# %% nbgrader={"grade": false, "grade_id": "demo-llama", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    q, k = (Rotary(16)(torch.randn(1, 1, 16).repeat(1, 24, 1)) for _ in range(2))  # one vector at 24 places
    spread = max((q @ k.transpose(-2, -1))[0].diagonal(-n).std().item() for n in range(20))
    print(f"rotary: at all places with one distance, a query and a key score the same within {spread:.0e}")

    steps = ("grouped", "RMSNorm", "SwiGLU", "rotary")
    fig, ax = plt.subplots(figsize=(9.5, 4))
    for n, style in zip(range(5), ("-", "--", "-.", ":", "-")):
        name = "your GPT" if n == 0 else f"+ {steps[n - 1]}" + (" = Llama" if n == 4 else "")
        model = modern_gpt(steps[:n])
        size = sum(p.numel() for p in model.parameters() if p.requires_grad)
        history, _ = train_on_film(model, 400, every=50, description=name)
        at, _, bits = zip(*history)
        ax.plot(at, bits, style, lw=2, label=f"{name} ({size:,} parameters)")
        print(f"{name:18s}{size:9,} parameters, {bits[-1]:.2f} bits a character after {at[-1]} steps")
    ax.set(xlabel="training step (batches of 16 windows)", ylabel="bits a character, validation")
    ax.set_title("From GPT to Llama, one change after the other (one run each)")
    ax.legend(fontsize=9)
    plt.show()

# %% [markdown]
# One run each says little about small differences: repeat it with another seed before you believe one. RMSNorm was chosen
# for speed, shared heads for memory, not for quality. Which change is larger than the others? Rotary positions know about
# distance from the first step; a table must learn it place by place.
#
# ### Where to go from here
#
# - *Longer texts*: ALiBi (Press et al. 2021, arXiv 2108.12409), attention sinks (Xiao et al. 2023, arXiv 2309.17453), ring
#   attention (Liu et al. 2023, arXiv 2310.01889).
# - *Smaller caches*: multi-head latent attention (DeepSeek-V2, 2024, arXiv 2405.04434), paged caches (Kwon et al. 2023,
#   arXiv 2309.06180).
# - *More parameters for the same work*: mixtures of experts (Shazeer et al. 2017, arXiv 1701.06538; Mixtral, Jiang et al.
#   2024, arXiv 2401.04088).
# - *Without attention*: Mamba (Gu and Dao 2023, arXiv 2312.00752).
# - *Inside*: induction heads (Olsson et al. 2022, arXiv 2209.11895). A GPT of two layers like yours can have them.
# - The notebook `llm-internals` of this course takes a real model of the Llama type apart.
#
# ### Before you hand in
#
# Save the notebook, then run the last cell. It lists the quick checks that passed in this session and the answers that are
# still empty in the saved file. In a terminal in the course's folder,
# `python -m autograder check attention-variants/attention_variants.ipynb` runs the quick checks afresh and lists what is
# missing. Hand in the `.ipynb` file.

# %% jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "demo-checklist", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
import json

COMPONENTS = """causal_mask padding_mask MultiHeadAttention TransformerEncoderLayer TransformerDecoderLayer Transformer
greedy_translate GPTTransformer TransformerTrainer generate_text GroupedQueryAttention MultiQueryAttention CachedAttention
cache_bytes sliding_window_mask SlidingWindowAttention memory_efficient_attention FusedMultiHeadAttention CheckpointedGPT
MixedPrecisionTrainer attention_maps attention_entropy model_statistics""".split()
for name in COMPONENTS:
    results = [passed for title, passed in CHECKS.items() if title.startswith(f"{name}:")]
    print(f"{name:30s}" + ("not run" if not results else "quick checks passed" if all(results) else "QUICK CHECKS FAIL"))

print()
saved = Path("attention_variants.ipynb")
if saved.is_file():
    for cell in json.loads(saved.read_text(encoding="utf-8"))["cells"]:
        about, text = cell["metadata"].get("nbgrader", {}), "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown" and about.get("solution"):
            empty = text in ("", "YOUR ANSWER HERE")
            print(f"{about['grade_id']:30s}" + ("EMPTY" if empty else f"{len(text.split())} words"))
else:
    print(f"No file named {saved} here, so the written answers were not looked at.")
