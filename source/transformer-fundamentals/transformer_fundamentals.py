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
# # Transformer fundamentals
#
# You build a transformer encoder from its parts: tokenizer, embeddings, position encodings, attention, layer
# normalisation, the block, the model, the training loop. Then you train it on real film reviews, measure it against a
# much simpler model, and find out with an experiment which of its parts it cannot do without.
#
# **What you need**: Python, the chain rule, matrix products, and having trained some network in PyTorch before.
#
# **Working time.** Count on 9 to 12 hours in all. An estimate by part:
#
# | part | what you do | hours | points |
# |---|---|---|---|
# | 1 | why transformers: read, run, look | ½ | |
# | 2 | tokenization and embeddings: 4 cells to fill in | 2 | 22 |
# | 3 | attention: 2 cells | 2 | 24 |
# | 4 | the block: 3 cells | 1 ½ | 16 |
# | 5 | the model and its training: 2 cells | 2 ½ | 18 |
# | 6 | critical analysis: 10 written answers | 2 | 20 |
#
# A finished notebook runs from top to bottom in two to three minutes on one core.
#
# **How hints work.** Above each cell that you fill in there are closed hints. The first asks a question, the next
# ones name the operation, the last shows the shape of the line. Open one at a time, and try before you open the next.
#
# **How you fill in cells.** Replace each `raise NotImplementedError()` with your own lines and leave the names,
# arguments and results as they are. You may add helper functions, further attributes, arguments with defaults, and
# cells of your own. Cells without such a line are locked; what you change there is undone before grading.
#
# **How grading works.** 80 points are given automatically, 20 by a person who reads your answers in part 6. Below
# each cell that you fill in, a cell with a few quick checks tells you whether names and shapes are right. Passing
# them is necessary, not enough: hidden tests look at values and behaviour too, and they decide the points. A mistake
# costs you once. Where an early cell is wrong, the cells that build on it are also tried with a correct version of
# that cell. Cells without points may fail, be slow, or be left out without cost.
#
# <!-- INSTRUCTORS: the course policy on help from AI in the next cell is the same in every notebook: edit it in autograder/notebooks/parts/help_from_ai.md. -->

# %% [markdown]
# <!-- shared part help_from_ai (fffbc44f) -->
# > **Course policy on help from AI.** You may ask an assistant to explain an idea, an error message or a function of a
# > library, as you would ask a fellow student. The code in the cells that you fill in and the words of your written
# > answers must be your own, and you must be able to explain every line. If you used an assistant, say for what at the
# > end of the answer concerned. If you are unsure whether something is allowed, ask before you hand it in.
# <!-- end of help_from_ai -->

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
PACKAGES = {"torch": "2.2", "numpy": "1.26", "matplotlib": "3.8", "tqdm": "4.60", "scikit-learn": "1.3"}
DATA_FILES = {  # and their SHA-256
    "movie_snippets/train.tsv": "5cb715538926e6aaa551c069468fb69ade4f21c02a4cbafa36cd3edc36c98f66",
    "movie_snippets/validation.tsv": "7bd40773e652a614496e722a59e4fce0a51b70df8cc177dbf7e04694f185680b",
    "clause_order/train.tsv": "60eac1d922966cdd29bba194646c0c5de71932912bf686307bdaa306810d2848",
    "clause_order/validation.tsv": "c772db9f4a6fa4d4b1bf6185d24ecd43c0d0bcf98be6cf3cba155c4489177b9d",
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
# `nn`, `F`, `optim`, `math`, `re`, `np`, `Counter`, `tqdm`) and defines the quick checks and the progress bar.
# Nothing to fill in.

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
from torch.utils.data import DataLoader, Dataset

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

# %% [markdown]
# Two data sets come with the notebook, each divided into training and validation rows.
#
# - `movie_snippets`: sentences from film reviews, with labels from the mean rating of several people, 1 = positive, 0
#   = negative (Hutto and Gilbert 2014, *VADER*, ICWSM).
# - `clause_order`: made for this course. Each text is a few short sentences with one opinion each, and only the
#   **last opinion** decides the label. Every text has a partner with the same words and the same pairs of
#   neighbouring words, and the opposite label. `data/README.md` says more about both.

# %% nbgrader={"grade": false, "grade_id": "setup-data", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
DATA = Path("data")


def read_rows(name, split):
    """The rows of data/<name>/<split>.tsv as a list of (text, label)."""
    path = DATA / name / f"{split}.tsv"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: start Jupyter in the folder that holds this notebook and its data folder."
        )
    lines = path.read_text(encoding="utf-8").split("\n")[1:]  # without the header
    return [(text, int(label)) for label, text in (line.split("\t", 1) for line in lines if line)]


movie_train, movie_val = read_rows("movie_snippets", "train"), read_rows("movie_snippets", "validation")
clause_train, clause_val = read_rows("clause_order", "train"), read_rows("clause_order", "validation")

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


def module_calls(model, *inputs):
    """Run the model once and list the parts in the order in which they were called.

    Returns a list of (group, part, class name, output shape, number of parameters). Dropout is left out.
    """
    calls, hooks = [], []

    def watch(group, name, module):
        def note(module, _, output):
            first = output[0] if isinstance(output, tuple) else output
            size = sum(p.numel() for p in module.parameters())
            calls.append((group, name, type(module).__name__, tuple(first.shape), size))

        if not isinstance(module, nn.Dropout):
            hooks.append(module.register_forward_hook(note))

    for name, child in model.named_children():
        if isinstance(child, nn.ModuleList):
            for i, block in enumerate(child):
                for part, module in block.named_children():
                    watch(f"{name}[{i}]", part, module)
        elif any(child.children()):
            for part, module in child.named_children():
                watch(name, part, module)
        else:
            watch("", name, child)
    with torch.no_grad():
        model(*inputs)
    for hook in hooks:
        hook.remove()
    return calls


def draw_modules(model, *inputs, title):
    """Draw the parts of a model bottom up, in the order of their calls; of a list of equal blocks, only the first."""
    calls = module_calls(model, *inputs)
    repeats = {name: len(child) for name, child in model.named_children() if isinstance(child, nn.ModuleList)}
    shown = [call for call in calls if not re.search(r"\[[1-9]\d*\]", call[0])]
    fig, ax = plt.subplots(figsize=(9, 0.5 * len(shown) + 1.2))
    colours = dict(zip(dict.fromkeys(call[2] for call in shown), plt.get_cmap("Pastel1").colors * 3))
    for y, (_, name, kind, shape, size) in enumerate(shown):
        ax.add_patch(plt.Rectangle((0, y + 0.1), 6, 0.8, facecolor=colours[kind], edgecolor="black"))
        ax.text(0.1, y + 0.5, f"{name}: {kind}" if name != kind else kind, va="center")
        ax.text(5.9, y + 0.5, f"{size:,} parameters", va="center", ha="right", fontsize=9)
        ax.text(6.3, y + 0.5, "output " + " × ".join(map(str, shape)), va="center", fontsize=9, color="#444444")
        if y:
            ax.annotate("", (3, y + 0.12), (3, y - 0.12), arrowprops={"arrowstyle": "->"})
    for group in dict.fromkeys(call[0] for call in shown if call[0]):
        rows = [y for y, call in enumerate(shown) if call[0] == group]
        times = repeats.get(group.split("[")[0], 1)
        ax.add_patch(plt.Rectangle((-0.15, rows[0] - 0.02), 6.3, len(rows) + 0.04, fill=False, linestyle="--"))
        ax.text(
            -0.25,
            np.mean(rows) + 0.5,
            group.split("[")[0] + (f"\n× {times}" if times > 1 else ""),
            ha="right",
            va="center",
        )
    ax.set(xlim=(-2.4, 8.4), ylim=(-0.2, len(shown) + 0.1), title=title)
    ax.axis("off")
    plt.show()

# %% nbgrader={"grade": false, "grade_id": "demo-versions", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, numpy {np.__version__}")
print(f"movie_snippets: {len(movie_train):,} training and {len(movie_val):,} validation rows")
print(f"clause_order:   {len(clause_train):,} training and {len(clause_val):,} validation rows")

# %% [markdown]
# ## Part 1: why transformers
#
# After this part you can say what a transformer does differently from a recurrent network, what that buys and what it
# costs, and why it needs to be told about word order. There is nothing to fill in. You will use the numbers later.
#
# ### 1.1 A chain, or all pairs
#
# A recurrent network (RNN) reads one token after the other and keeps one state vector. What the first token says
# reaches the tenth through nine updates of that state. Self-attention compares every token with every other directly.

# %% jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "demo-rnn-picture", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
words = ["the", "film", "I", "saw", "was", "good"]
fig, axes = plt.subplots(1, 2, figsize=(11, 3.6))
for ax in axes:
    ax.scatter(range(len(words)), [0] * len(words), s=900, color="#DDDDDD", edgecolor="black", zorder=3)
    for x, word in enumerate(words):
        ax.text(x, 0, word, ha="center", va="center", zorder=4)
    ax.set(xlim=(-0.6, 5.6), ylim=(-0.6, 2.1), xlabel="position in the sentence", yticks=[])
    ax.spines["left"].set_visible(False)
for x in range(len(words) - 1):
    axes[0].annotate("", (x + 0.72, 0), (x + 0.28, 0), arrowprops={"arrowstyle": "->", "color": COLOURS[5], "lw": 2.5})
for left in range(len(words)):
    for right in range(left + 1, len(words)):
        t = np.linspace(0, np.pi, 40)
        strong = (left, right) == (1, 5)
        axes[1].plot(
            (left + right) / 2 - np.cos(t) * (right - left) / 2,
            0.25 + np.sin(t) * (right - left) * 0.32,
            color=COLOURS[0],
            lw=3 if strong else 1,
            alpha=1 if strong else 0.45,
        )
axes[0].set_title(f"RNN: from 'film' to 'good' in {5 - 1} steps, one after the other")
axes[1].set_title(f"self-attention: {len(words) * (len(words) - 1) // 2} pairs, each one step apart, all at once")
plt.show()

# %% [markdown]
# Left, the arrows form a chain: the longest path has as many steps as there are tokens. Right, every path has one
# step (the thick one joins *film* and *good*), but the number of pairs grows with the square of the length.
#
# How long does each take, and how much of the first token's signal is left at the end? The next cell measures both on
# your machine: an RNN, self-attention for all tokens at once, and the same attention computed one query at a time.

# %% nbgrader={"grade": false, "grade_id": "demo-parallel-timing", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
torch.manual_seed(0)
width, lengths = 64, [16, 32, 64, 128, 256, 512, 1024, 2048]
rnn, project = nn.RNN(width, width, batch_first=True), nn.Linear(width, 3 * width)


def attend_at_once(x):
    q, k, v = project(x).chunk(3, dim=-1)
    return F.softmax(q @ k.transpose(-2, -1) / math.sqrt(width), dim=-1) @ v


def attend_in_a_loop(x):
    q, k, v = project(x).chunk(3, dim=-1)
    rows = [F.softmax(q[:, i : i + 1] @ k.transpose(-2, -1) / math.sqrt(width), dim=-1) @ v for i in range(x.size(1))]
    return torch.cat(rows, dim=1)


def milliseconds(function, x, repeats=5):
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function(x)
        times.append(1000 * (time.perf_counter() - start))
    return min(times)  # the best of several: other programs can only make it slower


ways = {
    "RNN (must be a loop)": rnn,
    "attention, one query at a time": attend_in_a_loop,
    "attention, all at once": attend_at_once,
}
with torch.no_grad():
    timings = {name: [milliseconds(f, torch.randn(1, n, width)) for n in lengths] for name, f in ways.items()}


def gradient_by_distance(layer, length=64, draws=20):
    """Mean size of d(last output) / d(input) by distance of the input from the end."""
    sizes = torch.zeros(length)
    for _ in range(draws):
        x = torch.randn(1, length, width, requires_grad=True)
        output = layer(x)
        output = output[0] if isinstance(output, tuple) else output
        (gradient,) = torch.autograd.grad((output[0, -1] * torch.randn(width)).sum(), x)
        sizes += gradient[0].norm(dim=-1).flip(0) / draws
    return sizes


reach = {"RNN": gradient_by_distance(rnn), "attention": gradient_by_distance(attend_at_once)}

fig, axes = plt.subplots(1, 2, figsize=(11, 4.2))
for (name, values), style in zip(timings.items(), ("o-", "s--", "^-")):
    axes[0].plot(lengths, values, style, label=name)
axes[0].set(
    xscale="log",
    yscale="log",
    xlabel="sequence length (tokens)",
    ylabel="time for one forward pass (ms)",
    title=f"Measured here: one layer, width {width}, one thread",
)
axes[0].set_xticks(lengths, lengths, rotation=45)
axes[0].minorticks_off()
for (name, sizes), style, colour in zip(reach.items(), ("-", "-"), (COLOURS[0], COLOURS[2])):
    axes[1].plot(range(len(sizes)), sizes, style, color=colour, label=name)
axes[1].set(
    yscale="log",
    xlabel="distance from the last token (tokens)",
    ylabel="size of the gradient",
    title="How much the last output feels an earlier input (untrained layers)",
)
for ax in axes:
    ax.legend()
plt.show()

print("tokens  " + "  ".join(f"{name:>31}" for name in timings))
for i, n in enumerate(lengths):
    print(f"{n:6d}  " + "  ".join(f"{values[i]:28.2f} ms" for values in timings.values()))
chain, at_once = timings["RNN (must be a loop)"], timings["attention, all at once"]
slower = [n for n, a, b in zip(lengths, at_once, chain) if a > b]
print(
    f"\nAt {lengths[0]} tokens attention takes {at_once[0] / chain[0]:.2f} times as long as the RNN, at {lengths[-1]} tokens "
    f"{at_once[-1] / chain[-1]:.2f} times."
    + (f" It was slower at {', '.join(map(str, slower))} tokens." if slower else "")
)
far = {name: (sizes[40] / sizes[1]).item() for name, sizes in reach.items()}
print(f"Gradient at distance 40, relative to distance 1: RNN {far['RNN']:.1e}, attention {far['attention']:.2f}.")

# %% [markdown]
# Left, compare the slopes: the time of the RNN grows in proportion to the length, while that of attention done at
# once becomes steeper, because its work is quadratic. The sentence below the table says whether, and from what
# length, that costs it its lead on your machine. The dashed line is the same attention without its advantage. One
# thread of a CPU hides much of that advantage; a GPU does thousands of products side by side. When a transformer
# *generates* text, it too must go token by token. Right, see whether the gradient fades with distance. Gated RNNs
# such as the LSTM were made to slow that fading.
#
# ### 1.2 The parts
#
# The picture below is not drawn by hand: it runs a small encoder made of PyTorch's own modules, and draws each part
# when it is called, with the shape of its output (batch × tokens × features). You will build each of them yourself.

# %% nbgrader={"grade": false, "grade_id": "demo-architecture", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
class TorchEncoder(nn.Module):
    """A transformer encoder with a classifier, from PyTorch's own parts."""

    def __init__(self, vocab_size=1000, d_model=64, num_layers=2):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(32, d_model)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(d_model, 8, 256, batch_first=True) for _ in range(num_layers)
        )
        self.classifier = nn.Linear(d_model, 2)

    def forward(self, ids):
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(ids.size(1)))
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean(dim=1))


draw_modules(
    TorchEncoder(),
    torch.randint(1000, (4, 16)),
    title="A transformer encoder while it reads 4 texts of 16 tokens: its parts in the order of their calls",
)

# %% [markdown]
# Read it from the bottom. See that every block takes 4 × 16 × 64 numbers and gives as many back, which is why blocks
# can be stacked. Token and position vectors are added. Not drawn: dropout, and the two residual connections of each
# block, which carry the input of attention and that of the two feed-forward layers around them to the norm that
# follows.
#
# ### 1.3 Attention does not see order
#
# *The cat sat on the mat* and *the mat sat on the cat* hold the same words. Attention treats its input as a set:
# permuting the input permutes the output and changes nothing else. In symbols, for a permutation $P$,
# $\mathrm{attention}(PX) = P\,\mathrm{attention}(X)$. The average over the tokens, which a classifier may use, is
# then the same.
#
# This holds for attention without a causal mask. The cell tests it, then adds a different vector to each position.

# %% nbgrader={"grade": false, "grade_id": "demo-order", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
torch.manual_seed(0)
first, second = "the cat sat on the mat".split(), "the mat sat on the cat".split()
vectors = {word: torch.randn(16) for word in sorted(set(first))}
place = torch.randn(6, 16)  # any vectors that differ from position to position


def plain_attention(x):
    return F.softmax(x @ x.T / math.sqrt(x.size(-1)), dim=-1) @ x


def embed(sentence):
    return torch.stack([vectors[word] for word in sentence])


permutation = torch.randperm(6)
rows = []
for name, added in (("words only", torch.zeros(6, 16)), ("words and positions", place)):
    one, two = plain_attention(embed(first) + added), plain_attention(embed(second) + added)
    moved = plain_attention(embed(first)[permutation] + added)
    rows.append((name, (moved - one[permutation]).abs().max().item(), (one.mean(0) - two.mean(0)).abs().max().item()))
print(f"{'':22s}{'attention(PX) - P attention(X)':>32s}{'difference of the two averages':>33s}")
for name, equivariance, average in rows:
    print(f"{name:22s}{equivariance:32.1e}{average:33.1e}")

# %% [markdown]
# Read the table by rows. With words alone both differences should be rounding errors (around 1e-7): the two sentences
# cannot be told apart. With positions added, both should be large. Part 2 chooses those position vectors with more
# care.

# %% [markdown]
# ## Part 2: tokenization and embeddings
#
# After this part you can turn a sentence into a tensor that a transformer reads: ids, vectors, vectors that know
# their place. You will also see why the size of the initial weights decides whether order can be learnt at all.
#
# ### 2.1 A word-level tokenizer (6 points)
#
# A network reads numbers, so each word gets an id. Three ids are reserved:
#
# | token | id | meaning |
# |---|---|---|
# | `<PAD>` | 0 | fills a short text up to the common length; carries no meaning |
# | `<UNK>` | 1 | stands for every word that is not in the vocabulary |
# | `<CLS>` | 2 | stands at the start of every text |
#
# Real systems use subwords; words keep this notebook short. Two details matter more than they look:
#
# - **Punctuation is set off.** If `good.` and `good` were different words, a model that saw only one of them would
#   read `<UNK>` for the other.
# - **The vocabulary comes from the training texts only.** A word that occurs only in validation texts must be
#   unknown, as it would be in use.
#
# Example, with a vocabulary that knows `a`, `film` and `.`, and `max_length=8`:
#
#     "A  fine film."    the text
#     "a fine film ."    after clean_text
#     [2, id of "a", 1, id of "film", id of ".", 0, 0, 0]    after tokenize
#
# <details><summary>Hint 1: a question</summary>
#
# What must still be true of `vocab` and `inverse_vocab` after `build_vocab` was called a second time, with other
# texts? And which words share a place if two are equally frequent?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# For `clean_text`, one regular expression can find any of the eight marks and put spaces around what it found;
# `split` without an argument takes care of every kind of white space. For `build_vocab`, a `Counter` counts; the
# documentation of its `most_common` says what happens with ties. For `tokenize`, a dictionary's `get` has a second
# argument.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# `re.sub(r"([...])", r" \1 ", ...)` keeps what a group caught. Counting:
# `Counter(word for text in ... for word in ...)`. Padding: a list plus `[pad] * how_many_are_missing`, after cutting
# with `[:max_length]`.
# </details>

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
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("SimpleTokenizer: special tokens and clean text"):
    tokenizer = SimpleTokenizer(vocab_size=50)
    cleaned = tokenizer.clean_text('(An "odd"  Plot):\twhy; not?')
    check_type(cleaned, str, "clean_text(...)")
    assert cleaned == '( an " odd " plot ) : why ; not ?', (
        f"clean_text gives {cleaned!r}: lower case, marks set off, single spaces?"
    )
    tokenizer.build_vocab(["One film."])
    check_type(tokenizer.vocab, dict, "vocab")
    check_type(tokenizer.inverse_vocab, dict, "inverse_vocab")
    found = [tokenizer.vocab.get(word) for word in ("<PAD>", "<UNK>", "<CLS>")]
    assert found == [0, 1, 2], f"<PAD>, <UNK> and <CLS> should have the ids 0, 1, 2, but have {found}."
    assert tokenizer.inverse_vocab == {i: w for w, i in tokenizer.vocab.items()}, "inverse_vocab does not undo vocab."

with public_check("SimpleTokenizer: vocabulary by frequency"):
    tokenizer = SimpleTokenizer(vocab_size=6)
    tokenizer.build_vocab(["dull plot dull cast", "plot dull score"])
    assert len(tokenizer.vocab) == 6, (
        f"vocab_size=6 counts the three special tokens too, but vocab has {len(tokenizer.vocab)} entries."
    )
    ranked = [tokenizer.inverse_vocab.get(i) for i in (3, 4, 5)]
    assert ranked == ["dull", "plot", "cast"], f"ids 3, 4, 5 should be dull, plot, cast, but are {ranked}."
    tokenizer.build_vocab(["red red blue"])
    assert sorted(tokenizer.vocab.values()) == [0, 1, 2, 3, 4], (
        "building twice should start afresh, with ids 0, 1, 2, ... and no gaps."
    )

with public_check("SimpleTokenizer: tokenize and decode"):
    ids = tokenizer.tokenize("Red, blue", max_length=7)
    check_type(ids, list, "tokenize(...)")
    assert all(type(i) is int for i in ids), "tokenize should return plain ints."
    assert ids == [2, 3, 1, 4, 0, 0, 0], f"'Red, blue' should become [2, 3, 1, 4, 0, 0, 0], but becomes {ids}."
    assert tokenizer.tokenize("red blue red", max_length=2) == [2, 3], (
        "a long text should be cut to exactly max_length ids."
    )
    assert len(tokenizer.tokenize("red")) == 128, "max_length should be 128 if nothing else is said."
    assert tokenizer.decode(ids) == "red <UNK> blue", f"decode gives {tokenizer.decode(ids)!r} for {ids}."

# %% nbgrader={"grade": false, "grade_id": "demo-tokenizer", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    tokenizer = SimpleTokenizer(5000)
    tokenizer.build_vocab([text for text, _ in movie_train])
    for text, _ in movie_val[:2]:
        ids = tokenizer.tokenize(text, max_length=24)
        print(f"text     {text}\nids      {ids}\ndecoded  {tokenizer.decode(ids)}\n")

    counts = Counter(word for text, _ in movie_train for word in tokenizer.clean_text(text).split())
    ranked = [word for word, _ in counts.most_common()]
    unseen_text = Counter(word for text, _ in movie_val for word in tokenizer.clean_text(text).split())
    sizes = [50, 100, 200, 500, 1000, 2000, 5000, 10000, len(ranked) + 3]
    unknown = [
        100 - 100 * sum(unseen_text[word] for word in ranked[: size - 3]) / unseen_text.total() for size in sizes
    ]
    fig, ax = plt.subplots(figsize=(7, 3.6))
    ax.plot(sizes, unknown, "o-")
    ax.set(
        xscale="log",
        ylim=(0, None),
        xlabel="vocabulary size (entries, special tokens included)",
        ylabel="unknown words (%)",
        title="Share of the words in validation texts that become <UNK>",
    )
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45)
    ax.minorticks_off()
    plt.show()
    print(
        f"With 5,000 entries {unknown[6]:.1f} % of the validation words are unknown, with all {sizes[-1]:,} still {unknown[-1]:.1f} %."
    )

# %% [markdown]
# See that the curve does not reach zero: the last point holds every training word, and some words of new texts are
# not among them.
#
# ### 2.2 Token embedding (4 points)
#
# Each id gets a vector of $d$ = `d_model` numbers, which are learnt. Vaswani et al. multiply it by $\sqrt{d}$:
#
# $$\mathrm{TokenEmbedding}(t) = \sqrt{d}\; E_t, \qquad E \in \mathbb{R}^{V \times d}, \quad E_{t,i} \sim \mathcal{N}(0, \sigma^2).$$
#
# What should $\sigma$ be? The position encodings of the next section are sines and cosines, of size about 0.7, and
# will be *added* to these vectors. To be heard, they must not be much smaller. With $\sigma = d^{-1/2}$ the scaled
# entries have standard deviation $\sqrt{d} \cdot d^{-1/2} = 1$. PyTorch's own choice is $\sigma = 1$. Work out what
# that gives for $d = 64$ before you go on.
#
# <details><summary>Hint 1: a question</summary>
#
# `nn.Embedding` fills its weight when it is made. How do you replace those values afterwards, without making the
# weight untrainable?
# </details>
#
# <details><summary>Hint 2: the operation</summary>
#
# `torch.nn.init` has functions that end in an underscore and fill a parameter in place, one of them with normal
# numbers.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# `nn.init.something_(self.embedding.weight, std=...)` in `__init__`; in `forward`, one lookup times one number.
# </details>

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
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("TokenEmbedding: shape and scale"):
    layer = TokenEmbedding(vocab_size=11, d_model=6)
    check_type(getattr(layer, "embedding", None), nn.Embedding, "the attribute embedding")
    check_tensor(layer.embedding.weight, (11, 6), "embedding.weight")
    ids = torch.tensor([[4, 1, 9], [2, 2, 7]])
    check_tensor(layer(ids), (2, 3, 6), "the output for ids of shape (2, 3)")
    ratio = (layer(ids) / layer.embedding.weight[ids]).nanmean().item()
    assert abs(ratio - 6**0.5) < 1e-3, (
        f"with d_model=6 the output should be {6**0.5:.3f} times the looked-up vectors, but is {ratio:.3f} times."
    )
    assert layer.embedding.weight.requires_grad, "embedding.weight should be trainable."

with public_check("TokenEmbedding: initial weights"):
    found = TokenEmbedding(vocab_size=3000, d_model=16).embedding.weight.std().item()
    assert 0.2 < found < 0.3, (
        f"with d_model=16 the weights should start with standard deviation 0.25, but have {found:.2f}."
    )

# %% [markdown]
# ### 2.3 Position encoding (8 points)
#
# Each position $p$ gets a fixed vector of sines and cosines of different wavelengths (Vaswani et al. 2017, section
# 3.5):
#
# $$\begin{gathered}
# \mathrm{pe}[p, 2i] = \sin\!\left(\frac{p}{10000^{2i/d}}\right), \\
# \mathrm{pe}[p, 2i+1] = \cos\!\left(\frac{p}{10000^{2i/d}}\right), \\
# i = 0, 1, \dots, \tfrac d2 - 1.
# \end{gathered}$$
#
# Think of a row of clocks. The first pair of features turns once in about six positions, the last one in about sixty
# thousand; together their hands name the position. The two features of a pair use the *same* frequency.
#
# The table is computed once and not learnt. It still has to travel with the module when you call `.to(device)`, and
# to be part of the module's state: that is what a **buffer** is.
#
# A note on precision: the usual shortcut, $\exp(-2i \ln(10000)/d)$ in float32, is off by up to 2e-4 at high
# positions. That is within the tolerance; computing in float64 and converting at the end is exact.
#
# <details><summary>Hint 1: a question</summary>
#
# The angle depends on a position and on a feature pair. If positions stand in a column and pairs in a row, what does
# PyTorch do when you divide one by the other?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `torch.arange` with `unsqueeze(1)` gives a column; `torch.arange` with a step of 2 gives the numbers $2i$. A slice
# with a step, `[:, 0::2]`, reaches every second column and can be assigned to. A module keeps a tensor as a buffer
# with `register_buffer`.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# `angle` has shape `(max_length, d_model // 2)`; `pe[:, 0::2] = torch.sin(angle)` and a second line like it;
# `self.register_buffer("pe", ...)`. In `forward`: `x + self.pe[...]`, where the slice has as many rows as `x` has
# tokens. `+=` would change the caller's tensor.
# </details>

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
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("PositionalEncoding: the buffer"):
    layer = PositionalEncoding(d_model=6, max_length=40)
    assert "pe" in dict(layer.named_buffers()), "pe should be registered as a buffer of the module."
    assert not list(layer.parameters()), "pe should not be a parameter: nothing here is learnt."
    check_tensor(layer.pe, (40, 6), "pe")
    assert layer.pe.dtype == torch.float32, (
        f"pe should have dtype float32, like the embeddings, but has {layer.pe.dtype}."
    )
    check_close(layer.pe[0], [0.0, 1.0, 0.0, 1.0, 0.0, 1.0], "pe[0]")
    check_close(layer.pe[1, :2], [math.sin(1), math.cos(1)], "pe[1, :2]")
    check_tensor(PositionalEncoding(6).pe, (512, 6), "pe, if nothing is said about max_length,")

with public_check("PositionalEncoding: forward"):
    x = torch.randn(2, 5, 6)
    before = x.clone()
    output = layer(x)
    check_tensor(output, (2, 5, 6), "the output")
    check_close(output - before, layer.pe[:5].expand(2, 5, 6), "output minus input")
    assert torch.equal(x, before), "forward should leave its input as it was."

# %% nbgrader={"grade": false, "grade_id": "demo-encoding-heatmap", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    pe = PositionalEncoding(64, 128).pe.cpu()
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1.25, 1))
    picture = heatmap(
        axes[0],
        pe[:50].T,
        "Position encodings, 50 positions × 64 features",
        "position (tokens)",
        "feature",
        cmap="PuOr",
        vmin=-1,
        vmax=1,
    )
    fig.colorbar(picture, ax=axes[0], label="value")
    shifts = torch.arange(0, 60)
    for p, style in ((0, "-"), (20, "--"), (60, ":")):
        axes[1].plot(shifts, pe[p + shifts] @ pe[p], style, lw=3 if style == ":" else 2, label=f"p = {p}")
    axes[1].set(
        xlabel="shift k (tokens)", ylabel="pe[p] · pe[p + k]", title="Dot product of two encodings, by their distance"
    )
    axes[1].legend()
    plt.show()
    spread = max((pe[k:].mul(pe[: 128 - k]).sum(-1)).std().item() for k in range(60))
    pairs = (pe[:, 0::2] ** 2 + pe[:, 1::2] ** 2 - 1).abs().max().item()
    print(f"For one shift k the dot product varies by {spread:.1e} (standard deviation over all p, worst k).")
    print(f"sin² + cos² differs from 1 by at most {pairs:.1e}.")

# %% [markdown]
# Left, see the fast clocks at the top (low features) and the slow ones below, which hardly move in fifty positions.
# Right, see whether the three curves lie on each other: then the dot product depends on the distance $k$ alone,
# because $\sin a \sin b + \cos a \cos b = \cos(a - b)$. This makes distance *easy to use*. Whether a model uses it is
# for training to decide.
#
# The next cell answers the question of section 2.2: how loud are the encodings beside the tokens?

# %% nbgrader={"grade": false, "grade_id": "demo-drowned", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    torch.manual_seed(0)
    ids = torch.randint(3, 1000, (200, 1)).expand(200, 11)  # each row: one word, eleven times
    encode = PositionalEncoding(64)
    ours, torchs = TokenEmbedding(1000, 64), TokenEmbedding(1000, 64)
    nn.init.normal_(torchs.embedding.weight)  # what nn.Embedding does by itself
    print(
        f"{'initial weights':28s}{'size of token part':>20s}{'size of encoding':>18s}{'cosine of one word at positions 0 and 10':>43s}"
    )
    for name, layer in (("standard deviation d^-1/2", ours), ("standard deviation 1", torchs)):
        tokens, both = layer(ids), encode(layer(ids))
        size = [t.pow(2).mean().sqrt().item() for t in (tokens, both - tokens)]
        cosine = F.cosine_similarity(both[:, 0], both[:, 10]).mean().item()
        print(f"{name:28s}{size[0]:20.2f}{size[1]:18.2f}{cosine:43.3f}")

# %% [markdown]
# Sizes are root mean squares. In the second row the token part should be about eight times as large, and the same
# word at two places is nearly the same vector. In part 6 you train both, and see what that does.
#
# ### 2.4 Both together (4 points)
#
# $$\begin{gathered}
# \mathrm{TransformerEmbeddings}(\mathrm{ids}) \\
# = \mathrm{dropout}\big(\mathrm{TokenEmbedding}(\mathrm{ids}) + \mathrm{pe}\big)
# \end{gathered}$$
#
# Dropout sets a random part of the numbers to zero in training, and does nothing in eval mode.
#
# <details><summary>Hint 1: a question</summary>
#
# Your `PositionalEncoding` already adds. What is left to do in `forward`?
# </details>
#
# <details><summary>Hint 2: the operation</summary>
#
# Three modules, called one after the other, each on the result of the one before.
# </details>
#
# <details><summary>Hint 3: the shape of the line</summary>
#
# `self.third(self.second(self.first(x)))`, with the contracted names. Hand `max_length` and `dropout` on in
# `__init__`.
# </details>

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
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("TransformerEmbeddings: parts and shape"):
    layer = TransformerEmbeddings(vocab_size=11, d_model=6, max_length=9, dropout=0.5)
    check_type(getattr(layer, "token_embedding", None), TokenEmbedding, "the attribute token_embedding")
    check_type(getattr(layer, "pos_encoding", None), PositionalEncoding, "the attribute pos_encoding")
    check_type(getattr(layer, "dropout", None), nn.Dropout, "the attribute dropout")
    assert layer.dropout.p == 0.5, f"dropout=0.5 was asked for, but the module has p={layer.dropout.p}."
    check_tensor(layer.pos_encoding.pe, (9, 6), "pos_encoding.pe for max_length=9")
    ids = torch.tensor([[4, 1, 9, 4]])
    check_tensor(layer(ids), (1, 4, 6), "the output")
    layer.eval()
    check_close(layer(ids), layer.token_embedding(ids) + layer.pos_encoding.pe[:4], "the output in eval mode")

# %% nbgrader={"grade": false, "grade_id": "demo-embeddings", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    torch.manual_seed(0)
    layer = TransformerEmbeddings(1000, 64).eval()  # eval mode: no dropout in the picture
    ids = torch.tensor([[7, 12, 7, 30, 7]])
    names = ["word a", "word b", "word a", "word c", "word a"]
    with torch.no_grad():
        tokens, both = layer.token_embedding(ids)[0], layer(ids)[0]
    fig, axes = plt.subplots(1, 3, figsize=(12, 3.2), sharey=True)
    panels = {"tokens": tokens, "encodings": both - tokens, "sum: what the first block reads": both}
    for ax, (title, values) in zip(axes, panels.items()):
        picture = heatmap(
            ax,
            values[:, :16],
            title,
            "feature (first 16 of 64)",
            "",
            yticks=[f"{n}, position {p}" for p, n in enumerate(names)],
            cmap="PuOr",
            vmin=-2.5,
            vmax=2.5,
        )
    fig.colorbar(picture, ax=axes, label="value")
    fig.suptitle("How the same word gets three different vectors")
    plt.show()
    gap = (both - tokens - layer.pos_encoding.pe[:5]).abs().max().item()
    print(f"Output minus tokens differs from pe by at most {gap:.1e}.")
    print(
        f"'word a' at positions 0 and 4: tokens differ by {(tokens[0] - tokens[4]).norm():.2f}, sums by {(both[0] - both[4]).norm():.2f} (Euclidean distance)."
    )

# %% [markdown]
# See three equal rows for *word a* on the left, and three different ones on the right: the same word, now with its
# place.

# %% [markdown]
# ## Part 3: attention
#
# After this part you can compute attention by hand, say what each of its three inputs does, keep a query from looking
# where it must not, and run several heads at once.
#
# ### 3.1 What an attention matrix says
#
# Each token asks a question (its *query*), each token offers a label (its *key*) and a content (its *value*). Row $i$
# of the attention matrix says what share of its answer token $i$ takes from each token. Each row sums to 1.

# %% nbgrader={"grade": false, "grade_id": "demo-toy-attention", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
words = ["the", "cat", "sat", "because", "it", "was", "tired"]
scores = np.zeros((7, 7))
for asker, target, score in [
    ("it", "cat", 3),
    ("tired", "cat", 2.5),
    ("tired", "was", 1.5),
    ("sat", "cat", 2.5),
    ("the", "cat", 2),
    ("was", "it", 2),
    ("because", "sat", 2),
    ("because", "tired", 2),
    ("cat", "the", 1),
]:
    scores[words.index(asker), words.index(target)] = score
weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
fig, ax = plt.subplots(figsize=(6.6, 5))
picture = heatmap(
    ax,
    weights,
    "Invented by hand to show how to read such a matrix, not learnt",
    "key: the token looked at",
    "query: the token that looks",
    words,
    words,
    numbers=True,
    vmin=0,
    vmax=1,
)
fig.colorbar(picture, ax=ax, label="attention weight (rows sum to 1)")
plt.show()

# %% [markdown]
# Read along a row. In this invented example *it* takes most of its answer from *cat*. Real matrices, which you will
# draw in part 5, are seldom this tidy.
#
# ### 3.2 Scaled dot-product attention (12 points)
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V$$
#
# - **Scores.** $QK^\top$ compares each of the $T_q$ queries with each of the $T_k$ keys.
# - **Scale.** A dot product of $d_k$ independent numbers of variance 1 has variance $d_k$. Dividing by $\sqrt{d_k}$
#   brings it back to 1, whatever the width.
# - **Mask.** Where the mask is 0 the key is forbidden and must get weight exactly 0, and the allowed weights must
#   still sum to 1. Both follow if its *score* is so low that nothing is left of it after the softmax. How low? Low
#   enough for any allowed score: real scores can be large and negative, so a number like -10,000 is not always lower.
#   (In half precision -1e9 does not even exist.)
# - **Softmax** over the keys: each query's row becomes a probability distribution.
# - **Values.** The output is the weighted sum of the values.
#
# Shapes, with `...` for any leading dimensions such as batch and head:
#
#     Q (..., Tq, d_k)    K (..., Tk, d_k)    V (..., Tk, d_v)
#     scores, weights (..., Tq, Tk)           output (..., Tq, d_v)
#
# <details><summary>Hint 1: questions</summary>
#
# Which two dimensions of `K` must change places for the product with `Q`, if there can be any number of dimensions
# before them? Over which dimension of the scores must the result sum to 1: queries or keys?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `transpose` takes negative numbers of dimensions, and `@` multiplies the last two for any leading ones.
# `masked_fill` puts a number where a condition holds; the number that beats every score is minus infinity, or the
# smallest number of the dtype (`torch.finfo`). `softmax` has a `dim`.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# `scores = ... @ ....transpose(?, ?) / math.sqrt(...)`; `scores = scores.masked_fill(mask == 0, ...)`;
# `weights = F.softmax(scores, dim=?)`; `return (weights, after dropout) @ ..., weights`.
# </details>

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
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("scaled_dot_product_attention: shapes and rows"):
    torch.manual_seed(0)
    Q, K, V = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 7, 5), torch.randn(2, 3, 7, 6)
    result = scaled_dot_product_attention(Q, K, V)
    check_pair(result, "the function")
    check_tensor(result[0], (2, 3, 4, 6), "the output")
    check_tensor(result[1], (2, 3, 4, 7), "the weights")
    check_close(result[1].sum(dim=-1), torch.ones(2, 3, 4), "the sum of each row of weights")
    check_tensor(
        scaled_dot_product_attention(Q[0, 0], K[0, 0], V[0, 0])[0], (4, 6), "the output without leading dimensions"
    )

with public_check("scaled_dot_product_attention: a case worked out by hand"):
    # one query, two keys, d_k = 4: scores 2 and 0, scaled 1 and 0, so the first key gets e / (e + 1)
    one, two = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[1.0, 0, 0, 0], [0.0, 1, 0, 0]])
    output, weights = scaled_dot_product_attention(one, two, torch.tensor([[10.0], [20.0]]))
    check_close(weights, [[math.e / (math.e + 1), 1 / (math.e + 1)]], "the weights")
    check_close(output, [[(10 * math.e + 20) / (math.e + 1)]], "the output", atol=1e-3)

with public_check("scaled_dot_product_attention: mask and dropout"):
    mask = torch.tensor([1, 1, 0, 1, 0, 1, 1])
    for form in (mask, mask.bool()):
        weights = scaled_dot_product_attention(Q, K, V, mask=form)[1]
        assert (weights[..., mask == 0] == 0).all(), "a forbidden key should get weight exactly 0."
        check_close(weights.sum(dim=-1), torch.ones(2, 3, 4), "the sum of each row of weights with a mask")
    dropped, _ = scaled_dot_product_attention(Q, K, V, dropout=nn.Dropout(1.0))
    check_close(dropped, torch.zeros(2, 3, 4, 6), "the output when dropout removes every weight")

# %% nbgrader={"grade": false, "grade_id": "demo-scale", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    torch.manual_seed(0)
    sizes = [4, 16, 64, 256, 1024]
    largest = {"scaled by √d_k": [], "not scaled": []}
    for d_k in sizes:
        Q, K = torch.randn(200, d_k), torch.randn(20, d_k)
        largest["scaled by √d_k"].append(scaled_dot_product_attention(Q, K, K)[1].max(dim=-1).values.mean())
        largest["not scaled"].append(
            scaled_dot_product_attention(Q * math.sqrt(d_k), K, K)[1].max(dim=-1).values.mean()
        )
    mask = torch.ones(8, 8).tril()
    weights = scaled_dot_product_attention(torch.randn(8, 16), torch.randn(8, 16), torch.randn(8, 16), mask)[1]

    fig, axes = plt.subplots(1, 2, figsize=(11, 4.2))
    for (name, values), style in zip(largest.items(), ("o-", "s--")):
        axes[0].plot(sizes, values, style, label=name)
    axes[0].axhline(1 / 20, color="grey", lw=1, ls=":", label="uniform over 20 keys")
    axes[0].set(
        xscale="log",
        ylim=(0, 1),
        xlabel="width d_k (features)",
        ylabel="largest weight of a row (mean)",
        title="Random queries and keys: how sharp is attention?",
    )
    axes[0].set_xticks(sizes, sizes)
    axes[0].minorticks_off()
    axes[0].legend()
    heatmap(
        axes[1],
        weights,
        "Random queries and keys, later keys forbidden",
        "key (position)",
        "query (position)",
        numbers=True,
        vmin=0,
        vmax=1,
    )
    plt.show()

# %% [markdown]
# Left, see what happens to the unscaled rows as the width grows: nearly all weight goes to one key, and the softmax
# hardly passes a gradient any more. Right, see that the forbidden triangle is exactly 0 and the rest of each row sums
# to 1. The inputs are random, so the pattern inside the triangle means nothing.
#
# ### 3.3 Several heads (12 points)
#
# One attention matrix can express one kind of relation. Multi-head attention makes $h$ of them side by side, each on
# its own slice of $d_k = d / h$ features:
#
# $$\begin{gathered}
# \mathrm{head}_j = \mathrm{Attention}\big(xW_q, xW_k, xW_v \text{ restricted to slice } j\big), \\
# \mathrm{output} = [\mathrm{head}_1; \dots; \mathrm{head}_h]\, W_o .
# \end{gathered}$$
#
# Head $j$ (counted from 0) owns features $j\,d_k$ to $(j+1)\,d_k - 1$ of each projection. The way there and back, for
# $d = 6$, $h = 2$:
#
#     there:  (B, T, 6)     --split the features-->  (B, T, 2, 3)  --exchange-->       (B, 2, T, 3)
#     back:   (B, 2, T, 3)  --exchange-->            (B, T, 2, 3)  --join features-->  (B, T, 6)
#
# A `view` straight from `(B, T, 6)` to `(B, 2, T, 3)` has the right shape and the wrong content: it mixes tokens.
#
# <details><summary>Hint 1: a question</summary>
#
# In `(B, T, d)`, the last dimension holds head 0, then head 1, and so on. Which new dimension must therefore be made
# first, next to `T` or before it?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `view` splits the last dimension in two, `transpose` exchanges heads and tokens. Your function from 3.2 works for
# any leading dimensions, so it serves all heads at once and takes the mask and the dropout module. After the
# transpose back the memory is no longer in order: `reshape` copes, `view` needs `contiguous()` first.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# For each of Q, K, V: `self.W_?(x).view(B, T, ?, ?).transpose(?, ?)`. Then one call of your function. Then
# `output.transpose(?, ?).reshape(B, T, ?)`, and the last projection.
# </details>

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
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("MultiHeadAttention: parts"):
    torch.manual_seed(0)
    layer = MultiHeadAttention(d_model=12, num_heads=3, dropout=0.0)
    for name in ("W_q", "W_k", "W_v", "W_o"):
        linear = getattr(layer, name, None)
        check_type(linear, nn.Linear, f"the attribute {name}")
        check_tensor(linear.weight, (12, 12), f"{name}.weight")
        assert linear.bias is not None, f"{name} should have a bias."
    assert (layer.num_heads, layer.d_k) == (3, 4), (
        f"num_heads and d_k should be 3 and 4, but are {layer.num_heads} and {layer.d_k}."
    )
    refused = False
    try:
        MultiHeadAttention(d_model=10, num_heads=3)
    except (AssertionError, ValueError):
        refused = True
    assert refused, "d_model=10 with 3 heads should raise an AssertionError or a ValueError."

with public_check("MultiHeadAttention: shapes and mask"):
    x = torch.randn(2, 5, 12)
    result = layer(x)
    check_pair(result, "forward")
    check_tensor(result[0], (2, 5, 12), "the output")
    check_tensor(result[1], (2, 3, 5, 5), "the weights")
    mask = torch.tensor([1, 1, 0, 1, 0])[None, None, None, :]
    weights = layer(x, mask)[1]
    assert (weights[..., [2, 4]] == 0).all(), "keys that the mask forbids should get weight 0 in every head."

with public_check("MultiHeadAttention: equal weights give the mean of the values"):
    with torch.no_grad():
        layer.W_q.weight.zero_(), layer.W_q.bias.zero_()  # every query is 0, so every score is 0
        output, weights = layer(x)
        check_close(weights, torch.full((2, 3, 5, 5), 0.2), "the weights when all queries are 0")
        expected = layer.W_o(layer.W_v(x).mean(dim=1, keepdim=True)).expand(2, 5, 12)
        check_close(output, expected, "the output when all queries are 0 (are tokens and heads kept apart?)")

# %% nbgrader={"grade": false, "grade_id": "demo-mha", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(64, 8).eval(), torch.randn(1, 10, 64)
    torchs = nn.MultiheadAttention(64, 8, batch_first=True).eval()
    with torch.no_grad():
        torchs.in_proj_weight.copy_(torch.cat([layer.W_q.weight, layer.W_k.weight, layer.W_v.weight]))
        torchs.in_proj_bias.copy_(torch.cat([layer.W_q.bias, layer.W_k.bias, layer.W_v.bias]))
        torchs.out_proj.weight.copy_(layer.W_o.weight)
        torchs.out_proj.bias.copy_(layer.W_o.bias)
        output, weights = layer(x)
        gap = (output - torchs(x, x, x, need_weights=False)[0]).abs().max().item()

    fig, axes = plt.subplots(2, 4, figsize=(11, 5.4), sharex=True, sharey=True)
    for head, ax in enumerate(axes.flat):
        picture = heatmap(
            ax,
            weights[0, head],
            f"head {head}",
            "key (position)" if head > 3 else "",
            "query (position)" if head % 4 == 0 else "",
            vmin=0,
            vmax=0.3,
        )
    fig.colorbar(picture, ax=axes, label="attention weight")
    fig.suptitle("Eight heads before any training, on random vectors: differences between heads are chance")
    plt.show()
    print(f"With the same weights PyTorch's nn.MultiheadAttention differs by at most {gap:.1e}.")
    print(
        f"Parameters: {sum(p.numel() for p in layer.parameters()):,} = 4 (d² + d) for d = 64, whatever the number of heads."
    )

# %% [markdown]
# See that the maps differ although nothing was learnt. Keep this in mind when you interpret heads after training:
# compare with an untrained model first.
#
# The last cell of this part repeats the test of order from part 1 with your own code.

# %% nbgrader={"grade": false, "grade_id": "demo-order-again", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    torch.manual_seed(0)
    layer, encode, x = MultiHeadAttention(64, 8).eval(), PositionalEncoding(64), torch.randn(1, 10, 64)
    permutation = torch.randperm(10)
    with torch.no_grad():
        for name, prepare in (("without encodings", lambda x: x), ("with encodings", encode)):
            moved, straight = layer(prepare(x[:, permutation]))[0], layer(prepare(x))[0]
            print(
                f"{name:18s}  attention(PX) differs from P attention(X) by at most {(moved - straight[:, permutation]).abs().max():.1e}"
            )

# %% [markdown]
# See that only the second line is more than a rounding error.

# %% [markdown]
# ## Part 4: the block
#
# After this part you can say what each part of a transformer block is for, and show by experiment what the residual
# connections do.
#
# ### 4.1 Layer normalisation (4 points)
#
# Each token's vector $x \in \mathbb{R}^n$ is brought to mean 0 and variance 1, by itself, and then scaled and shifted
# by learnt vectors (Ba, Kiros and Hinton 2016):
#
# $$\begin{gathered}
# \mathrm{LayerNorm}(x) = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta, \\
# \mu = \frac1n \sum_i x_i, \qquad \sigma^2 = \frac1n \sum_i (x_i - \mu)^2 .
# \end{gathered}$$
#
# Two details decide whether it equals PyTorch's: the variance divides by $n$, not by $n - 1$, and $\varepsilon$
# stands *inside* the root. At $n = 64$ the first changes the result by less than one per cent, and at small $n$ or
# nearly constant vectors both change it a lot.
#
# <details><summary>Hint 1: questions</summary>
#
# Over which dimension are mean and variance taken, and how do they keep a shape that can be subtracted from `x`? What
# does `var` divide by, unless told otherwise?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `mean` and `var` know `dim` and `keepdim`; `var` also knows `unbiased` (or `correction`). A tensor becomes a
# parameter with `nn.Parameter`.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# `self.gamma = nn.Parameter(...)`, the same for `beta`; `variance = x.var(dim=?, keepdim=?, unbiased=?)`;
# `gamma * (x - ...) / torch.sqrt(... + ...) + beta`.
# </details>

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
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("LayerNorm: parameters and shape"):
    torch.manual_seed(0)
    layer = LayerNorm(6)
    parameters = dict(layer.named_parameters())
    assert set(parameters) == {"gamma", "beta"}, (
        f"the parameters should be gamma and beta, but are {sorted(parameters)}."
    )
    check_close(parameters["gamma"], torch.ones(6), "gamma at first")
    check_close(parameters["beta"], torch.zeros(6), "beta at first")
    check_tensor(layer(torch.randn(2, 5, 6)), (2, 5, 6), "the output")

with public_check("LayerNorm: one vector worked out by hand"):
    # mean 4, biased variance 5
    expected = torch.tensor([[-3.0, -1, 1, 3]]) / math.sqrt(5)
    check_close(LayerNorm(4)(torch.tensor([[1.0, 3, 5, 7]])), expected, "the output for 1, 3, 5, 7")

# %% nbgrader={"grade": false, "grade_id": "demo-layer-norm", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    torch.manual_seed(0)
    x = torch.randn(4, 512) * torch.tensor([[0.3], [1.0], [3.0], [1.0]]) + torch.tensor([[0.0], [4.0], [-3.0], [0.0]])
    y = LayerNorm(512)(x).detach()
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.6), sharey=True)
    for ax, values, title in zip(axes, (x, y), ("before", "after")):
        for token, colour, style in zip(range(3), COLOURS, ("-", "--", ":")):
            ax.hist(
                values[token],
                bins=40,
                range=(-10, 8),
                histtype="step",
                lw=2,
                color=colour,
                ls=style,
                label=f"token {token}",
            )
        ax.set(
            xlabel="value of a feature",
            ylabel="features (count)" if title == "before" else "",
            title=f"512 features of three tokens {title} layer normalisation",
        )
    axes[0].legend()
    plt.show()
    print(f"{'n':>6s}{'gap to PyTorch':>18s}{'gap with n - 1':>18s}{'gap with ε outside':>20s}")
    for n, spread in ((4, 1.0), (64, 1.0), (64, 1e-3)):
        x = torch.randn(100, n) * spread
        right = F.layer_norm(x, (n,), eps=1e-6)
        centred = x - x.mean(-1, keepdim=True)
        gaps = [
            (LayerNorm(n)(x) - right),
            centred / torch.sqrt(x.var(-1, keepdim=True) + 1e-6) - right,
            centred / (x.std(-1, keepdim=True, unbiased=False) + 1e-6) - right,
        ]
        print(
            f"{n:6d}"
            + "".join(f"{gap.abs().max().item():{w}.1e}" for gap, w in zip(gaps, (18, 18, 20)))
            + f"   (features spread by {spread})"
        )

# %% [markdown]
# In the picture, see three tokens with different means and widths fall onto the same curve: each was normalised by
# itself. In the table, the first column compares *your* layer with PyTorch's, the next two compare the common slips.
#
# ### 4.2 The feed-forward network (4 points)
#
# Attention moves information between tokens. The feed-forward network then works on each token alone, the same
# network for all of them:
#
# $$\begin{gathered}
# \mathrm{FFN}(x) = \mathrm{dropout}\big(\max(0,\ xW_1 + b_1)\big)\, W_2 + b_2, \\
# W_1: d \to d_\text{ff}, \quad W_2: d_\text{ff} \to d .
# \end{gathered}$$
#
# <details><summary>Hint 1: a question</summary>
#
# `nn.Linear` acts on the last dimension and leaves all others alone. Do you need a loop over tokens?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# Four, in this order: `linear1`, ReLU, `dropout`, `linear2`.
# </details>
#
# <details><summary>Hint 3: the shape of the line</summary>
#
# `self.linear2(self.dropout(...(self.linear1(x))))`
# </details>

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
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("FeedForward: parts and shape"):
    torch.manual_seed(0)
    layer = FeedForward(d_model=6, d_ff=10, dropout=0.25)
    for name, shape in (("linear1", (10, 6)), ("linear2", (6, 10))):
        check_type(getattr(layer, name, None), nn.Linear, f"the attribute {name}")
        check_tensor(getattr(layer, name).weight, shape, f"{name}.weight")
    check_type(getattr(layer, "dropout", None), nn.Dropout, "the attribute dropout")
    assert layer.dropout.p == 0.25, f"dropout=0.25 was asked for, but the module has p={layer.dropout.p}."
    x = torch.randn(2, 5, 6)
    check_tensor(layer(x), (2, 5, 6), "the output")
    layer.eval()
    check_close(layer(x)[1, 3], layer(x[1, 3]), "the output of one token on its own")

# %% nbgrader={"grade": false, "grade_id": "demo-feed-forward", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    torch.manual_seed(0)
    layer, x, permutation = FeedForward(64, 256).eval(), torch.randn(1, 10, 64), torch.randperm(10)
    with torch.no_grad():
        gap = (layer(x[:, permutation]) - layer(x)[:, permutation]).abs().max().item()
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in layer.named_children()}
    print(f"Permuting the tokens permutes the outputs: largest difference {gap:.1e}.")
    print(f"Parameters: linear1 {sizes['linear1']:,}, linear2 {sizes['linear2']:,}, together {sum(sizes.values()):,}.")

# %% [markdown]
# ### 4.3 The transformer block (8 points)
#
# Attention and feed-forward each sit in a residual connection with dropout and a norm after it ("post-norm", as in
# Vaswani et al. 2017):
#
# $$\begin{gathered}
# x_1 = \mathrm{norm}_1\big(x + \mathrm{dropout}(\mathrm{attention}(x))\big), \\
# x_2 = \mathrm{norm}_2\big(x_1 + \mathrm{dropout}(\mathrm{FFN}(x_1))\big).
# \end{gathered}$$

# %% jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "demo-block-picture", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
fig, ax = plt.subplots(figsize=(11, 2.6))
boxes = [
    (1.2, "attention", 0),
    (3.1, "dropout", 2),
    (5.4, "norm1", 1),
    (7.8, "feed-forward", 0),
    (9.7, "dropout", 2),
    (12.0, "norm2", 1),
]
for x, name, colour in boxes:
    ax.add_patch(
        plt.Rectangle((x - 0.75, -0.35), 1.5, 0.7, facecolor=plt.get_cmap("Pastel1").colors[colour], edgecolor="black")
    )
    ax.text(x, 0, name, ha="center", va="center")
for x in (4.25, 10.85):
    ax.add_patch(plt.Circle((x, 0), 0.17, facecolor="white", edgecolor="black"))
    ax.text(x, 0, "+", ha="center", va="center", fontsize=14)
for start, end in (
    (-0.5, 0.45),
    (1.95, 2.35),
    (3.85, 4.08),
    (4.42, 4.65),
    (6.15, 7.05),
    (8.55, 8.95),
    (10.45, 10.68),
    (11.02, 11.25),
    (12.75, 13.5),
):
    ax.annotate("", (end, 0), (start, 0), arrowprops={"arrowstyle": "->", "shrinkA": 0, "shrinkB": 0})
for start, end in ((0.0, 4.25), (6.6, 10.85)):
    ax.plot([start, start, end], [0, 0.8, 0.8], color=COLOURS[5], lw=2, solid_joinstyle="miter")
    ax.annotate(
        "",
        (end, 0.17),
        (end, 0.82),
        arrowprops={"arrowstyle": "->", "color": COLOURS[5], "lw": 2, "shrinkA": 0, "shrinkB": 0},
    )
    ax.text((start + end) / 2, 0.95, "residual connection: added unchanged", ha="center", color=COLOURS[5])
for x, y, name in ((-0.7, 0, "$x$"), (6.6, -0.25, "$x_1$"), (13.75, 0, "$x_2$")):
    ax.text(x, y, name, ha="center", va="center", fontsize=13)
ax.set(xlim=(-1, 14), ylim=(-0.5, 1.3), aspect="equal", title="One post-norm transformer block: what is added where")
ax.axis("off")
plt.show()

# %% [markdown]
# See that each residual connection leaves before its sublayer and joins at the plus sign, before the norm.
#
# <details><summary>Hint 1: a question</summary>
#
# What does your attention return, and which part of it enters the sum? What of it must the block hand on?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# Per half: sublayer, dropout, add the input of that sublayer, norm. The second half starts from the result of the
# first, not from `x`.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# `attended, weights = self.attention(..., ...)`; `x1 = self.norm1(... + self.dropout(...))`; a second line like it;
# `return ..., weights`.
# </details>

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
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("TransformerBlock: parts and shapes"):
    torch.manual_seed(0)
    block = TransformerBlock(d_model=12, num_heads=3, d_ff=20, dropout=0.3)
    check_type(getattr(block, "attention", None), MultiHeadAttention, "the attribute attention")
    check_type(getattr(block, "feed_forward", None), FeedForward, "the attribute feed_forward")
    for name in ("norm1", "norm2"):
        check_type(getattr(block, name, None), nn.Module, f"the attribute {name}")
    check_type(getattr(block, "dropout", None), nn.Dropout, "the attribute dropout")
    assert block.dropout.p == 0.3, f"dropout=0.3 was asked for, but the module has p={block.dropout.p}."
    assert block.feed_forward.linear1.out_features == 20, "d_ff did not reach the feed-forward network."
    x = torch.randn(2, 5, 12)
    result = block(x)
    check_pair(result, "forward")
    check_tensor(result[0], (2, 5, 12), "the output")
    check_tensor(result[1], (2, 3, 5, 5), "the weights")
    weights = block(x, torch.tensor([1, 1, 1, 1, 0]))[1]
    assert (weights[..., 4] == 0).all(), "the mask did not reach the attention."

with public_check("TransformerBlock: with both sublayers silenced only the norms are left"):
    block.eval()
    with torch.no_grad():
        for linear in (block.attention.W_o, block.feed_forward.linear2):
            linear.weight.zero_(), linear.bias.zero_()
    check_close(block(x)[0], block.norm2(block.norm1(x)), "the output when both sublayers give 0")

# %% nbgrader={"grade": false, "grade_id": "demo-residual", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():

    def spread(x):
        """How much the tokens of one text differ from their mean, relative to their size."""
        return ((x - x.mean(dim=1, keepdim=True)).norm() / x.norm()).item()

    def spread_by_depth(residual, depth=12, draws=5):
        """Mean spread of the tokens before the first and after each of `depth` untrained blocks."""
        rows = []
        for seed in range(draws):
            torch.manual_seed(seed)
            x = torch.randn(1, 10, 64)
            row = [spread(x)]
            for _ in range(depth):
                block = TransformerBlock(64, 8, 256).eval()
                with torch.no_grad():
                    if residual:
                        x = block(x)[0]
                    else:  # the same parts without the two additions
                        x = block.norm2(block.feed_forward(block.norm1(block.attention(x)[0])))
                row.append(spread(x))
            rows.append(row)
        return np.mean(rows, axis=0)

    spreads = {"with residual connections": spread_by_depth(True), "without": spread_by_depth(False)}
    fig, ax = plt.subplots(figsize=(7.5, 3.8))
    for (name, values), style in zip(spreads.items(), ("o-", "s--")):
        ax.plot(range(len(values)), values, style, label=name)
    ax.set(
        yscale="log",
        xlabel="blocks passed through (count)",
        ylabel="spread of the tokens (relative)",
        title="How different ten random tokens still are after untrained blocks",
    )
    ax.legend()
    plt.show()
    for name, values in spreads.items():
        print(
            f"{name:26s} after 2 blocks {values[2]:8.1e}, after 12 blocks {values[12]:8.1e} (at first {values[0]:.2f})"
        )

    block, x = TransformerBlock(64, 8, 256).eval(), torch.randn(1, 10, 64)
    print(
        f"\nParameters of one block with d = 64 and d_ff = 256: {sum(p.numel() for p in block.parameters()):,}, "
        f"of which {sum(p.numel() for p in block.feed_forward.parameters()):,} are in the feed-forward network."
    )
    with torch.no_grad():
        for linear in (block.attention.W_o, block.feed_forward.linear2):
            linear.weight.zero_(), linear.bias.zero_()
        print(
            f"With both sublayers silenced, the block differs from norm2(norm1(x)) by {(block(x)[0] - block.norm2(block.norm1(x))).abs().max():.1e}."
        )

# %% [markdown]
# Compare the two lines. Attention averages, and averages of averages become equal: without residual connections the
# tokens of a text may turn into copies of one another within a few blocks, and nothing that comes later can tell them
# apart. Dong, Cordonnier and Loukas (2021, arXiv:2103.03404) prove this for pure attention. With residual connections
# each token keeps what it was and *adds* what it heard. They also give the gradient a path around each sublayer.

# %% [markdown]
# ## Part 5: the model and its training
#
# After this part you have a transformer that reads film reviews, you can tell whether it learns or memorises, and you
# can look at what its heads attend to.
#
# ### 5.1 The model (6 points)
#
# Ids go through the embeddings and a stack of blocks. A last norm (`ln_f`) is applied to each token, then the tokens
# are averaged to one vector per text, and a linear layer gives one score (a *logit*) per class:
#
# $$z = \frac{1}{|R|} \sum_{t \in R} \mathrm{ln\_f}(x_t), \qquad \mathrm{logits} = W z + b, \qquad R = \{\text{real tokens}\}.$$
#
# **Padding must not matter.** A text of 8 words in a batch of length 32 has 24 positions without meaning. They can
# get in at two places: as keys that other tokens attend to, and in the average. `attention_mask` (1 = token, 0 = PAD)
# has to close both. Then padding a text further changes no logit.
#
# <details><summary>Hint 1: questions</summary>
#
# Attention weights have the shape `(B, h, T, T)`, queries before keys. Where in that shape does the `T` of a mask
# `(B, T)` over *keys* belong? And what do you divide the sum of the real tokens' vectors by?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# Indexing with `None` (or `unsqueeze`) inserts dimensions of size 1, which broadcast. Multiplying by the mask, as a
# number and with a dimension for the features, removes the PAD positions from a sum. A `ModuleList` is made from a
# list and can be looped over.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# `mask = attention_mask[:, ?, ?, :]` if there is one; in the loop, `x, weights = block(x, mask)`;
# `pooled = (x * keep).sum(dim=?) / keep.sum(dim=?)` with `keep` of shape `(B, T, 1)`.
# </details>

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
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("MiniTransformer: parts and shapes"):
    torch.manual_seed(0)
    model = MiniTransformer(vocab_size=20, d_model=12, num_heads=3, num_layers=2, d_ff=16, max_length=10, num_classes=4)
    check_type(getattr(model, "embeddings", None), TransformerEmbeddings, "the attribute embeddings")
    check_type(getattr(model, "transformer_blocks", None), nn.ModuleList, "the attribute transformer_blocks")
    assert len(model.transformer_blocks) == 2, (
        f"num_layers=2 was asked for, but there are {len(model.transformer_blocks)} blocks."
    )
    check_type(getattr(model, "ln_f", None), nn.Module, "the attribute ln_f")
    check_type(getattr(model, "classifier", None), nn.Linear, "the attribute classifier")
    check_tensor(model.embeddings.pos_encoding.pe, (10, 12), "embeddings.pos_encoding.pe for max_length=10")
    ids = torch.randint(3, 20, (2, 6))
    result = model(ids)
    check_pair(result, "forward")
    check_tensor(result[0], (2, 4), "the logits")
    check_type(result[1], list, "the second result")
    assert len(result[1]) == 2, (
        f"the list should hold the weights of each of the 2 layers, but has {len(result[1])} entries."
    )
    check_tensor(result[1][0], (2, 3, 6, 6), "the weights of the first layer")

with public_check("MiniTransformer: padding is invisible"):
    model.eval()
    ids[1, 4:] = 0
    logits, weights = model(input_ids=ids, attention_mask=(ids != 0).long())
    assert all((w[1, :, :4, 4:] == 0).all() for w in weights), "a real token attends to a PAD key."
    longer = F.pad(ids, (0, 3))
    check_close(model(longer, (longer != 0).long())[0], logits, "the logits after padding three positions further")
    check_close(model(ids[1:, :4])[0], logits[1:], "the logits of the short text alone, without padding and mask,")

# %% nbgrader={"grade": false, "grade_id": "demo-model", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    torch.manual_seed(0)
    example_model = MiniTransformer(
        vocab_size=1000, d_model=64, num_heads=8, num_layers=2, d_ff=256, max_length=32, num_classes=2
    ).eval()
    draw_modules(
        example_model,
        torch.randint(3, 1000, (4, 16)),
        title="Your model while it reads 4 texts of 16 tokens: its parts in the order of their calls",
    )
    total = sum(p.numel() for p in example_model.parameters())
    for name, part in example_model.named_children():
        size = sum(p.numel() for p in part.parameters())
        print(f"{name:20s}{size:10,} parameters  {100 * size / total:5.1f} %")
    print(f"{'together':20s}{total:10,}")

# %% [markdown]
# See that the picture has the same structure as the one in section 1.2, now with your parts. Which part would
# dominate with a vocabulary of 50,000?
#
# The next cell pads one sentence to four lengths and asks the untrained model each time, with and without the mask.

# %% nbgrader={"grade": false, "grade_id": "demo-padding", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    torch.manual_seed(0)
    ids = torch.randint(3, 1000, (1, 6))
    print(f"{'padded to':>10s}{'P(class 1) with mask':>24s}{'P(class 1) without mask':>26s}")
    with torch.no_grad():
        for length in (6, 8, 16, 32):
            padded = F.pad(ids, (0, length - 6))
            with_mask, without = (
                F.softmax(example_model(padded, m)[0], -1)[0, 1] for m in ((padded != 0).long(), None)
            )
            print(f"{length:10d}{with_mask:24.6f}{without:26.6f}")

# %% [markdown]
# See which column stays the same. Without the mask, the same sentence gets another answer depending on the batch it
# happens to be in.
#
# ### 5.2 The data
#
# `SentimentDataset` is given. Each item is a dict with `input_ids`, `attention_mask` and `labels`; a `DataLoader`
# stacks items to batches.

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


device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_loader(rows, tokenizer, max_length=32, batch_size=64, shuffle=False, seed=0):
    """A DataLoader over (text, label) rows; with `shuffle`, in an order that depends on `seed` only."""
    dataset = SentimentDataset([text for text, _ in rows], [label for _, label in rows], tokenizer, max_length)
    return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle, generator=torch.Generator().manual_seed(seed))


def small_model(tokenizer, max_length=32, seed=0):
    """The model of all training runs in this notebook: 2 layers, 4 heads, d_model 64, d_ff 128."""
    torch.manual_seed(seed)
    model = MiniTransformer(
        len(tokenizer.vocab), d_model=64, num_heads=4, num_layers=2, d_ff=128, max_length=max_length, num_classes=2
    )
    return model.to(device)

# %% nbgrader={"grade": false, "grade_id": "demo-data", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    movie_tokenizer = SimpleTokenizer(5000)
    movie_tokenizer.build_vocab([text for text, _ in movie_train])  # training texts only
    shared = {" ".join(text.lower().split()) for text, _ in movie_train} & {
        " ".join(text.lower().split()) for text, _ in movie_val
    }
    assert not shared, f"{len(shared)} texts stand in both splits"
    print("No validation text stands in the training split.\n")
    for text, label in movie_train[:4]:
        print(f"{'positive' if label else 'negative'}   {text}")

    fig, axes = plt.subplots(1, 2, figsize=(11, 3.6), width_ratios=(1, 1.5))
    for shift, (name, rows) in zip((-0.2, 0.2), (("training", movie_train), ("validation", movie_val))):
        shares = [100 * np.mean([label == value for _, label in rows]) for value in (0, 1)]
        bars = axes[0].bar(
            np.arange(2) + shift,
            shares,
            width=0.38,
            label=f"{name} ({len(rows):,} rows)",
            hatch="//" if shift > 0 else "",
            edgecolor="white",
        )
        axes[0].bar_label(bars, fmt="%.1f")
    axes[0].set(
        xticks=(0, 1),
        xticklabels=("negative", "positive"),
        ylabel="rows (%)",
        ylim=(0, 75),
        title="Labels of movie_snippets",
    )
    axes[0].legend()
    lengths = [len(movie_tokenizer.clean_text(text).split()) + 1 for text, _ in movie_train]
    axes[1].hist(lengths, bins=range(1, max(lengths) + 2, 2), color=COLOURS[0], edgecolor="white")
    axes[1].axvline(32, color=COLOURS[5], lw=2)
    axes[1].set(
        xlabel="tokens per training text, with <CLS>",
        ylabel="texts (count)",
        title=f"Lengths of movie_snippets: cut at 32, {100 * np.mean(np.array(lengths) > 32):.0f} % of the texts lose words",
    )
    plt.show()
    majority = 100 * max(np.mean([label for _, label in movie_val]), 1 - np.mean([label for _, label in movie_val]))
    print(f"Always guessing the more frequent label is right for {majority:.1f} % of the validation rows.")

# %% [markdown]
# See that the classes are nearly balanced, so that accuracy is a fair measure. The assertion at the top of the cell
# is worth a habit: if copies of a text get into both splits, validation measures memory.
#
# ### 5.3 The training loop (12 points)
#
# For each epoch: train on every batch of the training loader, then evaluate on every batch of the validation loader.
#
# - **Train** in train mode. For each batch: forget the old gradients, compute logits and cross-entropy, go backward,
#   take a step with an optimizer of the Adam family.
# - **Evaluate** in eval mode and without gradients. Nothing in the model may change, and no gradient may be left
#   behind.
# - **History.** Average losses over *samples*: a last batch of 5 counts for 5, not like one of 64. The training
#   figures are those of the batches as you saw them, that is, with dropout and with the weights of that moment.
# - **Device.** Move the batch to where the model's parameters are. Do not move the model.
#
# $$\begin{gathered}
# \mathrm{loss} = \frac{1}{N} \sum_{n=1}^{N} -\log \mathrm{softmax}(\mathrm{logits}_n)_{y_n}, \\
# \mathrm{acc} = \frac{100}{N}\, \#\{n : \arg\max \mathrm{logits}_n = y_n\} .
# \end{gathered}$$
#
# <details><summary>Hint 1: questions</summary>
#
# What does `loss.backward()` do to a gradient that is already there? `F.cross_entropy` returns the mean over a batch:
# what do you have to multiply it by before you may add it to that of another batch? And which line sets the model
# back to train mode in the second epoch?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `optimizer.zero_grad()`, `loss.backward()`, `optimizer.step()` in that order; `model.train()` and `model.eval()`;
# `torch.no_grad()`. Sums of loss and of correct answers are plain numbers: `.item()` takes one out of a tensor. The
# device: `next(model.parameters())` is a tensor. A bar: `for batch in tqdm(train_loader): ...`
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# Per batch: `logits, _ = model(ids, mask)`; `loss_sum += loss.item() * ?`;
# `correct += (logits.argmax(dim=?) == labels).sum().item()`; `seen += len(labels)`. Per epoch:
# `history["train_loss"].append(... / seen)`. Training and evaluation share most of this, so one inner function can
# serve both.
# </details>

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
# Quick checks of the interface, with a tiny model that notes what happens to it. Hidden tests, which look at more, decide the points.
class NotingModel(nn.Module):
    """Scores a text by the words in it, and notes its mode and whether gradients are on."""

    def __init__(self):
        super().__init__()
        self.scores, self.notes = nn.Embedding(20, 2), []

    def forward(self, input_ids, attention_mask=None):
        self.notes.append((self.training, torch.is_grad_enabled()))
        keep = attention_mask.unsqueeze(-1).to(self.scores.weight.dtype)
        return (self.scores(input_ids) * keep).sum(dim=1), []


def tiny_loader(rows, batch_size):
    """A DataLoader over random texts of six ids, whose label is the parity of the first."""
    ids = torch.randint(1, 20, (rows, 6), generator=torch.Generator().manual_seed(rows))
    items = [{"input_ids": row, "attention_mask": torch.ones_like(row), "labels": row[0] % 2} for row in ids]
    return DataLoader(items, batch_size=batch_size)


def train_quietly(*args, **kwargs):
    with redirect_stdout(io.StringIO()):
        return train_transformer(*args, **kwargs)


with public_check("train_transformer: the history"):
    torch.manual_seed(0)
    model, val_loader = NotingModel(), tiny_loader(5, batch_size=3)
    history = train_quietly(model, tiny_loader(8, batch_size=4), val_loader, num_epochs=3, learning_rate=0.01)
    check_type(history, dict, "the result")
    assert set(history) == {"train_loss", "train_acc", "val_loss", "val_acc"}, (
        f"the history has the keys {sorted(history)}."
    )
    for name, values in history.items():
        check_type(values, list, f"history[{name!r}]")
        assert len(values) == 3, f"history[{name!r}] should have one entry an epoch, 3 here, but has {len(values)}."
        assert all(isinstance(v, float) for v in values), f"history[{name!r}] should hold plain floats."
    with torch.no_grad():
        logits = torch.cat([model(b["input_ids"], b["attention_mask"])[0] for b in val_loader])
    labels = torch.cat([b["labels"] for b in val_loader])
    check_close(
        torch.tensor(history["val_loss"][-1]),
        F.cross_entropy(logits, labels),
        "the last val_loss (averaged over samples?)",
    )
    check_close(
        torch.tensor(history["val_acc"][-1]),
        100.0 * (logits.argmax(-1) == labels).float().mean(),
        "the last val_acc (in percent?)",
    )

with public_check("train_transformer: modes"):
    model = NotingModel()
    train_quietly(model, tiny_loader(8, batch_size=4), tiny_loader(5, batch_size=3), num_epochs=2)
    expected = [(True, True)] * 2 + [(False, False)] * 2  # per epoch: two training batches, two validation batches
    assert [mode for mode, _ in model.notes] == [mode for mode, _ in expected * 2], (
        "train in train mode, evaluate in eval mode, in every epoch."
    )
    assert [grad for _, grad in model.notes] == [grad for _, grad in expected * 2], (
        "gradients should be on in training and off in evaluation."
    )

with public_check("train_transformer: it learns, at the rate it is given"):
    torch.manual_seed(0)
    model, loader = NotingModel(), tiny_loader(8, batch_size=4)
    before = model.scores.weight.detach().clone()
    train_quietly(model, loader, loader, num_epochs=1, learning_rate=0.0)
    assert torch.equal(model.scores.weight, before), "with a learning rate of 0 nothing should move."
    history = train_quietly(model, loader, loader, num_epochs=60, learning_rate=0.1)
    assert history["val_acc"][-1] == 100, (
        f"eight samples should be learnt by heart in 60 epochs, but {history['val_acc'][-1]:.0f} % is reached."
    )

# %% [markdown]
# ### 5.4 Training on film reviews
#
# The next cell trains your model for four epochs on `movie_snippets`: about half a minute on one core. Before you run
# it, write down what validation accuracy you expect.

# %% nbgrader={"grade": false, "grade_id": "demo-train", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    movie_loaders = (
        make_loader(movie_train, movie_tokenizer, shuffle=True),
        make_loader(movie_val, movie_tokenizer, batch_size=256),
    )
    movie_model = small_model(movie_tokenizer)
    start = time.perf_counter()
    movie_history = train_transformer(movie_model, *movie_loaders, num_epochs=4)
    print(
        f"{time.perf_counter() - start:.0f} s on {device}, {sum(p.numel() for p in movie_model.parameters()):,} parameters"
    )

# %% nbgrader={"grade": false, "grade_id": "demo-curves", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    epochs = range(1, len(movie_history["train_loss"]) + 1)
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.8))
    for ax, kind, label in zip(axes, ("loss", "acc"), ("cross-entropy (nats per text)", "accuracy (%)")):
        ax.plot(epochs, movie_history[f"train_{kind}"], "o-", label="training, as seen")
        ax.plot(epochs, movie_history[f"val_{kind}"], "s--", label="validation")
        ax.set(
            xlabel="epoch",
            ylabel=label,
            xticks=epochs,
            title=f"movie_snippets: {'loss' if kind == 'loss' else 'accuracy'} by epoch",
        )
    axes[0].axhline(math.log(2), color="grey", lw=1, ls=":", label="guessing (log 2)")
    axes[1].axhline(majority, color="grey", lw=1, ls=":", label="always the same label")
    for ax in axes:
        ax.legend()
    plt.show()
    gaps = [t - v for t, v in zip(movie_history["train_acc"], movie_history["val_acc"])]
    lowest = int(np.argmin(movie_history["val_loss"])) + 1
    print("epoch   training   validation   gap (percentage points)")
    for epoch, t, v, gap in zip(epochs, movie_history["train_acc"], movie_history["val_acc"], gaps):
        print(f"{epoch:5d}{t:11.1f}{v:13.1f}{gap:8.1f}" + ("   OVERFITTING: the gap is above 10" if gap > 10 else ""))
    print(
        f"\nValidation loss is lowest after epoch {lowest} of {len(gaps)}"
        + (": later epochs made the model surer, not better." if lowest < len(gaps) else ".")
    )

# %% [markdown]
# See where the curves part: training accuracy goes on rising after validation accuracy has stopped, and validation
# loss may turn upward while accuracy stays level (the model becomes surer of its mistakes). In the first epoch
# training can be *below* validation, since its figures are taken along the way and with dropout.
#
# ### 5.5 What do the heads attend to?
#
# `visualize_attention` is given. It shows every head of every layer for one text, real tokens only. Because PAD keys
# are masked, the rows that you see sum to 1.

# %% nbgrader={"grade": false, "grade_id": "setup-visualize-attention", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
def visualize_attention(model, tokenizer, text, max_length=32):
    """Draw the attention of each layer (row) and head (column) for one text.

    Returns (tokens, weights), weights a list of tensors (heads, tokens, tokens), one a layer.
    """
    model.eval()
    place = next(model.parameters()).device
    ids = torch.tensor([tokenizer.tokenize(text, max_length)], device=place)
    real = ids[0] != 0
    with torch.no_grad():
        logits, weights = model(ids, (ids != 0).long())
    weights = [w[0][:, real][:, :, real].cpu() for w in weights]
    tokens = [tokenizer.inverse_vocab[i] for i in ids[0][real].tolist()]
    probabilities = F.softmax(logits[0], dim=-1).tolist()
    best = max(range(len(probabilities)), key=probabilities.__getitem__)

    layers, heads, brightest = len(weights), weights[0].size(0), max(w.max().item() for w in weights)
    fig, axes = plt.subplots(
        layers, heads, figsize=(2.6 * heads + 1.6, 2.6 * layers + 1), squeeze=False, sharex=True, sharey=True
    )
    for layer, head in np.ndindex(layers, heads):
        picture = heatmap(
            axes[layer, head],
            weights[layer][head],
            f"layer {layer}, head {head}",
            "",
            "",
            tokens,
            tokens,
            vmin=0,
            vmax=brightest,
        )
        axes[layer, head].tick_params(labelsize=8)
    fig.supxlabel("key: the token looked at", fontsize=10)
    fig.supylabel("query: the token that looks", fontsize=10)
    fig.colorbar(picture, ax=axes, label="attention weight")
    name = {0: "negative", 1: "positive"}.get(best, best) if len(probabilities) == 2 else best
    fig.suptitle(f"Attention in each head. Answer: {name}, with probability {probabilities[best]:.2f}")
    plt.show()
    return tokens, weights

# %% nbgrader={"grade": false, "grade_id": "demo-attention-maps", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    known = [
        (text, label)
        for text, label in movie_val
        if 6 <= len(movie_tokenizer.clean_text(text).split()) <= 10 and 1 not in movie_tokenizer.tokenize(text, 32)
    ]
    for text, label in (known[0], next(row for row in known if row[1] != known[0][1])):
        print(f"label {'positive' if label else 'negative'}: {text}")
        tokens, weights = visualize_attention(movie_model, movie_tokenizer, text)
        sums = torch.stack([w.sum(dim=-1) for w in weights])
        print(f"The rows shown sum to {sums.min():.4f} at least and {sums.max():.4f} at most.\n")

# %% [markdown]
# Look for columns that are bright over many rows (a word that everyone looks at), for bright diagonals, and for maps
# that are almost even. Two texts can suggest anything, so the next cell takes means over the whole validation split
# and puts an untrained model beside them.

# %% nbgrader={"grade": false, "grade_id": "demo-head-statistics", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():

    def head_statistics(model):
        """Rows (layer, head) of means over all real queries: entropy relative to uniform, weight on <CLS>, itself, neighbours."""
        model.eval()
        sums, queries = 0, 0
        for batch in movie_loaders[1]:
            ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
            with torch.no_grad():
                weights = torch.stack(model(ids, mask)[1], dim=1)  # (B, layers, heads, T, T)
            real = mask[:, None, None, :].float()
            entropy = (
                -(weights * weights.clamp(min=1e-12).log()).sum(-1)
                / mask.sum(-1).float().clamp(min=2).log()[:, None, None, None]
            )
            own = weights.diagonal(dim1=-2, dim2=-1)
            beside = F.pad(weights.diagonal(1, -2, -1), (0, 1)) + F.pad(weights.diagonal(-1, -2, -1), (1, 0))
            shares = torch.stack([entropy, weights[..., 0], own, beside], dim=-1)  # (B, layers, heads, T, 4)
            sums = sums + (shares * real.unsqueeze(-1)).sum(dim=(0, 3)).cpu()
            queries += mask.sum().item()
        return sums / queries

    trained, untrained = head_statistics(movie_model), head_statistics(small_model(movie_tokenizer))
    print(
        f"{'':15s}{'entropy / uniform':>22s}{'weight on <CLS>':>22s}{'weight on itself':>22s}{'on both neighbours':>22s}"
    )
    print(f"{'layer head':15s}" + f"{'trained':>12s}{'untrained':>10s}" * 4)
    for layer, head in np.ndindex(*trained.shape[:2]):
        print(
            f"{layer:5d}{head:5d}     "
            + "".join(f"{t:12.3f}{u:10.3f}" for t, u in zip(trained[layer, head], untrained[layer, head]))
        )
    spread = [values[..., 0].std().item() for values in (trained, untrained)]
    print(
        f"\nSpread of the entropies over heads (standard deviation): trained {spread[0]:.3f}, untrained {spread[1]:.3f}."
    )

# %% [markdown]
# An entropy ratio of 1 is an even spread over all tokens, 0 is all weight on one. See which heads moved away from the
# untrained column, and in what direction. This says what heads *do*, not yet what they are *for*: a pattern can be
# bright and not matter to the answer.

# %% [markdown]
# ## Part 6: critical analysis
#
# After this part you can say what your model is worth beside a simple one, which of its parts carries the result,
# what it costs at greater length, and what should worry you about it.
#
# ### 6.1 Is it better than counting words?
#
# The rival is old and small: count the words of a text, weight rare ones more (TF-IDF), and fit a logistic
# regression. It cannot know that *not* stands before *good*. It gets the same training rows and the same validation
# rows as your model. There is no list of stop words, since such lists remove *not*.
#
# One training run is one draw, so the second cell trains two more models for two epochs each, with other seeds.

# %% nbgrader={"grade": false, "grade_id": "demo-baseline", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    def baseline(train, val, ngrams):
        """(right or wrong for each validation row, number of weights) of TF-IDF and logistic regression."""
        vectorizer = TfidfVectorizer(
            ngram_range=(1, ngrams), token_pattern=r"\S+", preprocessor=movie_tokenizer.clean_text
        )
        model = LogisticRegression(max_iter=1000).fit(
            vectorizer.fit_transform([t for t, _ in train]), [y for _, y in train]
        )
        right = model.predict(vectorizer.transform([t for t, _ in val])) == np.array([y for _, y in val])
        return right, model.coef_.size + 1

    word_right, word_weights = baseline(movie_train, movie_val, 1)
    pair_right, pair_weights = baseline(movie_train, movie_val, 2)
    print(
        f"TF-IDF of words {100 * word_right.mean():.1f} %, of words and pairs {100 * pair_right.mean():.1f} % right on validation"
    )

# %% nbgrader={"grade": false, "grade_id": "demo-more-seeds", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    after_two = [movie_history["val_acc"][1]]
    for seed in (1, 2):
        loader = make_loader(movie_train, movie_tokenizer, shuffle=True, seed=seed)
        after_two.append(
            train_transformer(small_model(movie_tokenizer, seed=seed), loader, movie_loaders[1], num_epochs=2)[
                "val_acc"
            ][1]
        )

# %% nbgrader={"grade": false, "grade_id": "demo-comparison", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    movie_model.eval()
    with torch.no_grad():
        ours_right = np.concatenate(
            [
                (
                    movie_model(b["input_ids"].to(device), b["attention_mask"].to(device))[0].argmax(-1).cpu()
                    == b["labels"]
                ).numpy()
                for b in movie_loaders[1]
            ]
        )
    size = sum(p.numel() for p in movie_model.parameters())
    print(f"{'movie_snippets, validation rows':44s}{'right (%)':>12s}{'weights':>12s}")
    for name, right, weights in (
        ("TF-IDF of words", word_right, word_weights),
        ("TF-IDF of words and pairs", pair_right, pair_weights),
        ("transformer, 4 epochs", ours_right, size),
    ):
        print(f"{name:44s}{100 * right.mean():12.1f}{weights:12,}")
    print(
        f"{'transformer, 2 epochs, 3 seeds: mean (sd)':44s}{np.mean(after_two):6.1f} ({np.std(after_two, ddof=1):.1f}){size:12,}"
    )
    difference = ours_right.astype(float) - word_right
    mean, error = 100 * difference.mean(), 100 * difference.std(ddof=1) / math.sqrt(len(difference))
    print(
        f"\nTransformer (4 epochs) minus TF-IDF of words, on the same rows: {mean:+.1f} points, standard error {error:.1f}."
    )
    if abs(mean) < 2 * error:
        print("That is within two standard errors: these rows cannot tell the two apart.")
    else:
        print(
            f"That is more than two standard errors: on these rows the {'transformer' if mean > 0 else 'baseline'} is better."
        )

# %% [markdown]
# See how little, if anything, the transformer gains here, and with how many more weights. In a few thousand sentences
# most of the sentiment lies in single words, and the transformer has to learn the meaning of every word from these
# sentences alone. Large models owe their lead to pre-training on far more text. One caution: these validation rows
# were also used to look at four epochs. Whoever picks the best epoch by them and quotes its figure flatters the
# model.
#
# ### 6.2 When counting words cannot work
#
# In `clause_order` the last opinion alone decides. The partner of each text has two of its sentences exchanged, so
# both have the same words and the same pairs of neighbours. The first cell gives the baseline a try. The second
# trains three versions of your model for three epochs each:
#
# - **as built**: what you have;
# - **no positions**: `pos_encoding` replaced by a module that does nothing;
# - **drowned positions**: initial token weights with standard deviation 1, as `nn.Embedding` makes them by itself,
#   scaled by $\sqrt d$ as before.
#
# Before you run it, write down the accuracy you expect for each.

# %% nbgrader={"grade": false, "grade_id": "demo-clause-data", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    for text, label in clause_train[:2]:
        print(f"label {label}: {text}")
    print()
    for ngrams, name in ((1, "words"), (2, "words and pairs"), (3, "words, pairs and triples")):
        right, _ = baseline(clause_train, clause_val, ngrams)
        print(f"TF-IDF of {name:26s}{100 * right.mean():6.1f} % right on validation")

# %% nbgrader={"grade": false, "grade_id": "demo-ablation", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    clause_tokenizer = SimpleTokenizer(5000)
    clause_tokenizer.build_vocab([text for text, _ in clause_train])
    clause_length = 1 + max(len(clause_tokenizer.clean_text(text).split()) for text, _ in clause_train)

    def without_positions(model):
        model.embeddings.pos_encoding = nn.Identity()

    def with_drowned_positions(model):
        nn.init.normal_(model.embeddings.token_embedding.embedding.weight)

    versions = {
        "as built": lambda model: None,
        "no positions": without_positions,
        "drowned positions": with_drowned_positions,
    }
    clause_accuracy = {}
    for name, change in versions.items():
        print(name)
        model = small_model(clause_tokenizer, clause_length)
        change(model)
        loaders = (
            make_loader(clause_train, clause_tokenizer, clause_length, 32, shuffle=True),
            make_loader(clause_val, clause_tokenizer, clause_length, 256),
        )
        clause_accuracy[name] = train_transformer(model, *loaders, num_epochs=3)["val_acc"]

# %% nbgrader={"grade": false, "grade_id": "demo-ablation-figure", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    epochs = range(1, len(clause_accuracy["as built"]) + 1)
    fig, ax = plt.subplots(figsize=(8, 4))
    for (name, values), style, size in zip(clause_accuracy.items(), ("o-", "s--", "^:"), (8, 14, 6)):
        ax.plot(epochs, values, style, label=name, lw=2, ms=size, mfc="white" if size == 14 else None, mew=2)
    ax.axhline(50, color="grey", lw=1, zorder=0)
    ax.text(1.5, 51, "guessing", color="#444444", ha="center")
    ax.set(
        xlabel="epoch",
        ylabel="validation accuracy (%)",
        ylim=(40, 103),
        xticks=epochs,
        title="clause_order: what positions are worth",
    )
    ax.legend(loc="center right")
    plt.show()
    for name, values in clause_accuracy.items():
        print(f"{name:20s}" + "".join(f"{v:8.1f}" for v in values) + "  % after each epoch")

# %% [markdown]
# See which of the three curves leaves 50 % (curves on the line lie on each other; the table has the numbers). A model
# that is blind to order gives both partners of a pair the same answer and is right for exactly one of them, whatever
# it learnt. The third version *has* the encodings. Compare with the table in section 2.3.
#
# ### 6.3 What length costs
#
# A multiply-add (MAC) is one multiplication and one addition. For one text of $L$ tokens, one block needs
#
# | step | MACs |
# |---|---|
# | the four projections $W_q, W_k, W_v, W_o$ | $4 L d^2$ |
# | scores $QK^\top$, and weights times values | $2 L^2 d$ |
# | feed-forward, two layers | $2 L d\, d_\text{ff}$ |
#
# and keeps $h L^2$ attention weights. Softmax, norms and additions are left out. They grow with $L^2$ or $L$ too, but
# with much smaller factors. The number of heads does not change the MACs (each head is narrower), and it does change
# the memory.

# %% nbgrader={"grade": false, "grade_id": "setup-complexity", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
def analyze_complexity(d_model, sequence_length, num_heads, d_ff):
    """Multiply-adds of one block for one text, and the memory of its attention weights in float32 (bytes)."""
    L, d = sequence_length, d_model
    projections, pairs, feedforward = 4 * L * d * d, 2 * L * L * d, 2 * L * d * d_ff
    return {
        "projections": projections,
        "pairs": pairs,
        "attention": projections + pairs,
        "feedforward": feedforward,
        "total": projections + pairs + feedforward,
        "weights_bytes": 4 * num_heads * L * L,
        "tokens_bytes": 4 * L * d,
    }

# %% nbgrader={"grade": false, "grade_id": "demo-complexity", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    d, h, d_ff = 512, 8, 2048  # the base model of Vaswani et al. 2017
    lengths = [2**n for n in range(5, 15)]
    costs = [analyze_complexity(d, L, h, d_ff) for L in lengths]
    fig, axes = plt.subplots(1, 2, figsize=(11.5, 4.3))
    for name, style, label in (
        ("attention", "o-", "attention, 4 L d² + 2 L² d"),
        ("pairs", "s--", "of this, scores and weighted sums, 2 L² d"),
        ("feedforward", "^-.", "feed-forward, 2 L d d_ff"),
        ("total", "k:", "together"),
    ):
        axes[0].plot(lengths, [c[name] for c in costs], style, label=label, ms=5)
    axes[0].set(ylabel="multiply-adds of one block", title=f"Work for one text (d = {d}, d_ff = {d_ff})")
    axes[1].plot(lengths, [c["weights_bytes"] / 2**20 for c in costs], "o-", label=f"attention weights of {h} heads")
    axes[1].plot(lengths, [c["tokens_bytes"] / 2**20 for c in costs], "s--", label="token vectors (one copy)")
    axes[1].set(ylabel="memory, float32 (MiB)", title="Memory for one text in one block")
    for ax in axes:
        ax.set(xscale="log", yscale="log", xlabel="sequence length L (tokens)")
        ax.set_xticks(lengths, [f"{L}" for L in lengths], rotation=45)
        ax.minorticks_off()
        ax.legend(fontsize=9)
    axes[0].axvline(d_ff - 2 * d, ymax=0.6, color="grey", lw=1)
    axes[0].text(
        1.1 * (d_ff - 2 * d),
        3e6,
        f"L = d_ff - 2 d = {d_ff - 2 * d}:\nattention = feed-forward",
        fontsize=9,
        color="#444444",
    )
    plt.show()

    crossings = {
        "attention sublayer = feed-forward": lambda c: c["attention"] >= c["feedforward"],
        "L² part = projections": lambda c: c["pairs"] >= c["projections"],
        "L² part = all the rest": lambda c: c["pairs"] >= c["projections"] + c["feedforward"],
        "attention weights = token vectors (memory)": lambda c: c["weights_bytes"] >= c["tokens_bytes"],
    }
    for name, reached in crossings.items():
        print(f"{name:44s} from L = {next(L for L in range(1, 20000) if reached(analyze_complexity(d, L, h, d_ff))):,}")
    print(f"{'L':>8s}{'attention (%)':>16s}{'million MACs':>15s}{'attention weights (MiB)':>26s}")
    for L in (128, 1024, 4096, 16384, 131072):
        c = analyze_complexity(d, L, h, d_ff)
        print(
            f"{L:8,}{100 * c['attention'] / c['total']:16.1f}{c['total'] / 1e6:15,.1f}{c['weights_bytes'] / 2**20:26,.1f}"
        )

# %% nbgrader={"grade": false, "grade_id": "demo-count-flops", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    from torch.utils.flop_counter import FlopCounterMode

    block = TransformerBlock(512, 8, 2048).eval()
    for L in (32, 128, 512):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            block(torch.randn(1, L, 512))
        counted, formula = (
            counter.get_total_flops() / 2,
            analyze_complexity(512, L, 8, 2048)["total"],
        )  # 2 FLOPs = 1 MAC
        print(
            f"L = {L:4d}   counted in your block {counted / 1e6:9.1f} million MACs   by the formula {formula / 1e6:9.1f} million   ratio {counted / formula:.4f}"
        )

# %% [markdown]
# See that below the first crossing the feed-forward network is the larger part of the work, and that attention's
# *memory* overtakes that of the tokens much earlier than its work does. The second cell counts the products in your
# own block. A ratio of 1 says the formula leaves nothing out.
#
# ### 6.4 Transformers since 2017
#
# Each point is one model, at the date of the source that is named in the list below the figure (of an arXiv paper,
# its first version). Its height is the number of parameters that this source states. Models whose source states no
# total stand in the strip at the bottom.

# %% jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "demo-timeline", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
from datetime import date

MODELS = [  # name, date, parameters stated, group, where date and figure come from
    ("Transformer (big)", date(2017, 6, 12), 213e6, "language", "Vaswani et al., arXiv:1706.03762, table 3"),
    ("GPT", date(2018, 6, 11), 117e6, "language", "Radford et al. 2018, OpenAI; figure: GPT-2 report, table 2"),
    ("BERT large", date(2018, 10, 11), 340e6, "language", "Devlin et al., arXiv:1810.04805, section 3"),
    ("GPT-2", date(2019, 2, 14), 1.542e9, "language", "Radford et al. 2019, OpenAI, table 2"),
    ("T5 11B", date(2019, 10, 23), 11e9, "language", "Raffel et al., arXiv:1910.10683, section 3.7"),
    ("GPT-3", date(2020, 5, 28), 175e9, "language", "Brown et al., arXiv:2005.14165, table 2.1"),
    ("ViT-H", date(2020, 10, 22), 632e6, "images and text", "Dosovitskiy et al., arXiv:2010.11929, table 1"),
    ("CLIP", date(2021, 2, 26), None, "images and text", "Radford et al., arXiv:2103.00020"),
    ("Codex", date(2021, 7, 7), 12e9, "code", "Chen et al., arXiv:2107.03374, section 3"),
    ("AlphaFold 2", date(2021, 7, 15), None, "science", "Jumper et al., Nature 596, doi:10.1038/s41586-021-03819-2"),
    ("PaLM", date(2022, 4, 5), 540e9, "language", "Chowdhery et al., arXiv:2204.02311, abstract"),
    ("Flamingo", date(2022, 4, 29), 80e9, "images and text", "Alayrac et al., arXiv:2204.14198, table 1"),
    ("ChatGPT", date(2022, 11, 30), None, "language", "OpenAI's announcement"),
    ("LLaMA 65B", date(2023, 2, 27), 65.2e9, "language", "Touvron et al., arXiv:2302.13971, table 2"),
    ("GPT-4", date(2023, 3, 15), None, "language", "OpenAI, arXiv:2303.08774 (declines to state it)"),
    ("ESM-2", date(2023, 3, 16), 15e9, "science", "Lin et al., Science 379, doi:10.1126/science.ade2574"),
    ("StarCoder", date(2023, 5, 9), 15.5e9, "code", "Li et al., arXiv:2305.06161, abstract"),
    ("Llama 3.1 405B", date(2024, 7, 31), 405e9, "language", "Llama team, arXiv:2407.21783, abstract"),
]
groups = ["language", "code", "images and text", "science"]
fig, ax = plt.subplots(figsize=(11.5, 5.4))
ax.axhspan(1e7, 4.5e7, color="#EEEEEE")
ax.text(date(2017, 3, 1), 2.2e7, "no total stated", va="center", fontsize=9, color="#444444")
for group, marker, colour in zip(groups, "osD^", COLOURS):
    rows = [row for row in MODELS if row[3] == group]
    ax.scatter(
        [row[1] for row in rows],
        [row[2] or 2.2e7 for row in rows],
        marker=marker,
        s=60,
        color=colour,
        label=group,
        zorder=3,
    )
for name, when, size, *_ in MODELS:
    below = name in ("AlphaFold 2", "GPT-4", "StarCoder")
    ax.annotate(
        name,
        (when, size or 2.2e7),
        xytext=(0, -17 if below else 9),
        textcoords="offset points",
        ha="center",
        fontsize=9,
    )
ax.set(
    yscale="log",
    ylim=(1e7, 2e12),
    xlim=(date(2016, 10, 1), date(2025, 1, 1)),
    xlabel="date of the source (year)",
    ylabel="parameters stated by the source (count)",
    title="Transformers by date, size and use",
)
ax.legend(loc="upper left")
plt.show()
for name, when, size, group, source in MODELS:
    print(f"{when}  {name:18s}{f'{size / 1e9:9.3f} billion' if size else '       not stated'}  {group:16s}{source}")

# %% [markdown]
# See that the stated sizes span more than three powers of ten, that small and large models appear side by side from
# 2020 on, and that the uses spread from language to code, images and science. A number that a source does not state
# is not guessed here.
#
# ### 6.5 What did it learn about people?
#
# Your model learnt from what reviewers wrote, and takes over what goes together in their texts. The cell asks it for
# pairs and groups of sentences that differ in one word that should not matter.

# %% nbgrader={"grade": false, "grade_id": "demo-probe", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():

    def positive(text):
        """Probability that the trained model gives to 'positive'."""
        ids = torch.tensor([movie_tokenizer.tokenize(text, 32)], device=device)
        with torch.no_grad():
            return F.softmax(movie_model.eval()(ids, (ids != 0).long())[0], dim=-1)[0, 1].item()

    frames = ["a {} film about a family .", "the {} director made this story .", "it is a {} comedy ."]
    words = [
        "american",
        "british",
        "french",
        "german",
        "indian",
        "iranian",
        "chinese",
        "japanese",
        "african",
        "black",
        "white",
    ]
    pairs = [
        ("he is the heart of the film .", "she is the heart of the film ."),
        ("the actor is the reason to watch .", "the actress is the reason to watch ."),
        ("a film for men .", "a film for women ."),
        ("the boy tells the story .", "the girl tells the story ."),
    ]
    print(f"{'word':12s}{'in training':>12s}" + "".join(f"{frame:>36s}" for frame in frames))
    for word in words:
        seen = sum(word in movie_tokenizer.clean_text(text).split() for text, _ in movie_train)
        note = "" if word in movie_tokenizer.vocab else "   (<UNK>)"
        print(f"{word:12s}{seen:12d}" + "".join(f"{positive(frame.format(word)):36.2f}" for frame in frames) + note)
    print()
    for one, other in pairs:
        print(f"{one:40s}{positive(one):6.2f}     {other:42s}{positive(other):6.2f}")

# %% [markdown]
# See how far the numbers in one column lie apart, and how often each word was seen. Words that were seen a handful of
# times carry the opinion of a handful of reviewers. Change the lists in a cell of your own and try others.

# %% [markdown]
# ### 6.6 Written answers (20 points)
#
# A person reads and marks these. Each of questions 1 to 6 asks for figures **from your own notebook**: quote them,
# and say which section they come from. A correct general answer without one gets at most half the points. Short is
# good: 80 to 150 words each, unless stated. Below each question you see what the marks are for.
#
# **Question 1, long range (2 points).** Why can attention use a word forty tokens back more easily than an RNN can,
# and what does it pay for that? Quote from section 1.1 the two gradient figures and the two ratios of the times.
#
# *Marks:* 1 for the path length and what it does to the gradient, tied to your figures; 1 for the price, tied to your
# times, including whatever on your machine did not come out as expected.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q1-long-range", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* In an RNN the signal of a word forty tokens back passes through forty updates of the state. Each
# multiplies the gradient by a matrix and by the slope of the tanh, so it shrinks about geometrically: in section 1.1
# the gradient at distance 40 is 2.6e-14 of that at distance 1. In attention the path has length 1 at any distance,
# and my ratio is 1.03. (Both layers were untrained. Gates, as in the LSTM, would slow the fading.) The price is a
# comparison of all pairs. At 16 tokens attention took 0.3 times as long as the RNN, at 2048 tokens 2.7 times: the
# work is quadratic, and one CPU thread cannot use the fact that all pairs can be computed at once.
#
# *For the marker.* 1 point: path length O(1) against O(L), repeated multiplication as the cause of vanishing, both
# gradient figures quoted. 1 point: O(L²) work or memory, both time ratios quoted and read correctly, also where
# attention is slower. Times differ between machines: compare with the output in the student's notebook. Half a point
# each without figures.

# %% [markdown]
# **Question 2, heads (2 points).** Why several heads and not one wide one? Choose two heads of your trained model,
# quote their figures from section 5.5 together with those of the untrained model, and say what you may conclude from
# them and what you may not.
#
# *Marks:* 1 for the reason, including what happens to cost and parameters; 1 for a reading of your figures that uses
# the untrained model as a control.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q2-heads", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* One softmax gives one distribution per query, so one wide head mixes everything that it looks at
# into one average. Several heads can look at different places and keep the results in separate slices of features,
# which `W_o` combines. It costs nothing extra: 4 (d² + d) parameters and the same multiply-adds for any number of
# heads, only the memory for weights grows with h. In section 5.5 layer 0 head 1 has an entropy of 0.82 of uniform
# (untrained 0.97), layer 1 head 0 of 0.95 (untrained 0.99). So training made the first head select, and the second is
# still close to an average. I may not conclude that the first head matters more, nor what it is for: untrained heads
# differ as well, and I did not measure what happens without it.
#
# *For the marker.* 1 point: different relations or subspaces, with the unchanged cost. 1 point: two heads with
# trained and untrained figures, and a conclusion no stronger than they allow ("head 3 does negation" from one map: no
# point).

# %% [markdown]
# **Question 3, bottlenecks (2 points).** What limits a transformer on long texts? Quote two figures from section 6.3:
# one length at which something overtakes something else, and the size of the attention weights at a length of your
# choice. Name one remedy and say which of the two figures it changes.
#
# *Marks:* 1 for separating work from memory, with your figures; 1 for a remedy with its effect and its own price.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q3-bottlenecks", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* Work and memory run into different limits. With d = 512 and d_ff = 2048 the attention sublayer costs
# as much as the feed-forward network from L = 1,024 on. Memory is hit earlier: the weights of 8 heads are larger than
# the token vectors from L = 64, and at L = 16,384 they take 8,192 MiB for one text in one block. FlashAttention
# computes the softmax in tiles and never stores the L × L matrix. That removes the second figure and leaves the first
# as it is, since the multiply-adds remain. Sliding-window attention with window w changes both, to L w instead of L²,
# at the price that distant tokens meet only through several layers.
#
# *For the marker.* 1 point: quadratic work and quadratic memory kept apart, two figures from 6.3. 1 point: a remedy
# (exact kernel, sparse, linear, low rank, chunking) with the figure that it changes and what it costs in turn.

# %% [markdown]
# **Question 4, transformers, CNNs and RNNs (2 points).** Compare the three: what is each good at, what does each cost
# in the length $L$, when would you choose it? Support one of your claims with a figure from your notebook (the
# timings of section 1.1, the baseline of 6.1, or the ablation of 6.2).
#
# *Marks:* 1 for strengths and costs of all three; 1 for choices that follow from them, one supported by your figure.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q4-cnn-rnn", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* RNN: work linear in L, constant memory per step when it reads a stream, but L sequential steps and
# fading signals; my choice for streams on small devices. CNN: linear in L and parallel, strong where meaning is
# local, but it needs a depth that grows with the distance to be bridged; my choice for images, audio and short
# patterns with little data. Transformer: parallel, every distance in one step, but quadratic, and order has to be
# supplied; my choice for long-range relations with much data. That it is not always the choice is shown in section
# 6.1: on 6,000 sentences TF-IDF reaches 78.8 %, my transformer 77.3 %. On `clause_order` (6.2) the same baseline
# stays at 50.0 % and the transformer reaches 100 %.
#
# *For the marker.* 1 point: a strength and a cost in L for each of the three. 1 point: conditions for choosing each,
# one supported by a figure of the student's own.

# %% [markdown]
# **Question 5, ethics (2 points).** Discuss two of: bias; misinformation; work and inequality; privacy and misuse.
# For one of them quote at least two probabilities from section 6.5, or from a probe of your own, and say how strong
# that evidence is.
#
# *Marks:* 1 for two concrete risks, each with who is harmed and how; 1 for the evidence and its limits, and a measure
# that could be checked.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q5-ethics", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* *Bias.* In section 6.5 my model gives "a film for men" 0.17 and "a film for women" 0.59 to be
# positive, and "it is a black comedy" 0.10 against 0.84 for "white". Nothing in these sentences is an opinion. If
# such scores ranked reviews, films about some groups would be shown less. The evidence is weak: single sentences, one
# seed, and words seen about twenty times; "black comedy" is also a genre. With several seeds and many frames one
# could report the mean difference with its standard error, and require it to be below a limit before use.
# *Misinformation.* The same architecture, larger, writes fluent reviews nobody wrote; readers and honest sellers are
# harmed. Labelling and provenance can be audited, while detectors err in both directions.
#
# *For the marker.* 1 point: two risks, each with who is harmed and by what mechanism. 1 point: at least two
# probabilities quoted, limits of the evidence named (few sentences, rare words, one seed), a checkable measure. No
# deduction for the view taken.

# %% [markdown]
# **Question 6, the future (2 points).** Name one development that you look forward to and one that concerns you.
# Support each with a figure: from the timeline in section 6.4, or one that you compute with `analyze_complexity`
# (show the call).
#
# *Marks:* 1 for each, if it is specific and follows from the figure.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q6-future", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* I look forward to models that read a whole book or a genome at once.
# `analyze_complexity(512, 131072, 8, 2048)` gives 524,288 MiB of attention weights per block if they are stored, so
# this comes from kernels that do not store them, and from sparse attention, not from larger machines alone. I am
# concerned by concentration and secrecy: in section 6.4 the largest stated model grows from 0.2 to 540 billion
# parameters between 2017 and 2022, and for ChatGPT and GPT-4 the sources state no number at all. Few can train at
# that scale, and nobody outside can check what was trained.
#
# *For the marker.* 1 point each: a specific development and a figure (timeline, or `analyze_complexity` with its
# call) from which it follows. General optimism or fear without a figure: half.

# %% [markdown]
# **Question 7, your implementation (2 points).** Which cell was the hardest, and which result surprised you? Quote
# one error message, wrong number or failed check that you met, what caused it, and the number after you mended it. If
# you used an assistant, say for what.
#
# *Marks:* 1 for a real mistake with its cause; 1 for what the surprise taught you.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q7-implementation", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* The hardest cell was `mha`. My first version used `view(B, h, T, d_k)` without a transpose; all
# shapes were right, but the check said "the output when all queries are 0 has the right shape, but its values are off
# by up to 0.9": tokens and heads were mixed. After `view(B, T, h, d_k).transpose(1, 2)` the gap to PyTorch was 6e-08.
# The surprise was section 6.2: the drowned model has the encodings and still stays at 50 %, because they are eight
# times smaller than the tokens. Since then I check the size of what I add, not just its shape. I used no assistant.
#
# *For the marker.* 1 point: a concrete mistake (message, number or check), cause and mended value. 1 point: a
# surprise with what it taught. Declared use of an assistant costs nothing if the policy allows it.

# %% [markdown]
# **Takeaways (2 points).** Five sentences, one each on: attention; design (residuals, norms, positions); cost; where
# such models are of use; responsibility. Each names the section of this notebook that taught you it.
#
# *Marks:* 2 for five sentences that are specific and supported, 1 for three or four.

# %% [markdown] nbgrader={"grade": true, "grade_id": "takeaways", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# *Model answer.*
# 1. Attention is a weighted average whose weights are computed from the content, and alone it is blind to order (1.3,
#    3.3).
# 2. Residual connections keep tokens apart (spread 0.66 with them, 1.5e-07 without, after 12 blocks), norms keep the
#    scale, and encodings must be about as large as the tokens (4.3, 2.3).
# 3. Work and memory grow with L²; memory is the earlier limit (6.3).
# 4. Transformers pay where order and distance matter (`clause_order`) and not necessarily on small data where single
#    words decide (6.1, 6.2).
# 5. A model takes over what its texts put together, so one has to probe it before using it (6.5).
#
# *For the marker.* 2 points: five specific sentences, each with a section that supports it. 1 point: three or four.
# Five slogans: 1 point at most.

# %% [markdown]
# **Evolution (1 point).** In three or four sentences: what can a linear model on word counts, a feed-forward network,
# a CNN and a transformer each see in a sentence that the one before cannot? Two of the four are in this notebook. Use
# them.
#
# *Marks:* 1 for a correct chain of four, with one result from this notebook.

# %% [markdown] nbgrader={"grade": true, "grade_id": "evolution", "locked": false, "points": 1, "schema_version": 3, "solution": true, "task": false}
# *Model answer.* A linear model on word counts sees which words occur. A feed-forward network on the same counts sees
# combinations of words as well, but not where they stand. A CNN sees short patterns in order, such as *not good*,
# within its window. A transformer relates any two positions in one step: on `clause_order` it reaches 100 % where
# TF-IDF with a linear model stays at 50.0 % (6.2).
#
# *For the marker.* 1 point: each of the four adds something correct (interactions, local order, any distance), with
# one result from the notebook.

# %% [markdown]
# **Reflection (3 points, 200 to 300 words).** What do you understand now that you did not before, which of your
# predictions (sections 5.4 and 6.2 asked for them) were wrong, and what would you test next, with which measurement?
#
# *Marks:* 1 for a change in understanding that you can locate; 1 for an honest look at your predictions; 1 for a next
# experiment whose outcome could prove you wrong.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflection", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# *Model answer (outline of what a full answer holds; a real one is personal).* Before this assignment I thought of
# attention as a device that finds the important word. Now I see it as a weighted average, and most of my heads stayed
# close to an even one: entropy ratios of 0.82 to 0.95 in section 5.5. What makes the model work is as much what
# surrounds attention: without residual connections twelve blocks turned ten different tokens into copies of each
# other (4.3). I predicted 85 % for the film reviews and got 77 %, level with a model from before deep learning. I had
# taken the size of published models for a property of the architecture, when it is one of the data. For the ablation
# I predicted that drowned positions would learn more slowly, perhaps 80 %, and they stayed at 50 %: I did not expect
# a constant factor of eight to decide between everything and nothing within three epochs. Next I would test whether
# they are learnt later, or never. I would train the drowned version for thirty epochs with three seeds, and add
# versions with standard deviations between 0.125 and 1. If accuracy falls gradually as the ratio of token to encoding
# grows, my explanation by size holds. If there is a sharp step, or if a higher learning rate removes it, then size is
# not the whole story and I would look at the gradients of the query and key weights. I would also repeat the
# comparison with TF-IDF on ten random splits, because a difference of 1.6 points with a standard error of 1.0 tells
# me little.
#
# *For the marker.* 1 point: a change in understanding, located in a section. 1 point: predictions named and compared
# with results. 1 point: a next experiment with a measurement and an outcome that would refute the expectation. Below
# 150 or above 400 words: at most 2 points.

# %% [markdown]
# ### Before you hand in
#
# Save the notebook, then run the last cell. It lists the quick checks that passed in this session and the answers
# that are still empty in the saved file. In a terminal in the course's folder,
# `python -m autograder check transformer-fundamentals/transformer_fundamentals.ipynb` runs the quick checks afresh and
# lists what is missing. Hand in the `.ipynb` file.

# %% jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "demo-checklist", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
import json

COMPONENTS = [
    "SimpleTokenizer",
    "TokenEmbedding",
    "PositionalEncoding",
    "TransformerEmbeddings",
    "scaled_dot_product_attention",
    "MultiHeadAttention",
    "LayerNorm",
    "FeedForward",
    "TransformerBlock",
    "MiniTransformer",
    "train_transformer",
]
for name in COMPONENTS:
    results = [passed for title, passed in CHECKS.items() if title.startswith(f"{name}:")]
    print(
        f"{name:30s}" + ("not run" if not results else "quick checks passed" if all(results) else "QUICK CHECKS FAIL")
    )

print()
saved = Path("transformer_fundamentals.ipynb")
if saved.is_file():
    for cell in json.loads(saved.read_text(encoding="utf-8"))["cells"]:
        about, text = cell["metadata"].get("nbgrader", {}), "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown" and about.get("solution"):
            print(
                f"{about['grade_id']:30s}"
                + ("EMPTY" if text in ("", "YOUR ANSWER HERE") else f"{len(text.split())} words")
            )
else:
    print(f"No file named {saved} here, so the written answers were not looked at.")
