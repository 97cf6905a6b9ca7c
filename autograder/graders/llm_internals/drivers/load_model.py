"""What `load_model` makes of a folder: its model's mode, attention weights and logits, and its tokenizer's ids."""

import tempfile

import torch
import transformers
from tokenizers import Tokenizer


def run(space, texts, folder=None, model=None, tokenizer=None):
    """Load `folder`, or a new one with a checkpoint made of `model` and `tokenizer`."""
    if folder is not None:
        return observe(space, folder, texts)
    with tempfile.TemporaryDirectory() as new:
        save(new, **model)
        save_tokenizer(new, **tokenizer)
        return observe(space, new, texts)


def save(folder, model_class, config_class, settings, state):
    model = getattr(transformers, model_class)(getattr(transformers, config_class)(**settings))
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in state.items():
            parameters[name].copy_(value)
    model.save_pretrained(folder)


def save_tokenizer(folder, text, options):
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), **options)
    made.save_pretrained(folder)


def observe(space, folder, texts):
    loaded = space.get("load_model")(folder)
    if not isinstance(loaded, tuple | list) or len(loaded) != 2:
        return {"pair": False}
    model, tokenizer = loaded
    if not isinstance(model, torch.nn.Module) or not callable(tokenizer):
        return {"pair": False}
    ids = [list(tokenizer(text)["input_ids"]) for text in texts]
    seen = {"pair": True, "ids": ids, "training": model.training or any(m.training for m in model.modules())}
    with torch.no_grad():
        output = model(torch.tensor(ids[:1]), output_attentions=True)
    seen["logits"] = output.logits.float() if hasattr(output, "logits") else None
    seen["attentions"] = [a.float() if a is not None else None for a in getattr(output, "attentions", None) or ()]
    return seen
