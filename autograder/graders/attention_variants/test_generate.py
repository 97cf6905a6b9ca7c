"""generate_text: the most probable tokens, the window of the model, ends, draws, refusals, modes.

The model is the notebook's own GPTTransformer with parameters of ours, watched at each call.
"""

import pytest
import torch

from autograder.graders.oracles.accelerator import accelerator_if_any, check_present
from autograder.graders.oracles.distribution import fits
from autograder.graders.oracles.twins import state_for
from autograder.testing import expect

CELL = "generate"
V = 11
SIZES = {"vocab_size": V, "d_model": 12, "n_heads": 3, "n_layers": 1, "d_ff": 16, "max_seq_length": 8, "dropout": 0.5}
DRAWS = 3000


def lively(reference, draw):
    """Parameters with which the next token depends on where and what the others are."""
    state = state_for(reference, draw, "GPTTransformer", **SIZES)
    state["layer_norm.weight"] = draw.uniform(1.5, 2.5, (SIZES["d_model"],))
    state["layer_norm.bias"] = torch.zeros(SIZES["d_model"])
    return state


def generate(subject, state, *calls, **options):
    """What was seen of each call of generate_text; each of `calls` is its arguments by name."""
    return subject.drive("generate_runs", sizes=SIZES, state=state, calls=list(calls), seconds=20, **options)


def ids_of(run, prompt):
    """The ids that a run returned, their form checked."""
    found = run["result"]
    expect.that(
        isinstance(found, torch.Tensor) and found.dim() == 2 and found.size(0) == prompt.size(0),
        "The result is not ids (B, T + n).",
        "Join the prompt and the new tokens along the second axis.",
        f"It is {expect.described(found)}.",
    )
    expect.that(found.dtype == torch.int64, "The ids are not int64.", "They are those of the prompt, and more.")
    expect.that(
        torch.equal(found[:, : prompt.size(1)], prompt),
        "The result does not begin with the prompt.",
        "Join the prompt and the new tokens along the second axis, and return the prompt whole.",
    )
    return found


def check_same(student, reference, state, calls, symptom, cause):
    """Every one of `calls` must give the reference's ids."""
    for call, theirs, ours in zip(
        calls, generate(student, state, *calls), generate(reference, state, *calls), strict=True
    ):
        found = ids_of(theirs, call["prompt"])
        expect.that(torch.equal(found, ours["result"]), symptom, cause)


@pytest.mark.points(1.5, cell=CELL, role="value")
def test_generate_greedy(student, reference, draw):
    """At temperature 0 each new token is the most probable one after all before it"""
    for _ in range(2):
        state = lively(reference, draw)
        calls = [
            {"prompt": draw.integers(0, V, shape), "max_new_tokens": new, "temperature": 0}
            for shape, new in (((4, 2), 5), ((1, 1), 7), ((3, 7), 1), ((2, 3), 0), ((5, 5), 3))
        ]
        calls.append(calls[0] | {"temperature": 0.0, "top_k": 3})
        check_same(
            student,
            reference,
            state,
            calls,
            "At temperature 0 the new tokens are not the most probable ones.",
            "Which position's logits predict the next token, and does the model see all tokens so far, each row its "
            "own? max_new_tokens says how many tokens there are.",
        )


@pytest.mark.points(1, cell=CELL)
def test_generate_window(student, reference, draw):
    """A text longer than max_seq_length is continued from its last max_seq_length tokens and returned whole"""
    state = lively(reference, draw)
    calls = [
        {"prompt": draw.integers(0, V, shape), "max_new_tokens": new, "temperature": 0}
        for shape, new in (((3, 8), 4), ((2, 14), 5), ((1, 6), 9), ((4, 9), 1), ((1, 30), 0))
    ]
    check_same(
        student,
        reference,
        state,
        calls,
        "A text longer than max_seq_length is not continued as it should be.",
        "The model sees the last max_seq_length tokens of the text so far, no more and no fewer.",
    )


@pytest.mark.points(1, cell=CELL)
def test_generate_ends(student, reference, draw):
    """After a new eos_id a row goes on with eos_id, and the result ends when all rows have ended"""
    calls, wanted = [], []
    while len(calls) < 12:
        state = lively(reference, draw)
        prompt = draw.integers(0, V, (3, 4))
        base = {"prompt": prompt, "max_new_tokens": 9, "temperature": 0}
        free = generate(reference, state, base)[0]["result"][:, 4:]
        found = {eos: [_place(row, eos) for row in free.tolist()] for eos in range(V)}
        calls, wanted = [], []
        for eos, places in found.items():
            if any(places):  # somewhere after the first new token
                calls += [base | {"eos_id": eos}, base | {"prompt": prompt[:1], "eos_id": eos}]
                in_prompt = prompt.clone()
                in_prompt[:, -1], in_prompt[:, 1] = eos, eos
                calls.append(base | {"prompt": in_prompt, "eos_id": eos})
        first = free[0, 0].item()
        calls += [base | {"prompt": prompt[:1], "eos_id": first}, base | {"max_new_tokens": 3, "eos_id": first}]
        calls = calls if any(None not in places for places in found.values()) or len(calls) >= 12 else []
        wanted = [run["result"] for run in generate(reference, state, *calls)] if calls else []
    # the id 0 is an end like any other: the same model with two ids exchanged
    end = next(call["eos_id"] for call in calls)
    exchanged = dict(state)
    rows = torch.arange(V)
    rows[[0, end]] = rows[[end, 0]]
    exchanged["token_embedding.weight"] = state["token_embedding.weight"][rows]
    zero = calls[0] | {"prompt": rows[calls[0]["prompt"]], "eos_id": 0}
    runs = generate(student, state, *calls) + generate(student, exchanged, zero)
    for call, run, right in zip([*calls, zero], runs, [*wanted, rows[wanted[0]]], strict=True):
        found = ids_of(run, call["prompt"])
        expect.that(
            found.size(1) == right.size(1),
            "The result does not end where it should.",
            "It ends when every row has a new eos_id, or after max_new_tokens. An eos_id in the prompt ends nothing.",
        )
        expect.that(
            torch.equal(found, right),
            "After a new eos_id a row does not go on with eos_id, or another row is disturbed.",
            "Which rows have ended? Their tokens are eos_id from then on; the others go on as if they were alone.",
        )


def _place(row, eos):
    return row.index(eos) if eos in row else None


@pytest.mark.points(1.5, cell=CELL, chance=True)
def test_generate_draws(student, reference, draw):
    """Tokens are drawn from the softmax of the logits over the temperature, among the top_k, with the generator"""
    state = lively(reference, draw)
    prompt = draw.integers(0, V, (2, 5))
    logits = reference.build("GPTTransformer", **SIZES, state=state).forward(prompt)[:, -1].double()
    many = prompt.repeat_interleave(DRAWS, dim=0)
    cases = ((1.0, None), (0.5, None), (2.5, None), (1.0, 3), (0.7, 5), (1.0, V), (1.0, 100), (1.0, 1), (1e-3, None))
    calls = [
        {"prompt": many, "max_new_tokens": 1, "temperature": temperature, "top_k": k, "generator": draw.seed()}
        for temperature, k in cases
    ]
    calls += [{"prompt": many, "max_new_tokens": 1}, {"prompt": many, "max_new_tokens": 1, "generator": draw.seed()}]
    for (temperature, k), run in zip([*cases, (1.0, None), (1.0, None)], generate(student, state, *calls), strict=True):
        drawn = ids_of(run, many)[:, -1].view(2, DRAWS)
        for row in range(2):
            scaled = logits[row] / temperature
            kept = scaled.topk(min(k or V, V)).indices
            allowed = torch.full_like(scaled, -torch.inf).index_fill(0, kept, 0.0) + scaled
            probabilities = dict(enumerate(allowed.softmax(-1).tolist()))
            counts = drawn[row].bincount(minlength=V).tolist()
            expect.that(
                not any(count and i not in kept for i, count in enumerate(counts)),
                "Tokens are drawn that are not among the top_k.",
                "Everything below the k-th largest logit of its own row gets probability 0.",
            )
            # a token that comes up once in 10^12 draws counts as impossible, as it does in float32
            certain = {i: p for i, p in probabilities.items() if p > 1e-12}
            expect.that(
                fits({i: c for i, c in enumerate(counts) if c}, certain),
                "The tokens do not come with the right probabilities.",
                "The logits are divided by the temperature before the softmax; top_k keeps the k most probable, whose "
                "shares grow to 1; each row draws for itself.",
            )
    seed, other = draw.seed(), draw.seed()
    long = {"prompt": draw.integers(0, V, (3, 2)), "max_new_tokens": 12}
    first, again, different = generate(
        student,
        state,
        long | {"generator": seed, "seed": 1},
        long | {"generator": seed, "seed": 2},
        long | {"generator": other, "seed": 1},
    )
    expect.that(
        torch.equal(ids_of(first, long["prompt"]), ids_of(again, long["prompt"])),
        "Two generators with the same seed give different texts.",
        "Every draw takes its randomness from the generator that was given, and from nowhere else.",
    )
    expect.that(
        not torch.equal(first["result"], different["result"]),
        "Two generators with different seeds give the same text.",
        "Every draw takes its randomness from the generator that was given.",
    )
    (whole,) = generate(student, state, {"prompt": long["prompt"]})
    expect.that(
        ids_of(whole, long["prompt"]).size(1) == 102,
        "Without max_new_tokens there are not 100 new tokens.",
        "Compare with the signature that was given.",
    )


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_generate_refuses(student, reference, draw):
    """A negative temperature and a top_k below 1 raise ValueError"""
    state = lively(reference, draw)
    prompt = draw.integers(0, V, (2, 3))
    for wrong in ({"temperature": -0.5}, {"top_k": 0}, {"top_k": -1}, {"top_k": 0, "temperature": 0}):
        symptom = f"{' and '.join(wrong)} out of range: no ValueError is raised."
        with student.raises("ValueError", symptom=symptom):
            generate(student, state, {"prompt": prompt, "max_new_tokens": 2} | wrong)


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_generate_modes(student, reference, draw):
    """The model is called in eval mode without gradients, keeps its mode and its parameters, on its own device"""
    state = lively(reference, draw)
    prompt = draw.integers(0, V, (2, 3))
    calls = [
        {"prompt": prompt, "max_new_tokens": 3, "temperature": temperature, "training": training, "eos_id": eos}
        for temperature in (0, 1.0)
        for training in (True, False)
        for eos in (None, 4)
    ]
    for call, run in zip(calls, generate(student, state, *calls), strict=True):
        expect.that(run["modes"] == [False], "The model is called in train mode.", "Dropout would blur what it says.")
        expect.that(run["gradients"] == [False], "The model is called with gradients.", "torch has a context for that.")
        expect.that(
            set(run["after"]) == {call["training"]},
            "The model is not left in the mode in which it was.",
            "Remember model.training before you switch, and put it back with a method of the model.",
        )
        expect.that(
            torch.equal(run["prompt_after"], prompt) and run["same_parameters"] is True,
            "The prompt or the model's parameters are changed.",
            "The result is a tensor of its own.",
        )
    if device := accelerator_if_any():
        call = {"prompt": prompt, "max_new_tokens": 7, "temperature": 0, "eos_id": 4}
        (here,), there = (
            generate(reference, state, call),
            generate(student, state, call, call | {"temperature": 1.0}, device=device),
        )
        check_present({} if there is not None else None)
        expect.that(
            torch.equal(ids_of(there[0], prompt), here["result"]) and there[1]["device"] == there[0]["device"] != "cpu",
            "On another device than the CPU, the result is another one, or is somewhere else.",
            "What is made on the way is made where the prompt is.",
        )
