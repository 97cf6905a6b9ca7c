"""Runs of the student's training loop on the probe model, and what each step should have computed.

Only the trusted side computes here: the worker reports parameters, sample ids and gradients
(`drivers/train_probe.py`), and each step is replayed in float64 from the parameters that it started from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.func import functional_call

from autograder.graders.transformer_fundamentals.drivers.train_probe import Probe
from autograder.testing import expect
from autograder.testing.draw import Draw

FEATURES, HIDDEN, CLASSES = 5, 4, 3
TRAIN, VALIDATION, BATCH, TOKENS = 22, 9, 4, 7  # neither number of samples is a multiple of the batch size
BATCHES = -(-TRAIN // BATCH)
WORDS = 10  # ids 1..9 are words, then one id for each sample, which stands first in its row


@dataclass(frozen=True)
class Problem:
    """A probe model and its data; samples 0..TRAIN-1 are for training, the others for validation."""

    sizes: dict[str, Any]
    state: dict[str, torch.Tensor]
    input_ids: torch.Tensor  # (TRAIN + VALIDATION, TOKENS)
    attention_mask: torch.Tensor
    labels: torch.Tensor

    def part(self, rows: slice) -> dict[str, torch.Tensor]:
        return {
            "input_ids": self.input_ids[rows],
            "attention_mask": self.attention_mask[rows],
            "labels": self.labels[rows],
        }


@dataclass(frozen=True)
class Step:
    """One training step: the samples, the parameters before and after, the gradient that stood there."""

    samples: tuple[int, ...]
    training: bool
    theta: torch.Tensor
    after: torch.Tensor
    grad: torch.Tensor
    event: int


@dataclass(frozen=True)
class Run:
    """What one call of `train_transformer` did."""

    problem: Problem
    epochs: int
    history: Any
    events: list[dict[str, Any]]
    theta: torch.Tensor  # (events + 1, P): before each call of the model, and at the end
    steps: tuple[Step, ...]
    bars: int
    batches: int = BATCHES

    def epoch(self, number: int) -> tuple[Step, ...]:
        return self.steps[number * self.batches : (number + 1) * self.batches]

    def figures(self, name: str) -> list[float]:
        """`history[name]`, one number an epoch."""
        expect.that(
            isinstance(self.history, dict) and name in self.history,
            "The history lacks one of its lists.",
            "It is a dict with train_loss, train_acc, val_loss and val_acc.",
        )
        values = self.history[name]
        expect.that(
            isinstance(values, list) and len(values) == self.epochs,
            "A list of the history does not hold one number an epoch.",
            "Append once an epoch, after all its batches.",
            f"{name} is {expect.described(values)} after {self.epochs} epochs.",
        )
        return values

    def losses(
        self, theta: Float[Tensor, " P"], samples: Sequence[int]
    ) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
        """Cross-entropy, and whether the answer is right, of `samples` at the parameters `theta`."""
        rows = torch.tensor(list(samples))
        logits = _logits(self.problem, theta.double(), rows)
        labels = self.problem.labels[rows]
        return F.cross_entropy(logits, labels, reduction="none"), logits.argmax(-1) == labels

    def gradient(self, step: Step) -> Float[Tensor, " P"]:
        """The gradient of the mean cross-entropy over the step's samples."""
        theta = step.theta.double().requires_grad_(True)
        self.losses(theta, step.samples)[0].mean().backward()
        return theta.grad


def make_problem(draw: Draw, temperature: float = 1.0) -> Problem:
    """Random data. The first batches hold mostly one class each, so that gradients turn from batch to batch."""
    count = TRAIN + VALIDATION
    lengths = draw.integers(2, TOKENS + 1, (count,))
    mask = (torch.arange(TOKENS) < lengths[:, None]).long()
    ids = draw.integers(1, WORDS, (count, TOKENS)) * mask
    ids[:, 0] = WORDS + torch.arange(count)
    labels = draw.integers(0, CLASSES, (count,))
    order = draw.permutation(CLASSES)
    labels[: BATCH - 1] = order[0]
    labels[BATCH : 2 * BATCH] = order[1]
    sizes = {
        "vectors": draw.normal(WORDS + count, FEATURES, scale=2.0),
        "features": FEATURES,
        "hidden": HIDDEN,
        "classes": CLASSES,
        "temperature": temperature,
    }
    state = {k: draw.normal(*p.shape, scale=0.4) for k, p in Probe(**sizes).named_parameters()}
    state["faint.weight"] = torch.zeros(CLASSES, HIDDEN)
    state["gamma"] = draw.uniform(0.5, 1.5, (HIDDEN,))
    return Problem(sizes, state, ids, mask, labels)


def watch(
    student: Any,
    problem: Problem,
    epochs: int = 5,
    positional: bool = False,
    drop_last: bool = False,
    **options: Any,
) -> Run:
    """Run the student's loop on the probe; `options` are num_epochs and learning_rate, or nothing for the defaults.

    With `drop_last` the training loader leaves out the samples that do not fill a batch.
    """
    seen = student.drive(
        "train_probe",
        sizes=problem.sizes,
        state=problem.state,
        train=problem.part(slice(0, TRAIN)),
        validation=problem.part(slice(TRAIN, None)),
        batch_size=BATCH,
        positional=positional,
        drop_last=drop_last,
        options=options,
    )
    events, theta = seen["events"], seen["theta"]
    expect.that(
        isinstance(theta, torch.Tensor)
        and theta.shape == (len(events) + 1, sum(p.numel() for p in problem.state.values())),
        "The parameters of the model could not be followed through the training.",
        "The loop changes their values, not their number or shape.",
    )
    for event in events:
        event["samples"] = tuple(i - WORDS for i in event["ids"])
    steps = tuple(
        Step(
            events[i]["samples"],
            events[i]["training"],
            theta[i],
            theta[i + 1],
            seen["grads"][i],
            i,
        )
        for i in seen["backward"]
    )
    batches = TRAIN // BATCH if drop_last else BATCHES
    return Run(problem, epochs, seen["history"], events, theta, steps, seen["bars"], batches)


def check_learns(run: Run) -> None:
    """The loop takes steps, and on training batches only."""
    expect.that(
        len(run.steps) >= run.batches,
        "The loop does not learn from each training batch.",
        "Go through the whole train_loader in each epoch; each batch gets its own backward.",
        f"It took {len(run.steps)} steps in {run.epochs} epochs of {run.batches} batches.",
    )
    expect.that(
        not any(i >= TRAIN for step in run.steps for i in step.samples),
        "The loop learns from validation data.",
        "backward belongs to the training batches only.",
    )


def check_steps(run: Run) -> None:
    """Every batch of every epoch must be one step."""
    check_learns(run)
    expect.that(
        len(run.steps) == run.batches * run.epochs,
        "The loop does not take one step for each training batch of each epoch.",
        "Go through the whole train_loader num_epochs times, its last batch too; each batch gets its own backward.",
        f"It took {len(run.steps)} steps in {run.epochs} epochs of {run.batches} batches.",
    )


def parameter_slices(problem: Problem) -> dict[str, slice]:
    """Where each parameter lies in the flat vector (P,)."""
    found, start = {}, 0
    for name, value in problem.state.items():
        found[name] = slice(start, start + value.numel())
        start += value.numel()
    return found


def _logits(problem: Problem, theta: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    model = Probe(**problem.sizes).double()
    parameters = {name: theta[where].view_as(problem.state[name]) for name, where in parameter_slices(problem).items()}
    return functional_call(model, parameters, (problem.input_ids[rows], problem.attention_mask[rows]))[0]
