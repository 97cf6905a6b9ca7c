"""generate_greedy: the library's tokens, its end of sequence, and what is fed to the model.

Every test asks for a loop of the student's own: what the library's generate yields earns nothing. Tests other than the
one for the cache decode without one where they can, so that one mistake costs one test.
"""

import pytest
import torch

from autograder.graders.llm_internals import seconds
from autograder.graders.llm_internals.real_model import real_model
from autograder.graders.llm_internals.tiny_models import CAUSAL, draw_lively, draw_prompt, varied
from autograder.testing import expect

CELL = "generate"
REAL_TOKENS = 4  # enough to see the cache at work on the notebook's model


def generate(student, model, calls, limit=seconds.DECODE, **ends):
    """What was seen in each call, its own loop proven."""
    runs = student.drive("generation", model=model, calls=calls, seconds=limit, **ends)
    expect.parts(runs, len(calls), "one answer for each call")
    for run in runs:
        expect.that(
            not run["library_loop"],
            "The tokens come from the library's generate.",
            "Write the loop yourself: a forward pass, the next token, and again.",
        )
    return runs


def check(run, prompt, added, symptom, cause=""):
    """The result of `run` must be the prompt followed by `added`."""
    found = run["result"]
    expect.that(
        isinstance(found, torch.Tensor) and found.dim() == 2 and len(found) == 1 and not found.is_floating_point(),
        "generate_greedy does not return token ids (1, T + n).",
        "Join the prompt and the new tokens along the second axis.",
        f"It is {expect.described(found)}.",
    )
    length = prompt.shape[1]
    ids = found[0, : length + len(added) + 20].tolist()  # more than that is wrong, however it goes on
    expect.equal(
        ids[:length],
        prompt[0].tolist(),
        "The result does not begin with the prompt.",
        "Join the prompt and the new tokens along the second axis.",
    )
    expect.equal(ids[length:], added, symptom, cause, f"The new tokens are {expect.described(ids[length:])}.")


def check_real(student, draw, use_cache):
    """The notebook's model, for a few tokens, where it is prepared."""
    real = real_model()
    if real is None:
        return
    prompt = real.prompt(draw)
    added = real.greedy(prompt, REAL_TOKENS)
    ends = {
        "config_end": real.model.config.eos_token_id,
        "generation_end": real.model.generation_config.eos_token_id,
    }
    (run,) = generate(student, real.model_in_worker(student), [(prompt, len(added), use_cache)], seconds.REAL, **ends)
    check(
        run,
        prompt,
        added,
        "The notebook's model does not give the tokens of the library's greedy decoding.",
        "With a cache, each new token goes to the model together with all that the cache holds." if use_cache else "",
    )


def both(prompt, most):
    """The arguments of a call without a cache and of one with it."""
    return [(prompt, most, False), (prompt, most, True)]


@pytest.mark.points(0.1, cell=CELL, role="value")
def test_greedy_tokens(student, draw):
    """The prompt, followed by the tokens that the library's greedy decoding gives"""
    for kind in CAUSAL:
        tiny = draw_lively(draw, kind)
        model = tiny.in_worker(student)
        for length, most, fits in ((1, 4, bool), (6, 9, varied), (11, 1, bool)):
            prompt, added = draw_prompt(draw, tiny, length, most, fits)
            (run,) = generate(student, model, [(prompt, most, False)])
            check(
                run,
                prompt,
                added,
                "The new tokens are not those of the library's greedy decoding.",
                "Each new token is the arg max after all tokens before it; max_new_tokens says how many there are.",
            )
        prompt = draw.integers(0, tiny.vocabulary, (1, 5))
        (run,) = generate(student, model, [(prompt, 0, False)])
        check(run, prompt, [], "With max_new_tokens=0 the result is not the prompt alone.")
    check_real(student, draw, use_cache=False)


@pytest.mark.points(0.1, cell=CELL)
def test_end_of_sequence(student, draw):
    """Decoding stops after an end-of-sequence token, which the generation config names, else the config"""
    for kind in CAUSAL:
        tiny = draw_lively(draw, kind)
        prompt, added = draw_prompt(draw, tiny, 6, 10, lambda a: varied(a) and last_new(a) > 2)
        place = last_new(added)
        end, early = added[place], added[0]
        absent = [i for i in range(tiny.vocabulary) if i not in added]
        zero, given = tiny.relabelled(0, end).in_worker(student), swapped(prompt, 0, end)
        added_zero = swapped(torch.tensor(added), 0, end).tolist()
        stops, whole, model = added[: place + 1], added, tiny.in_worker(student)
        only_else = "The config's end counts only where the generation config has none."
        for handle, ids, generation_end, config_end, expected, cause in (
            (model, prompt, end, None, stops, "It is generation_config.eos_token_id, and the result contains it."),
            (model, prompt, end, early, stops, only_else),
            (model, prompt, absent[0], early, whole, only_else),
            (model, prompt, [absent[0], end], None, stops, "There may be a list of them."),
            (model, prompt, [end, absent[0]], None, stops, "There may be a list of them."),
            (model, prompt, [absent[0], absent[1]], None, whole, "Tokens that are no end do not stop it."),
            (model, prompt, None, end, stops, "Where the generation config has none, the config's counts."),
            (model, prompt, None, [end, absent[0]], stops, "The config's may be a list, too."),
            (model, prompt, early, None, added[:1], "It stops after the first new token if that is one."),
            (model, prompt, None, None, whole, "A model need not have one: then max_new_tokens ends the loop."),
            (zero, given, 0, None, added_zero[: place + 1], "A token with the id 0 is one like any other."),
            (zero, given, 0, added_zero[0], added_zero[: place + 1], "A token with the id 0 is one like any other."),
        ):
            ends = {"generation_end": generation_end, "config_end": config_end}
            (run,) = generate(student, handle, [(ids, 10, False)], **ends)
            check(run, ids, expected, "Decoding does not stop where it should.", cause)
        held, tail = draw_prompt(draw, tiny, 9, 3, bool)
        inside = next(i for i in held[0].tolist() if i not in tail)
        (run,) = generate(student, model, [(held, 3, False)], generation_end=inside)
        check(run, held, tail, "An end-of-sequence token in the prompt stops decoding.", "Only new tokens count.")


def last_new(added):
    """The last place at which a token occurs for the first time, before the end."""
    return max(i for i in range(len(added) - 2) if added[i] not in added[:i])


def swapped(ids, first, second):
    return torch.where(ids == first, second, torch.where(ids == second, first, ids))


@pytest.mark.points(0.1, cell=CELL)
def test_decoding_with_a_cache(student, draw):
    """With a cache each step after the first feeds one token and the tokens are the same; without one, all are fed"""
    for kind in CAUSAL:
        tiny = draw_lively(draw, kind)
        model = tiny.in_worker(student)
        for length, most in ((7, 8), (3, 6), (1, 4)):
            prompt, added = draw_prompt(draw, tiny, length, most, varied if length > 1 else bool)
            plain, cached = generate(student, model, both(prompt, most))
            check(
                cached,
                prompt,
                added,
                "With a cache the new tokens are not those of the library's greedy decoding.",
                "The cache must hold every earlier token once, at its own position.",
            )
            fed = f"With {length} tokens in the prompt, the passes fed {expect.described(cached['fed'])}."
            expect.that(
                sum(cached["fed"]) >= length + most - 1,
                "With use_cache=True some tokens never reach the model.",
                "The prompt and every new token but the last go through the model once.",
                fed,
            )
            expect.that(
                cached["fed"][0] <= length and all(n == 1 for n in cached["fed"][1:]),
                "With use_cache=True a step after the first feeds more than one token to the model.",
                "The cache holds the keys and values of all earlier tokens: only the newest one is new to the model.",
                fed,
            )
            expect.that(
                sum(plain["fed"]) >= sum(range(length, length + most)),
                "With use_cache=False a step does not feed all tokens to the model.",
                "Without a cache the model remembers nothing from one pass to the next.",
                f"With {length} tokens in the prompt, the passes fed {expect.described(plain['fed'])}.",
            )
        prompt, added = draw_prompt(draw, tiny, 6, 8, lambda a: varied(a) and last_new(a) > 2)
        for most, end in ((8, added[last_new(added)]), (0, None)):
            plain, cached = (run["result"] for run in generate(student, model, both(prompt, most), generation_end=end))
            expect.that(
                isinstance(plain, torch.Tensor) and isinstance(cached, torch.Tensor) and torch.equal(plain, cached),
                "With a cache decoding stops elsewhere than without one.",
                "The end of sequence and max_new_tokens count in both cases.",
            )
    check_real(student, draw, use_cache=True)


@pytest.mark.points(0.05, cell=CELL)
def test_calls_share_no_cache(student, draw):
    """Two calls in a row do not share a cache"""
    for kind in CAUSAL:
        tiny = draw_lively(draw, kind)
        model = tiny.in_worker(student)
        first, second, longer = (draw_prompt(draw, tiny, n, 10, varied) for n in (6, 6, 8))
        rest = (torch.cat([first[0], torch.tensor([first[1][:5]])], dim=1), first[1][5:])
        order = [first, second, first, first, rest, longer, first]
        for run, (prompt, added) in zip(
            generate(student, model, [(prompt, 5, True) for prompt, _ in order]), order, strict=True
        ):
            check(
                run,
                prompt,
                added[:5],
                "Several calls in a row do not each give the right tokens.",
                "Does one call leave a cache behind that the next one finds?",
            )
            expect.that(
                sum(run["fed"]) >= prompt.shape[1] + 4,
                "A later call feeds fewer tokens to the model than its prompt has.",
                "Each call starts with an empty cache and remembers nothing of earlier calls.",
            )


@pytest.mark.points(0.05, cell=CELL, role="property")
def test_decoding_without_gradients(student, draw):
    """No gradients are recorded"""
    for kind in CAUSAL:
        tiny = draw_lively(draw, kind)
        prompt, _ = draw_prompt(draw, tiny, 5, 4, bool)
        for run in generate(student, tiny.in_worker(student), [(prompt, 4, False), (prompt, 4, True)]):
            expect.that(bool(run["fed"]), "The model is never called.", "Write the loop of forward passes.")
            expect.that(
                not run["records_gradient"],
                "The forward passes record gradients.",
                "Nothing is trained here: run the loop without recording gradients.",
            )
