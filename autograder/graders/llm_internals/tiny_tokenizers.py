"""Small tokenizers of several kinds, trained on a given text: as data for the worker, and in this process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from autograder.graders.llm_internals import seconds
from autograder.graders.llm_internals.drivers.tokenizer import build

BERT_SPECIALS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
WORDS = (
    "river", "bank", "clerk", "money", "steep", "water", "light", "table", "chair", "green", "paper", "stone",
    "garden", "window", "summer", "winter", "the", "a", "of", "and", "in", "was", "is", "near", "under", "with",
    "from", "walked", "read", "saw", "opened", "closed", "naïve", "café", "straße", "élan", "niño",
)  # fmt: skip
TEXTS = (
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "Transformers turn text into tokens; every token gets a number.",
    "It's 3.14 or 2718, isn't it? We've counted: 10, 20, 30!",
    "The naïve café owner read the straße sign near the garden.",
)


@dataclass(frozen=True)
class TinyTokenizer:
    """A tokenizer as data: the text of its tokenizer.json, and the options that transformers keeps beside it."""

    text: str
    options: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        return build(self.text, self.options)

    def in_worker(self, student: Any) -> Any:
        """A handle on the tokenizer beside the student's code."""
        return student.drive("tokenizer", text=self.text, options=self.options, seconds=seconds.MAKE)

    def with_options(self, **options: Any) -> "TinyTokenizer":
        return TinyTokenizer(self.text, self.options | options)


def byte_level(texts: Sequence[str], size: int = 340, trim: bool = True) -> TinyTokenizer:
    """Byte-level BPE, as GPT-2 and SmolLM2 use it; `trim` leaves the space before a word out of the offsets."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=trim)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    _train(made, texts, trainers.BpeTrainer, size, ["<|end|>"], initial_alphabet=alphabet)
    return TinyTokenizer(made.to_str(), {"eos_token": "<|end|>"})


def word_piece(texts: Sequence[str], size: int = 150) -> TinyTokenizer:
    """WordPiece in lower case with [CLS] and [SEP], as BERT uses it; the same for the same texts in every process.

    The library's trainer numbers the pieces "##x" as a hash table yields them, and so decides ties in another way in
    each process. Here they are numbered before it starts.
    """
    specials = list(BERT_SPECIALS.values())
    learner = _word_piece_of({})
    letters = set(filter(str.isalnum, learner.normalizer.normalize_str(" ".join(texts))))
    inside = [f"##{letter}" for letter in sorted(letters)]
    _train(learner, texts, trainers.WordPieceTrainer, size, [*specials, *inside])
    made = _word_piece_of(learner.get_vocab())
    made.add_special_tokens(specials)
    ends = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return TinyTokenizer(made.to_str(), BERT_SPECIALS)


def _word_piece_of(vocabulary: dict[str, int]) -> Tokenizer:
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(cleanup=False)
    return made


def byte_fallback(texts: Sequence[str], size: int = 380) -> TinyTokenizer:
    """BPE over characters with bytes for unknown ones and a start token, as the first Llamas use it."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    _train(made, texts, trainers.BpeTrainer, size, ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))])
    start = [("<s>", made.token_to_id("<s>"))]
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=start)
    return TinyTokenizer(made.to_str(), {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


def _train(made: Tokenizer, texts: Sequence[str], trainer: Any, size: int, specials: list[str], **options: Any) -> None:
    made.train_from_iterator(
        list(texts) * 3, trainer(vocab_size=size, special_tokens=specials, show_progress=False, **options)
    )
