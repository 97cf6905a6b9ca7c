"""train_transformer: history, gradients, steps, samples, modes (the two targets: test_train_targets.py)."""

import pytest
import torch

from autograder.graders.transformer_fundamentals.probe_runs import (
    BATCHES,
    TRAIN,
    VALIDATION,
    Run,
    check_learns,
    check_steps,
    make_problem,
    parameter_slices,
    watch,
)
from autograder.testing import expect

CELL = "train"
RATE = 1e-3
DECAYS = (0.0, 0.5, 0.8, 0.85, 0.9, 0.95, 0.99)  # of the running mean of gradients, in any Adam that students use


@pytest.mark.points(1, cell=CELL, role="value")
def test_training_figures(student, draw):
    """train_loss and train_acc are those of the batches as they were seen, over all samples"""
    for temperature, rate, drop_last in ((1.0, 0.02, False), (200.0, 0.0, False), (1.0, 0.02, True)):
        problem = make_problem(draw, temperature)
        run = watch(student, problem, 3, drop_last=drop_last, num_epochs=3, learning_rate=rate)
        check_steps(run)
        expected = []
        for number in range(run.epochs):
            parts = [run.losses(step.theta, step.samples) for step in run.epoch(number)]
            expected.append(_figures(parts))
        _compare(run, "train", expected, "The figures are those of the very forward pass that the step learns from.")


@pytest.mark.points(1, cell=CELL, role="value")
def test_validation_figures(student, draw):
    """val_loss and val_acc are those of the whole validation set after each epoch's training"""
    for temperature, rate in ((1.0, 0.02), (200.0, 0.0)):
        run = watch(student, make_problem(draw, temperature), 3, num_epochs=3, learning_rate=rate)
        check_steps(run)
        rows = range(TRAIN, TRAIN + VALIDATION)
        expected = [_figures([run.losses(run.epoch(n)[-1].after, rows)]) for n in range(run.epochs)]
        _compare(run, "val", expected, "Evaluate on val_loader once the training of the epoch is over.")


@pytest.mark.points(1, cell=CELL)
def test_gradients_start_from_zero(student, draw):
    """Each step's gradient is that of its own batch's cross-entropy, and of nothing before"""
    for temperature in (1.0, 20.0):
        run = watch(student, make_problem(draw, temperature), 2, num_epochs=2, learning_rate=RATE)
        check_learns(run)
        gradients = [run.gradient(step) for step in run.steps]
        # where the model is certain and right, what float32 leaves of the gradient is rounding
        clear = 1e-3 * max(float(g.abs().max()) for g in gradients)
        factors, sizes = [], []
        for step, expected in zip(run.steps, gradients, strict=True):
            if float(expected.abs().max()) < clear:
                continue
            sizes.append(len(step.samples))
            found = step.grad.double()
            factor = float(found @ expected / (expected @ expected))
            factors.append(factor)
            expect.close(
                found,
                factor * expected,
                "A step's gradient is not that of the cross-entropy of its batch.",
                "Are old gradients cleared before each backward, and does the loss take the logits as they are?",
                atol=1e-3 * float(found.abs().max()),
            )
        # a loss summed over the batch gives a gradient as many times larger, which Adam does not notice
        found = torch.tensor(factors).double()
        even = [
            bool((f > 0).all()) and torch.allclose(f, f.mean().expand_as(f), rtol=1e-2)
            for f in (found, found / torch.tensor(sizes).double())
        ]
        expect.that(
            bool(factors) and any(even),
            "A step's gradient has something of earlier batches in it.",
            "backward adds to what stands in .grad: what clears it before each step?",
        )


@pytest.mark.points(1, cell=CELL)
def test_parameters_follow_their_gradients(student, draw):
    """Every parameter moves against its gradient, as Adam does: by about the learning rate, whatever its size"""
    problem = make_problem(draw)
    run = watch(student, problem, 4, num_epochs=4, learning_rate=RATE)
    check_learns(run)
    moves = torch.stack([step.after - step.theta for step in run.steps]).double()
    _check_moves(run, moves)
    still = watch(student, problem, 2, num_epochs=2, learning_rate=0.0)
    check_learns(still)
    expect.that(
        bool((still.theta - still.theta[0]).abs().max() < 1e-4),
        "With learning_rate=0 parameters still move.",
        "The optimizer takes the learning rate that the function was given.",
    )


@pytest.mark.points(0.5, cell=CELL)
def test_every_sample_once_an_epoch(student, draw):
    """Every sample is seen once an epoch, with its mask, for as many epochs as asked; the defaults are as agreed"""
    problem = make_problem(draw)
    # with a rate of 0 nothing gets better, and a loop that stops early would
    for epochs, positional, rate in ((1, False, RATE), (3, True, RATE), (12, False, 0.0)):
        run = watch(student, problem, epochs, positional, num_epochs=epochs, learning_rate=rate)
        check_steps(run)
        for number in range(epochs):
            expect.equal(
                sorted(i for step in run.epoch(number) for i in step.samples),
                list(range(TRAIN)),
                "An epoch does not show every training sample once.",
                "Go through train_loader from its first batch to its last, the smaller one too.",
            )
        expect.that(
            all(event["masked"] for event in run.events),
            "The model is called without its attention mask.",
            "Without it the model takes PAD for words.",
        )
    agreed = watch(student, problem, 5, num_epochs=5, learning_rate=1e-3)
    default = watch(student, problem, 5)
    check_steps(default)
    expect.close(
        default.theta[-1],
        agreed.theta[-1],
        "The defaults are not num_epochs=5 and learning_rate=1e-3.",
        "Look at the signature, and at whether both arguments are used.",
    )


@pytest.mark.points(1, cell=CELL)
def test_modes_and_evaluation(student, draw):
    """Training runs in train mode; evaluation runs in eval mode without gradients and changes nothing"""
    run = watch(student, make_problem(draw), 3, num_epochs=3, learning_rate=RATE)
    check_learns(run)
    expect.that(
        all(step.training for step in run.steps),
        "A training batch is not seen in train mode.",
        "The mode stays as it was set last: after an evaluation it has to be set again.",
    )
    evaluated = [event for event in run.events if min(event["samples"]) >= TRAIN]
    expect.that(
        sum(len(event["samples"]) for event in evaluated) >= run.epochs * VALIDATION,
        "The validation set is not seen once an epoch.",
        "Go through the whole val_loader in each epoch.",
    )
    expect.that(
        all(event["evaluating"] for event in evaluated),
        "A validation batch is not seen in eval mode.",
        "Dropout would blur the figures.",
    )
    expect.that(
        not any(event["grad_enabled"] for event in evaluated),
        "The evaluation computes gradients.",
        "Nothing is learnt there; torch has a context for that.",
    )
    steps = {step.event for step in run.steps}
    for event in range(len(run.events) - 1):  # what happens after the last call is the loop's own business
        expect.that(
            event in steps or bool((run.theta[event] == run.theta[event + 1]).all()),
            "Parameters change without a training step, as during the evaluation.",
            "Each step belongs right after the backward of its batch; evaluation changes nothing.",
        )


@pytest.mark.points(0.5, cell=CELL)
def test_progress_bar(student, draw):
    """Training shows a tqdm progress bar"""
    run = watch(student, make_problem(draw), 1, num_epochs=1, learning_rate=RATE)
    check_learns(run)
    expect.that(run.bars > 0, "Training shows no progress bar.", "Wrap a loop, over epochs or batches, in tqdm(...).")


def _figures(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[float, float]:
    """Mean loss and accuracy in percent over the samples of all parts."""
    losses, right = (torch.cat(column).double() for column in zip(*parts, strict=True))
    return float(losses.mean()), 100 * float(right.mean())


def _compare(run: Run, which: str, expected: list[tuple[float, float]], cause: str) -> None:
    for name, column in (("acc", [a for _, a in expected]), ("loss", [x for x, _ in expected])):
        found = run.figures(f"{which}_{name}")
        unit = "Accuracies are in percent." if name == "acc" else "Losses are averaged over samples, not over batches."
        expect.close(
            found,
            column,
            f"{which}_{name} is not what it should be.",
            f"{unit} The last batch is smaller than the others. {cause}",
            atol=1e-3,
            rtol=1e-3,
            detail=f"Yours is {[round(f, 4) for f in found]}.",
        )


def _check_moves(run: Run, moves: torch.Tensor) -> None:
    """Direction, size and independence of the gradient's scale, for any Adam, schedule, decay or clipping."""
    gradients = torch.stack([run.gradient(step) for step in run.steps])  # (S, P)
    theta = torch.stack([step.theta for step in run.steps]).double()
    largest = float(moves.abs().max())
    expect.that(
        largest > 0,
        "No parameter moves.",
        "Are optimizer and model about the same parameters, and does step() come after backward()?",
    )
    expect.that(
        largest < 2 * RATE,
        "A parameter moves by much more than the learning rate in one step.",
        "Adam moves each parameter by about the learning rate at most; it takes the rate that the function was given.",
    )
    moving = (moves.abs().amax(1) > 0).double()
    expect.that(
        float(moving.mean()) > 0.5,
        "Parameters move only after some of the batches.",
        "Each batch gets its own step of the optimizer.",
    )
    direction = _sure_direction(gradients, theta)
    for name, where in parameter_slices(run.problem).items():
        if name == "faint.weight":
            continue
        sure, moved = direction[:, where], moves[:, where]
        expect.that(
            bool((moved != 0).any()),
            "A parameter of the model stays where it is, although it has a gradient.",
            "The optimizer needs all parameters of the model that it was given.",
            f"It is {name} of the grader's model.",
        )
        expect.that(
            not bool((moved * sure > 1e-3 * largest).any()),
            "A parameter moves along its gradient instead of against it.",
            "Which loss goes down, and are gradients those of the step's own batch?",
        )
    where = parameter_slices(run.problem)
    late = slice(BATCHES + 2, None)  # the first steps of RAdam are those of plain gradient descent
    faint, head = (moves[late, where[n]].abs().mean() for n in ("faint.weight", "head.weight"))
    expect.that(
        float(faint) > 0.1 * float(head),
        "Parameters with small gradients hardly move.",
        "An optimizer of the Adam family divides by the size of the gradient; plain gradient descent does not.",
    )


def _sure_direction(gradients: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """Sign (S, P) of the running mean of gradients where every Adam agrees on it, else 0.

    Averages with any usual decay, with and without clipping of each gradient's norm or values, must agree, and by more
    than weight decay can add.
    """
    size = float(gradients.norm(dim=1).mean())
    by_norm = gradients / gradients.norm(dim=1, keepdim=True)
    by_value = [gradients.clamp(-most, most) for most in (0.01, 0.05, 0.2, 1.0)]
    least = torch.full_like(gradients, torch.inf)
    signs = []
    for series in (gradients, by_norm, *by_value):
        scale = size / float(series.norm(dim=1).mean())
        for decay in DECAYS:
            mean, means = torch.zeros_like(series[0]), []
            for n, gradient in enumerate(series, start=1):
                mean = decay * mean + (1 - decay) * gradient
                means.append(mean / (1 - decay**n))
            averaged = torch.stack(means) * scale
            signs.append(averaged.sign())
            least = torch.minimum(least, averaged.abs())
    agreed = torch.stack(signs).sum(0) / len(signs)
    return torch.where((agreed.abs() == 1) & (least > 0.02 + 0.1 * theta.abs()), agreed, 0.0)
