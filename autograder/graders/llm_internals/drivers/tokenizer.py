"""A tokenizer from the text of its tokenizer.json, kept for later calls."""

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast


def build(text, options):
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), **options)


def run(space, text, options):
    return space.keep(build(text, options))
