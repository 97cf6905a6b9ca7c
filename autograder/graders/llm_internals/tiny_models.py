"""Small random models that graders hand to a submission, and the same models in the grader's own process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from autograder.graders.llm_internals import seconds
from autograder.graders.llm_internals.drivers.tiny_model import build

CLASSES = {
    "llama": ("LlamaForCausalLM", "LlamaConfig"),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config"),
    "bert": ("BertModel", "BertConfig"),
    "bert-lm": ("BertForMaskedLM", "BertConfig"),
}
CAUSAL = ("llama", "gpt2")
MARGIN = 0.01  # between the two largest logits: far more than what two right computations differ by
BATCH = 32
BATCHES = 40


@dataclass(frozen=True)
class Tiny:
    """A model as data: what to build and its weights."""

    kind: str
    settings: dict[str, Any]
    state: dict[str, torch.Tensor]

    @property
    def recipe(self) -> dict[str, Any]:
        model_class, config_class = CLASSES[self.kind]
        return {
            "model_class": model_class, "config_class": config_class, "settings": self.settings, "state": self.state
        }  # fmt: skip

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model in this process."""
        return build(**self.recipe)

    @property
    def vocabulary(self) -> int:
        return self.settings["vocab_size"]

    def in_worker(self, student: Any, **options: Any) -> Any:
        """A handle on the model beside the student's code."""
        return student.drive("tiny_model", seconds=seconds.MAKE, **self.recipe, **options)

    def logits(self, ids: Int[Tensor, "1 T"]) -> Float[Tensor, " V"]:
        """The logits after the last token."""
        with torch.no_grad():
            return self.model(ids).logits[0, -1].double()

    def greedy(self, ids: Int[Tensor, "B T"], most: int) -> Int[Tensor, "B T+n"]:
        """The library's own greedy decoding."""
        options = GenerationConfig(do_sample=False, max_new_tokens=most, eos_token_id=None, pad_token_id=0)
        return self.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=options)

    def relabelled(self, first: int, second: int) -> "Tiny":
        """The same model with two of its token ids in each other's place."""
        order = torch.arange(self.vocabulary)
        order[[first, second]] = order[[second, first]]
        state = {n: v[order] if len(v) == self.vocabulary else v for n, v in self.state.items()}
        return Tiny(self.kind, self.settings, state)


def settings_of(kind: str, **changed: Any) -> dict[str, Any]:
    """Sizes of a model for computing; a Llama's heads share keys and values and are wider than hidden size by heads."""
    special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "vocab_size": 29}
    sizes = {
        "llama": {
            "hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10,
            "intermediate_size": 36, "num_hidden_layers": 2, "max_position_embeddings": 64,
        },
        "gpt2": {"n_embd": 24, "n_head": 3, "n_layer": 2, "n_positions": 64},
    }  # fmt: skip
    return special | sizes[kind] | changed


def draw_tiny(draw: Any, kind: str, **changed: Any) -> Tiny:
    """A model whose weights are large enough that what it predicts depends on every token and its place."""
    settings = settings_of(kind, **changed)
    plain = Tiny(kind, settings, {})
    return Tiny(kind, settings, {n: _weights(draw, n, p) for n, p in plain.model.named_parameters()})


def _weights(draw: Any, name: str, parameter: torch.Tensor) -> torch.Tensor:
    if parameter.dim() == 1:
        return draw.normal(*parameter.shape, scale=0.1) + (0.0 if name.endswith("bias") else 1.0)
    if "wpe" in name:
        return draw.normal(*parameter.shape, scale=1.5)
    if "embed" in name or "wte" in name:
        return draw.normal(*parameter.shape, scale=0.7)
    return draw.normal(*parameter.shape, scale=2.5 * parameter.shape[-1] ** -0.5)


def draw_lively(draw: Any, kind: str) -> Tiny:
    """A model for decoding: many prompts lead to varied tokens, chosen clearly."""
    while True:
        tiny = draw_tiny(draw, kind)
        if sum(varied(added) for _, added in _continuations(draw, tiny, 6, 8)) >= BATCH // 4:
            return tiny


def draw_prompt(
    draw: Any, tiny: Tiny, length: int, most: int, fits: Callable[[list[int]], bool]
) -> tuple[torch.Tensor, list[int]]:
    """A prompt (1, length) and the `most` tokens that greedy decoding appends; `fits` says which such lists will do."""
    for _ in range(BATCHES):
        for prompt, added in _continuations(draw, tiny, length, most):
            if fits(added):
                return prompt, added
    raise RuntimeError("no prompt of this model will do")


def _continuations(draw: Any, tiny: Tiny, length: int, most: int) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """Random prompts whose greedy decoding chooses clearly at every step, with the tokens that it appends."""
    prompts = draw.integers(0, tiny.vocabulary, (BATCH, length))
    whole = tiny.greedy(prompts, most)
    with torch.no_grad():
        best = tiny.model(whole).logits[:, length - 1 : -1].topk(2, dim=-1).values  # (BATCH, most, 2)
    clear = ((best[..., 0] - best[..., 1]) > MARGIN).all(-1)
    for i in clear.nonzero().flatten().tolist():
        yield prompts[i : i + 1], whole[i, length:].tolist()


def varied(added: list[int]) -> bool:
    """Whether the tokens differ enough that a wrong position or a lost token shows."""
    return len(set(added)) >= min(4, len(added)) and added[-1] != added[-2]
