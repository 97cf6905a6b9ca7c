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
# # Inside a language model

# %% nbgrader={"grade": false, "grade_id": "setup-imports", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
import io
import linecache
import math
import os
import sys
import time
import traceback
import warnings
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn as nn
import torch.nn.functional as F
import tqdm as tqdm_module
import transformers
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
np.random.seed(42)
torch.manual_seed(42)
torch.set_num_threads(1)


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

# %% [markdown]
# ## 1 Model architecture and set-up

# %% nbgrader={"grade": false, "grade_id": "load-model", "locked": false, "schema_version": 3, "solution": true, "task": false}
def load_model(name_or_path):
    """The causal language model and the tokenizer of one checkpoint, from a hub name or a folder.

    The model is in eval mode, and a forward pass with output_attentions=True gives its attention weights.
    Returns (model, tokenizer).
    """
    ### BEGIN SOLUTION
    tokenizer = AutoTokenizer.from_pretrained(name_or_path)
    # the fused kernels, which are the default, never hold the attention weights
    model = AutoModelForCausalLM.from_pretrained(name_or_path, attn_implementation="eager", dtype=torch.float32)
    return model.eval(), tokenizer
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "load-model-tests", "locked": true, "points": 0.2, "schema_version": 3, "solution": false, "task": false}
with public_check("load_model"):
    assert callable(load_model), "load_model should be a function."

# %% nbgrader={"grade": false, "grade_id": "architecture", "locked": false, "schema_version": 3, "solution": true, "task": false}
def summarize_architecture(model):
    """The dimensions of `model` as a dict of int."""
    ### BEGIN SOLUTION
    config = model.config

    def first(*names):
        """The first of these fields that the config has and that is not None."""
        return next((v for name in names if (v := getattr(config, name, None)) is not None), None)

    hidden_size, heads = first("hidden_size", "n_embd"), first("num_attention_heads", "n_head")
    parameters = list(model.parameters())  # a tied weight is listed once
    return {
        "total_parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "parameter_bytes": sum(p.numel() * p.element_size() for p in parameters),
        "vocab_size": config.vocab_size,
        "hidden_size": hidden_size,
        "num_layers": first("num_hidden_layers", "n_layer"),
        "num_attention_heads": heads,
        "num_key_value_heads": first("num_key_value_heads") or heads,
        "head_dim": first("head_dim") or hidden_size // heads,
        "ffn_size": first("intermediate_size", "n_inner") or 4 * hidden_size,  # GPT-2 leaves it out when it is 4 d
        "max_positions": first("max_position_embeddings", "n_positions"),
    }
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "architecture-tests", "locked": true, "points": 0.6, "schema_version": 3, "solution": false, "task": false}
with public_check("summarize_architecture"):
    assert callable(summarize_architecture), "summarize_architecture should be a function."

# %% nbgrader={"grade": false, "grade_id": "s1-experiment", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
experiment = None
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s1-critical", "locked": false, "points": 0.8, "schema_version": 3, "solution": true, "task": false}
# s1-critical
#
# ### BEGIN SOLUTION
# (model answer)
# ### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s1-evidence", "locked": false, "points": 0.4, "schema_version": 3, "solution": true, "task": false}
# s1-evidence
#
# ### BEGIN SOLUTION
# (model answer)
# ### END SOLUTION

# %% [markdown]
# ## 2 Tokenization and vocabulary

# %% nbgrader={"grade": false, "grade_id": "tokenization-table", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tokenization_table(tokenizer, text):
    """One row for each id that tokenizer(text) yields; columns position, token_id, token, text."""
    ### BEGIN SOLUTION
    ids = tokenizer(text)["input_ids"]
    whole = tokenizer.decode(ids)
    texts, done = [], 0
    for n in range(1, len(ids) + 1):
        # A character may be spread over several tokens: it belongs to the one that completes it.
        stable = len(os.path.commonprefix([tokenizer.decode(ids[:n]), whole])) if n < len(ids) else len(whole)
        texts.append(whole[done : max(done, stable)])
        done = max(done, stable)
    return pd.DataFrame({
        "position": range(len(ids)), "token_id": ids, "token": tokenizer.convert_ids_to_tokens(ids), "text": texts,
    })
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "tokenization-table-tests", "locked": true, "points": 0.5, "schema_version": 3, "solution": false, "task": false}
with public_check("tokenization_table"):
    assert callable(tokenization_table), "tokenization_table should be a function."

# %% nbgrader={"grade": false, "grade_id": "token-contexts", "locked": false, "schema_version": 3, "solution": true, "task": false}
def token_ids_in_context(tokenizer, word, templates):
    """For each template with one {}, the ids of the tokens that overlap `word` there: dict template -> list of int."""
    ### BEGIN SOLUTION
    found = {}
    for template in templates:
        before, after = template.split("{}")
        start, end = len(before), len(before) + len(word)
        encoded = tokenizer(before + word + after, return_offsets_mapping=True)
        found[template] = [
            i for i, (a, b) in zip(encoded["input_ids"], encoded["offset_mapping"]) if a < end and b > start and a < b
        ]
    return found
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "token-contexts-tests", "locked": true, "points": 0.4, "schema_version": 3, "solution": false, "task": false}
with public_check("token_ids_in_context"):
    assert callable(token_ids_in_context), "token_ids_in_context should be a function."

# %% nbgrader={"grade": false, "grade_id": "compare-tokenizers", "locked": false, "schema_version": 3, "solution": true, "task": false}
def compare_tokenizers(tokenizers, texts):
    """One row for each tokenizer and text; columns tokenizer, text, tokens, characters_per_token, unknown."""
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
with public_check("compare_tokenizers"):
    assert callable(compare_tokenizers), "compare_tokenizers should be a function."

# %% nbgrader={"grade": false, "grade_id": "s2-experiment", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
experiment = None
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s2-critical", "locked": false, "points": 1.0, "schema_version": 3, "solution": true, "task": false}
# s2-critical
#
# ### BEGIN SOLUTION
# (model answer)
# ### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s2-evidence", "locked": false, "points": 0.6, "schema_version": 3, "solution": true, "task": false}
# s2-evidence
#
# ### BEGIN SOLUTION
# (model answer)
# ### END SOLUTION

# %% [markdown]
# ## 3 Probability and next-token prediction

# %% nbgrader={"grade": false, "grade_id": "next-token", "locked": false, "schema_version": 3, "solution": true, "task": false}
def next_token_probabilities(model, input_ids, temperature=1.0):
    """input_ids (1, T) -> (V,), the distribution of the next token."""
    ### BEGIN SOLUTION
    if temperature < 0:
        raise ValueError(f"temperature must not be negative, but is {temperature}")
    with torch.no_grad():
        logits = model(input_ids).logits[0, -1].float()  # (V,)
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.numel()).to(logits.dtype)
    # without the maximum a small temperature gives inf, and inf - inf is nan
    return F.softmax((logits - logits.max()) / temperature, dim=-1)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "next-token-tests", "locked": true, "points": 0.4, "schema_version": 3, "solution": false, "task": false}
with public_check("next_token_probabilities"):
    assert callable(next_token_probabilities), "next_token_probabilities should be a function."

# %% nbgrader={"grade": false, "grade_id": "top-tokens", "locked": false, "schema_version": 3, "solution": true, "task": false}
def top_tokens(probabilities, tokenizer, k=10):
    """The k most probable tokens, most probable first: a list of (text, probability)."""
    ### BEGIN SOLUTION
    values, ids = probabilities.topk(min(k, probabilities.numel()))
    return [(tokenizer.decode([i]), p) for i, p in zip(ids.tolist(), values.tolist())]
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "top-tokens-tests", "locked": true, "points": 0.2, "schema_version": 3, "solution": false, "task": false}
with public_check("top_tokens"):
    assert callable(top_tokens), "top_tokens should be a function."

# %% nbgrader={"grade": false, "grade_id": "uncertainty", "locked": false, "schema_version": 3, "solution": true, "task": false}
def entropy(probabilities):
    """Entropy in nats of probabilities (V,), a float; a probability of zero counts as 0."""
    ### BEGIN SOLUTION
    p = probabilities[probabilities > 0].double()
    return -(p * p.log()).sum().item()
    ### END SOLUTION


def effective_vocabulary(probabilities):
    """1 / sum(p^2) of probabilities (V,), a float."""
    ### BEGIN SOLUTION
    return 1 / probabilities.double().square().sum().item()
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "uncertainty-tests", "locked": true, "points": 0.3, "schema_version": 3, "solution": false, "task": false}
with public_check("entropy"):
    assert callable(entropy), "entropy should be a function."

# %% nbgrader={"grade": false, "grade_id": "s3-experiment", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
experiment = None
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s3-critical", "locked": false, "points": 0.7, "schema_version": 3, "solution": true, "task": false}
# s3-critical
#
# ### BEGIN SOLUTION
# (model answer)
# ### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s3-evidence", "locked": false, "points": 0.4, "schema_version": 3, "solution": true, "task": false}
# s3-evidence
#
# ### BEGIN SOLUTION
# (model answer)
# ### END SOLUTION

# %% [markdown]
# ## 4 Generation strategies and efficiency

# %% nbgrader={"grade": false, "grade_id": "generate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def generate_greedy(model, input_ids, max_new_tokens, use_cache):
    """input_ids (1, T) -> (1, T + n), n <= max_new_tokens, stops after an end-of-sequence token."""
    ### BEGIN SOLUTION
    end = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    end = model.config.eos_token_id if end is None else end
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

# %% nbgrader={"grade": true, "grade_id": "generate-tests", "locked": true, "points": 0.4, "schema_version": 3, "solution": false, "task": false}
with public_check("generate_greedy"):
    assert callable(generate_greedy), "generate_greedy should be a function."

# %% nbgrader={"grade": false, "grade_id": "sampling", "locked": false, "schema_version": 3, "solution": true, "task": false}
def filter_top_k(logits, k):
    """logits (V,) -> (V,): the k largest stay, the others become -inf."""
    ### BEGIN SOLUTION
    if k < 1:
        raise ValueError(f"k must be at least 1, but is {k}")
    smallest_kept = logits.topk(min(k, logits.numel())).values[-1]
    return logits.masked_fill(logits < smallest_kept, float("-inf"))
    ### END SOLUTION


def filter_top_p(logits, p):
    """logits (V,) -> (V,): the smallest set of tokens whose probability reaches p stays, the others become -inf."""
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
    """The id of the next token, drawn from logits (V,): an int."""
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
with public_check("filter_top_k"):
    assert callable(filter_top_k), "filter_top_k should be a function."

# %% nbgrader={"grade": false, "grade_id": "kv-cache-size", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kv_cache_bytes(config, batch_size, sequence_length, bytes_per_value=2):
    """Bytes of the keys and values of all layers (int)."""
    ### BEGIN SOLUTION
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * batch_size * heads * sequence_length * head_dim * bytes_per_value
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "kv-cache-size-tests", "locked": true, "points": 0.1, "schema_version": 3, "solution": false, "task": false}
with public_check("kv_cache_bytes"):
    assert callable(kv_cache_bytes), "kv_cache_bytes should be a function."

# %% nbgrader={"grade": false, "grade_id": "s4-experiment", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
experiment = None
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s4-critical", "locked": false, "points": 0.7, "schema_version": 3, "solution": true, "task": false}
# s4-critical
#
# ### BEGIN SOLUTION
# (model answer)
# ### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s4-evidence", "locked": false, "points": 0.4, "schema_version": 3, "solution": true, "task": false}
# s4-evidence
#
# ### BEGIN SOLUTION
# (model answer)
# ### END SOLUTION

# %% [markdown]
# ## 5 Behaviour and limitations

# %% nbgrader={"grade": false, "grade_id": "s5-experiment", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
experiment = None
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s5-critical", "locked": false, "points": 0.8, "schema_version": 3, "solution": true, "task": false}
# s5-critical
#
# ### BEGIN SOLUTION
# (model answer)
# ### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "s5-evidence", "locked": false, "points": 0.2, "schema_version": 3, "solution": true, "task": false}
# s5-evidence
#
# ### BEGIN SOLUTION
# (model answer)
# ### END SOLUTION
