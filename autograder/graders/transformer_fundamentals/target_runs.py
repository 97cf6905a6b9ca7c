"""Data of the training targets, as token ids of the reference tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from autograder.datasets.examples import Example
from autograder.graders.data_sets import movie_snippets
from autograder.graders.transformer_fundamentals.data_sets import clause_order
from autograder.graders.transformer_fundamentals.targets import Target

SETS = {"clause_order": clause_order.DATA_SET, "movie_snippets": movie_snippets.DATA_SET}


@dataclass(frozen=True)
class Task:
    """Token ids and labels: two parts for the loop, and one whose labels stay on this side."""

    words: int
    train: dict[str, torch.Tensor]
    validation: dict[str, torch.Tensor]
    evaluation: dict[str, torch.Tensor]
    answers: torch.Tensor


def make_task(reference: Any, target: Target, hidden_seed: int | None) -> Task:
    """The target's data. With no `hidden_seed` the evaluation part is public, too (taken from the validation rows)."""
    source = SETS[target.data]
    public = source.public()
    tokenizer = reference.build("SimpleTokenizer", vocab_size=target.vocab_size)

    def fitting(examples: Sequence[Example]) -> list[Example]:
        """Texts that need no cut. Partners in clause_order have the same length, so that its balance stays."""
        cleaned = (tokenizer.method("clean_text", e.text) for e in examples)
        return [e for e, text in zip(examples, cleaned, strict=True) if len(text.split()) < target.max_length]

    train = fitting(public.train)[: target.texts]
    validation = fitting(public.validation)
    validation, rest = validation[: target.validation], validation[target.validation :]
    evaluation = (rest if hidden_seed is None else fitting(source.hidden(hidden_seed)))[: target.evaluation]
    tokenizer.method("build_vocab", [example.text for example in train])

    def encoded(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        ids = torch.tensor([tokenizer.method("tokenize", e.text, max_length=target.max_length) for e in examples])
        return {"input_ids": ids, "attention_mask": (ids != 0).long()}

    def labels(examples: Sequence[Example]) -> torch.Tensor:
        return torch.tensor([example.label for example in examples])

    return Task(
        words=len(tokenizer.attribute("vocab")),
        train=encoded(train) | {"labels": labels(train)},
        validation=encoded(validation) | {"labels": labels(validation)},
        evaluation=encoded(evaluation),
        answers=labels(evaluation),
    )


def accuracy(logits: Float[Tensor, "n classes"], answers: Int[Tensor, " n"]) -> float:
    """The share of `answers` that the largest logit gives."""
    return float((logits.argmax(-1) == answers).double().mean())
