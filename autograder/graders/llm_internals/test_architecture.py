"""summarize_architecture: models of three types, whose configurations name the same sizes differently."""

import pytest
import torch

from autograder.graders.llm_internals.real_model import real_model
from autograder.graders.llm_internals.tiny_models import Tiny
from autograder.testing import expect

CELL = "architecture"
NAME = "summarize_architecture"
SIZES = (
    "vocab_size", "hidden_size", "num_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "ffn_size",
    "max_positions",
)  # fmt: skip
NO_SPECIALS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
CAUSES = {
    "num_key_value_heads": "With grouped heads it is smaller than the number of query heads; a configuration that does "
    "not name it has as many.",
    "head_dim": "A value that the configuration states wins; without one it is the hidden size divided by the heads.",
    "ffn_size": "It is the width between the two halves of the feed-forward part. GPT-2 calls it n_inner, and None "
    "means four times the hidden size.",
    "max_positions": "It is the longest sequence the model has positions for; the types call it by different names.",
    "total_parameters": "Count the elements of every parameter once. Buffers are not parameters.",
    "trainable_parameters": "A parameter is trainable if it asks for a gradient.",
    "parameter_bytes": "Each parameter takes its number of elements times the bytes of one element, which depends on "
    "its dtype. Buffers are not parameters.",
}
LOOK_AT_CONFIG = "Print model.config: the types have different names for the same thing."


def check(student, model, expected, which, cause=None):
    """`expected` values by key; `which` model it is, in fixed words."""
    found = student.call(NAME, model)
    expect.that(isinstance(found, dict), "summarize_architecture does not return a dict.", "Look at the return line.")
    for key, value in expected.items():
        expect.that(key in found, f"The key {key} is missing.", "Compare its spelling with the text of the exercise.")
        expect.that(
            number(found[key]) == value,
            f"{key} is wrong for {which}.",
            cause or CAUSES.get(key, LOOK_AT_CONFIG),
            f"Yours is {expect.described(found[key])}.",
        )


def number(value):
    """The whole number that `value` is, however it is held; else None."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value and abs(value) < 2**62 and int(value) == value else None


def counts(model):
    parameters = list(model.parameters())
    return {
        "total_parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "parameter_bytes": sum(p.numel() * p.element_size() for p in parameters),
    }


def llama(draw, **changed):
    settings = {
        "vocab_size": draw.integer(200, 260), "hidden_size": 48, "num_hidden_layers": draw.choice((4, 5, 7)),
        "num_attention_heads": 6, "num_key_value_heads": draw.choice((2, 3)), "head_dim": draw.choice((10, 12, 14)),
        "intermediate_size": draw.integer(100, 140), "max_position_embeddings": draw.integer(150, 190),
    }  # fmt: skip
    return Tiny("llama", NO_SPECIALS | settings | changed, {})


def gpt2(draw, **changed):
    settings = {
        "vocab_size": draw.integer(200, 260), "n_embd": 40, "n_layer": draw.choice((3, 4)), "n_head": 5,
        "n_positions": draw.integer(64, 90), "n_inner": None,
    }  # fmt: skip
    return Tiny("gpt2", NO_SPECIALS | settings | changed, {})


def bert(draw, kind="bert", **changed):
    settings = {
        "vocab_size": draw.integer(130, 180), "hidden_size": 36, "num_hidden_layers": draw.choice((2, 3)),
        "num_attention_heads": 4, "intermediate_size": draw.integer(50, 80),
        "max_position_embeddings": draw.integer(90, 120), "pad_token_id": 0,
    }  # fmt: skip
    return Tiny(kind, settings | changed, {})


@pytest.mark.points(0.1, cell=CELL)
def test_llama_sizes(student, draw):
    """The sizes of a Llama-type model"""
    for model in (llama(draw), llama(draw, num_key_value_heads=None, num_attention_heads=4)):
        s = model.settings
        heads = s["num_attention_heads"]
        sizes = (
            s["vocab_size"], s["hidden_size"], s["num_hidden_layers"], heads, s["num_key_value_heads"] or heads,
            s["head_dim"], s["intermediate_size"], s["max_position_embeddings"],
        )  # fmt: skip
        expected = dict(zip(SIZES, sizes, strict=True))
        check(student, model.in_worker(student), {k: v for k, v in expected.items() if k != "head_dim"}, "a Llama")


@pytest.mark.points(0.1, cell=CELL)
def test_head_dim(student, draw):
    """A head_dim that the configuration states wins over hidden size by heads"""
    for model, head_dim, which in (
        (llama(draw, head_dim=10), 10, "a Llama whose configuration states it"),
        (llama(draw, head_dim=14), 14, "a Llama whose configuration states it"),
        (llama(draw, head_dim=None), 8, "a Llama whose configuration does not state it"),
    ):
        check(student, model.in_worker(student), {"head_dim": head_dim}, which)


@pytest.mark.points(0.1, cell=CELL)
def test_gpt2_sizes(student, draw):
    """The sizes of a GPT-2-type model"""
    for inner in (None, draw.integer(90, 130)):
        model = gpt2(draw, n_inner=inner)
        s = model.settings
        sizes = (s["vocab_size"], 40, s["n_layer"], 5, 5, 8, inner or 160, s["n_positions"])
        check(student, model.in_worker(student), dict(zip(SIZES, sizes, strict=True)), "a GPT-2")


@pytest.mark.points(0.1, cell=CELL)
def test_bert_sizes(student, draw):
    """The sizes of a BERT-type model"""
    for kind in ("bert", "bert-lm"):
        model = bert(draw, kind)
        s = model.settings
        sizes = (
            s["vocab_size"], 36, s["num_hidden_layers"], 4, 4, 9, s["intermediate_size"], s["max_position_embeddings"]
        )  # fmt: skip
        check(student, model.in_worker(student), dict(zip(SIZES, sizes, strict=True)), "a BERT")


@pytest.mark.points(0.1, cell=CELL)
def test_parameter_counts(student, draw):
    """All parameters are counted, and the trainable ones among them"""
    for frozen in (("model.embed_tokens.weight", "model.norm.weight"), ("lm_head.weight",), ()):
        model = llama(draw)
        sizes = {name: p.numel() for name, p in model.model.named_parameters()}
        total = sum(sizes.values())
        expected = {"total_parameters": total, "trainable_parameters": total - sum(sizes[name] for name in frozen)}
        check(student, model.in_worker(student, frozen=frozen), expected, "a Llama")


@pytest.mark.points(0.1, cell=CELL)
def test_tied_weights_and_bytes(student, draw):
    """Tied weights are counted once, and the bytes are those of every parameter in its dtype"""
    keys = ("total_parameters", "trainable_parameters", "parameter_bytes")
    for model, which in (
        (gpt2(draw), "a GPT-2, whose output layer is tied to the embedding"),
        (llama(draw, tie_word_embeddings=True), "a Llama whose output layer is tied to the embedding"),
        (bert(draw, "bert-lm"), "a BERT whose output layer is tied to the embedding"),
    ):
        expected = counts(model.model)
        cause = "Tied weights are one parameter under two names, and buffers are not parameters."
        check(student, model.in_worker(student), {key: expected[key] for key in keys}, which, cause)
    for dtype, others in (("float16", {}), ("float64", {}), ("bfloat16", {"model.embed_tokens.weight": "float32"})):
        model = llama(draw)
        sizes = {name: p.numel() for name, p in model.model.named_parameters()}
        bytes_of = {name: getattr(torch, others.get(name, dtype)).itemsize for name in sizes}
        expected = {"parameter_bytes": sum(sizes[name] * bytes_of[name] for name in sizes)}
        handle = model.in_worker(student, dtype=dtype, other_dtypes=others, frozen=("model.norm.weight",))
        check(student, handle, expected, "a model in another dtype than float32")
    if real := real_model():
        expected = counts(real.model)
        check(student, real.model_in_worker(student), {key: expected[key] for key in keys}, "the notebook's model")
