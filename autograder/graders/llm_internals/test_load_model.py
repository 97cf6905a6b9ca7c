"""load_model: mode, attention weights, tokenizer."""

import pytest
import torch

from autograder.graders.llm_internals import seconds
from autograder.graders.llm_internals.real_model import PROMPTS, real_model
from autograder.graders.llm_internals.tiny_models import draw_tiny
from autograder.graders.llm_internals.tiny_tokenizers import TEXTS, WORDS, byte_level, word_piece
from autograder.testing import expect

CELL = "load-model"


@pytest.mark.points(0.2, cell=CELL, role="value")
def test_load_model(student, draw):
    """load_model gives the model in evaluation mode, with attention weights, and its own tokenizer"""
    for kind, train in (("llama", byte_level), ("gpt2", word_piece)):
        words = draw.shuffled(WORDS)
        texts = [" ".join(words[i : i + 6]) for i in (0, 3, 8)]
        tokenizer = train([*TEXTS, *texts], draw.choice((300, 310, 320)))
        tiny = draw_tiny(draw, kind, vocab_size=len(tokenizer.tokenizer))
        given = {"text": tokenizer.text, "options": tokenizer.options}
        seen = student.drive("load_model", texts=texts, model=tiny.recipe, tokenizer=given, seconds=seconds.MAKE)
        tiny.model.set_attn_implementation("eager")
        check(seen, tiny.model, tokenizer.tokenizer, texts)
    if real := real_model():
        texts = draw.shuffled(PROMPTS)[:2]
        seen = student.drive("load_model", texts=texts, folder=str(real.folder), seconds=seconds.MAKE)
        check(seen, real.model, real.tokenizer, texts)


def check(seen, model, tokenizer, texts):
    expect.that(
        isinstance(seen, dict) and seen.get("pair"),
        "load_model does not return a model and a tokenizer.",
        "Return the pair (model, tokenizer), in this order.",
    )
    expect.equal(
        seen["ids"],
        [tokenizer(text)["input_ids"] for text in texts],
        "The tokenizer is not that of the checkpoint.",
        "Load it by the same name or path as the model, and change nothing of it.",
    )
    expect.that(
        not seen["training"],
        "The model is not in evaluation mode.",
        "Dropout is active in training mode; a method of the model switches the mode.",
    )
    with torch.no_grad():
        output = model(torch.tensor([tokenizer(texts[0])["input_ids"]]), output_attentions=True)
    expect.that(
        isinstance(seen["logits"], torch.Tensor) and seen["logits"].shape == output.logits.shape,
        "The model does not give logits over the vocabulary.",
        "Load it together with its language-model head.",
    )
    expect.that(
        alike(seen["logits"], output.logits) > 0.99,  # a model in half precision will do
        "The model does not predict what the checkpoint's model predicts.",
        "Is it loaded with its trained weights, by the name or path that is given?",
    )
    expect.that(
        len(seen["attentions"]) == len(output.attentions) and all(a is not None for a in seen["attentions"]),
        "A forward pass with output_attentions=True gives no attention weights.",
        "The fused attention that transformers uses by default never holds them: choose the attention implementation "
        "that does when you load the model.",
    )
    for found, expected in zip(seen["attentions"], output.attentions, strict=True):
        expect.tensor(found, tuple(expected.shape), what="the attention weights")
        expect.that(alike(found, expected) > 0.99, "The attention weights are not those of the checkpoint's model.")


def alike(found, expected):
    """The correlation of two tensors."""
    both = torch.stack([found.double().flatten(), expected.double().flatten()])
    return float(torch.corrcoef(both)[0, 1])
