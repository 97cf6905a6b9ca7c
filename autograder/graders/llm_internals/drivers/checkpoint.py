"""The model, or the tokenizer, of a prepared folder, loaded once and kept for later calls."""

import torch
import transformers


def run(space, folder, part):
    known = (folder, part)
    found = next((k for k in space.kept.values() if getattr(k, "loaded_from", None) == known), None)
    if found is None:
        found = load(folder, part)
        found.loaded_from = known
    if part == "model":
        found.eval()
    return space.keep(found)


def load(folder, part):
    if part == "tokenizer":
        return transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
