"""The language model that the notebook analyses, where set-up has prepared it. Nothing here assumes which one it is."""

import os
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from autograder.datasets.download import cache_folder
from autograder.datasets.models import SMOLLM2
from autograder.graders.llm_internals import seconds

MARGIN = 1e-3  # between the two largest logits: below it, two right computations may choose differently
PROMPTS = (
    "The capital of France is",
    "Water boils at a temperature of",
    "The opposite of hot is",
    "My favourite animal is the",
    "The quick brown fox jumps over",
    "In the morning the sun rises in the",
)


@dataclass(frozen=True)
class Checkpoint:
    """A prepared folder: its model and tokenizer in this process, or beside the student's code."""

    folder: Path

    @cached_property
    def model(self) -> PreTrainedModel:
        options = {"dtype": torch.float32, "attn_implementation": "eager"}
        return AutoModelForCausalLM.from_pretrained(self.folder, **options).eval()

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return AutoTokenizer.from_pretrained(self.folder)

    def model_in_worker(self, student: Any) -> Any:
        return student.drive("checkpoint", folder=str(self.folder), part="model", seconds=seconds.MAKE)

    def tokenizer_in_worker(self, student: Any) -> Any:
        return student.drive("checkpoint", folder=str(self.folder), part="tokenizer", seconds=seconds.MAKE)

    def prompt(self, draw: Any) -> torch.Tensor:
        """The ids of one of the prompts, (1, T)."""
        return torch.tensor([self.tokenizer(draw.choice(PROMPTS))["input_ids"]])

    def greedy(self, prompt: torch.Tensor, most: int) -> list[int]:
        """The tokens that the library's greedy decoding appends to a prompt (1, T), as far as each is clear."""
        return list(_greedy(self, tuple(prompt[0].tolist()), most))


@cache
def _greedy(checkpoint: Checkpoint, prompt: tuple[int, ...], most: int) -> tuple[int, ...]:
    ids = torch.tensor([prompt])
    end = checkpoint.model.generation_config.eos_token_id
    end = checkpoint.model.config.eos_token_id if end is None else end
    options = GenerationConfig(do_sample=False, max_new_tokens=most, eos_token_id=end, pad_token_id=0)
    whole = checkpoint.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=options)
    with torch.no_grad():
        best = checkpoint.model(whole).logits[0, len(prompt) - 1 : -1].topk(2, dim=-1).values  # (n, 2)
    unclear = [*(best[:, 0] - best[:, 1] < MARGIN).long().tolist(), 1]
    return tuple(whole[0, len(prompt) :].tolist()[: unclear.index(1)])


def real_model() -> Checkpoint | None:
    """The folder that `COURSE_MODEL` names, else the course's own model; None where there is no such folder.

    The tests that use it go without it then: they test on small models in any case.
    """
    folder = Path(os.environ.get("COURSE_MODEL") or cache_folder() / "models" / SMOLLM2).expanduser().absolute()
    return _checkpoint(folder) if (folder / "config.json").is_file() else None


@cache
def _checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(folder)
