"""TransformerTrainer: the shifted loss, what counts in it, one step with clipped gradients, modes, devices.

Its model is one of ours with GPTTransformer's interface, so that a mistake there costs nothing here.
"""

import pytest
import torch

from autograder.graders.oracles.accelerator import accelerator, check_present
from autograder.testing import expect

CELL = "lm-training"
V, D = 11, 6


def watch(student, draw, name="TransformerTrainer", **call):
    """What the driver saw of the calls, each `(method, batch)`; parameters are random, batches are given."""
    state = {"embedding.weight": draw.normal(V, D), "mix.weight": draw.normal(D, D), "head.weight": draw.normal(V, D)}
    return student.drive("lm_probe", name=name, sizes=[V, D], state=state, **call), state


def rows(draw, batch, length, lengths=None):
    """Ids, and the mask that goes with texts of these `lengths`, padded on the right."""
    mask = torch.ones(batch, length, dtype=torch.long)
    for row, n in enumerate(lengths or ()):
        mask[row, n:] = 0
    return draw.integers(0, V, (batch, length)), mask


def some_labels(draw, batch, length):
    """Random labels of which a third do not count, and the first of each row never do."""
    labels = draw.integers(0, V, (batch, length))
    labels[draw.mask(batch, length) == 0] = -100
    return labels


def check_losses(student, reference, draw, batches, symptom, cause, scale=1.0):
    """The losses of `batches`, and their gradients, against the reference's on the same model."""
    call = {"steps": [{"do": "compute_loss", "batch": batch} for batch in batches], "scale": scale}
    found, state = watch(student, draw, **call)
    ours = reference.drive("lm_probe", name="TransformerTrainer", sizes=[V, D], state=state, **call)
    for theirs, right in zip(found, ours, strict=True):
        loss = theirs["result"]
        expect.tensor(loss, (), what="the loss")
        expect.close(loss, right["result"], symptom, cause, atol=1e-5, rtol=1e-4)
        expect.that(
            theirs["grad"] is not None,
            "No gradient flows from the loss to the model.",
            "compute_loss returns a tensor that still knows where it came from.",
        )
        expect.close(theirs["grad"], right["grad"], symptom, cause, atol=1e-4, rtol=1e-3)
    return found


@pytest.mark.points(1.5, cell=CELL, role="value")
def test_loss_values(student, reference, draw):
    """The loss is the mean cross-entropy of the logits at t against the token at t + 1"""
    for batch, length, scale in ((3, 7, 1.0), (1, 2, 1.0), (2, 5, 300.0), (5, 5, 1.0)):
        check_losses(
            student,
            reference,
            draw,
            [{"input_ids": rows(draw, batch, length)[0]} for _ in range(2)],
            "The loss is not the mean cross-entropy of each next token.",
            "Which logit predicts which token? The last logit has none to predict, and the first token is predicted "
            "by none. The mean runs over all tokens of the batch; F.cross_entropy takes logits as they are.",
            scale=scale,
        )


@pytest.mark.points(1, cell=CELL)
def test_loss_labels(student, reference, draw):
    """Labels that are given decide alone what counts: -100 does not, PAD with a label does"""
    batches = []
    for batch, length in ((3, 7), (2, 9), (4, 4)):
        ids, mask = rows(draw, batch, length, [length - 1 - n for n in range(batch)])
        labels = some_labels(draw, batch, length)
        labels[:, -1] = draw.integers(0, V, (batch,))  # counts, although the mask calls it PAD
        batches += [{"input_ids": ids, "labels": labels}, {"input_ids": ids, "labels": labels, "attention_mask": mask}]
        batches += [{"input_ids": ids, "labels": labels, "attention_mask": mask.bool()}]
    check_losses(
        student,
        reference,
        draw,
        batches,
        "With labels, the loss is not the mean over the labels that count.",
        "Are labels shifted once, and only once? Which of them are left out, and by which number is the sum divided? "
        "The mask says nothing about labels that are given.",
    )


@pytest.mark.points(1, cell=CELL)
def test_loss_padding(student, reference, draw):
    """Without labels, PAD is not to be predicted; the mask reaches the model; nothing passed in is changed"""
    batches = []
    for batch, lengths, length in ((3, (7, 4, 2), 7), (2, (3, 5), 8), (5, (5, 3, 2, 4, 5), 5)):
        ids, mask = rows(draw, batch, length, lengths)
        batches += [
            {"input_ids": ids, "attention_mask": mask.to(kind)} for kind in (torch.int64, torch.bool, torch.float32)
        ]
    found = check_losses(
        student,
        reference,
        draw,
        batches,
        "With a mask, the loss is not the mean over the real tokens.",
        "Where the mask is 0 the token is PAD and is not to be predicted, whatever its id; the last real token has "
        "nothing after it. The model needs the mask, too.",
    )
    for seen, batch in zip(found, batches, strict=True):
        expect.that(
            torch.equal(seen["mask_seen"].float(), batch["attention_mask"].float()),
            "The model is called without its attention mask.",
            "Hand attention_mask on to the model.",
        )
    labels = some_labels(draw, *rows(draw, 3, 7)[0].shape)
    for batch in (batches[0], {**batches[0], "labels": labels}):
        (seen,), _ = watch(student, draw, steps=[{"do": "compute_loss", "batch": batch}])
        expect.that(
            all(torch.equal(seen["batch_after"][name], value) for name, value in batch.items()),
            "compute_loss changes what is passed in.",
            "Which assignment or operation with an underscore writes into the ids, the labels or the mask?",
        )


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_loss_gradients(student, draw):
    """Positions that predict PAD or -100 receive no gradient, all others do"""
    ids, mask = rows(draw, 3, 8, (8, 5, 2))
    labels = some_labels(draw, 3, 8)
    for batch, counted in (
        ({"input_ids": ids, "attention_mask": mask}, mask[:, 1:] != 0),
        ({"input_ids": ids, "labels": labels}, labels[:, 1:] != -100),
    ):
        (seen,), _ = watch(student, draw, steps=[{"do": "compute_loss", "batch": batch}])
        reached = expect.tensor(seen["logits_grad"], (3, 8, V), what="the gradient of the logits").abs().amax(-1) > 0
        expect.that(
            not bool(reached[:, -1].any()) and torch.equal(reached[:, :-1], counted),
            "Logits receive a gradient where nothing counts, or none where something does.",
            "The logit at t is judged by the label at t + 1. Labels of -100 and PAD do not count.",
        )


@pytest.mark.points(1.5, cell=CELL)
def test_step(student, reference, draw):
    """A step starts from zero gradients, clips their norm, goes once, and returns the loss before it"""
    ids, mask = rows(draw, 4, 6, (6, 3, 4, 5))
    batches = [{"input_ids": ids}, {"input_ids": ids, "labels": some_labels(draw, 4, 6)}]
    batches += [{"input_ids": ids, "attention_mask": mask, "labels": None}, {"input_ids": ids, "attention_mask": None}]
    for options in ({"max_norm": 0.05}, {"max_norm": 1e4}, {}):
        for scale in (1.0, 8.0):
            steps = [{"do": "train_step", "batch": batch} for batch in batches]
            call = {"steps": steps, "options": options, "scale": scale, "rate": 0.2, "stale": True}
            found, state = watch(student, draw, **call)
            ours = reference.drive("lm_probe", name="TransformerTrainer", sizes=[V, D], state=state, **call)
            for theirs, right in zip(found, ours, strict=True):
                expect.that(
                    isinstance(theirs["result"], float),
                    "train_step does not return a number.",
                    "A tensor has a method that gives its number.",
                    f"It is {expect.described(theirs['result'])}.",
                )
                expect.close(
                    theirs["result"],
                    right["result"],
                    "train_step does not return the loss before the step.",
                    "It is the loss that the gradients came from.",
                    atol=1e-4,
                    rtol=1e-3,
                )
                expect.equal(
                    theirs["optimizer_steps"], 1, "The optimizer does not go one step a batch.", "Count the calls."
                )
                expect.close(
                    theirs["moved"],
                    right["moved"],
                    "The step is not the one that the clipped gradients of this batch give.",
                    "Are old gradients cleared? Are the gradients of all parameters clipped together, by their norm, "
                    "after backward and before the step, and only where the norm is larger than max_norm (1 where "
                    "nobody says)?",
                    atol=1e-5,
                    rtol=1e-3,
                )
    (still,), _ = watch(student, draw, steps=[{"do": "train_step", "batch": batches[0]}], rate=0.0)
    expect.that(
        not bool(still["moved"].any()),
        "With a learning rate of 0 parameters still move.",
        "The step is the optimizer's that was given.",
    )


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_step_modes(student, draw):
    """The step runs in train mode, whatever the mode before; the batch stays as it was"""
    ids, mask = rows(draw, 3, 6, (6, 3, 4))
    batch = {"input_ids": ids, "attention_mask": mask}
    for start in ("eval", "train", "part"):
        found, _ = watch(student, draw, steps=[{"do": "train_step", "batch": batch}] * 2, start=start)
        for seen in found:
            expect.that(
                seen["all_training"] is True,
                "A batch is not seen in train mode.",
                "The mode stays as it was set last, and an evaluation may have come before.",
            )
            expect.that(seen["calls"] == 1, "The model is not called once a step.", "One forward gives the loss.")
            expect.that(
                sorted(seen["batch_after"]) == sorted(batch)
                and all(torch.equal(seen["batch_after"][name], value) for name, value in batch.items()),
                "train_step changes the batch that it is given.",
                "What is moved or filled belongs in a dict of its own.",
            )
    (seen,), _ = watch(student, draw, steps=[{"do": "compute_loss", "batch": batch}], options={"max_norm": 0.7})
    expect.that(
        seen["model_is_given"] is True and seen["max_norm"] == 0.7,
        "The attributes model and max_norm are not what was given.",
        "The constructor keeps both.",
    )


@pytest.mark.points(1, cell=CELL)
def test_step_on_a_device(student, draw):
    """A step works where the model is, and brings the batch there"""
    ids, mask = rows(draw, 3, 6, (6, 3, 4))
    batches = [
        {"input_ids": ids},
        {"input_ids": ids, "attention_mask": mask},
        {"input_ids": ids, "attention_mask": mask, "labels": some_labels(draw, 3, 6)},
    ]
    steps = [{"do": "train_step", "batch": batch} for batch in batches]
    on_cpu, state = watch(student, draw, steps=steps)
    there = student.drive(
        "lm_probe", name="TransformerTrainer", sizes=[V, D], state=state, steps=steps, device=accelerator()
    )
    check_present({} if there is not None else None)
    for theirs, right in zip(there, on_cpu, strict=True):
        expect.that(
            theirs["device"] != "cpu",
            "The model was on an accelerator, and training has moved it to the CPU.",
            "Where the model is, is its owner's business: ask one of its parameters, and bring the batch there.",
        )
        expect.close(
            theirs["result"],
            right["result"],
            "The loss on an accelerator is not that on the CPU.",
            atol=1e-3,
            rtol=1e-3,
        )
        expect.close(
            theirs["moved"], right["moved"], "The step on an accelerator is not that on the CPU.", atol=1e-4, rtol=1e-3
        )
