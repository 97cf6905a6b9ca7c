"""CachedAttention and cache_bytes: whole texts, pieces of any sizes, what the cache holds and who may change it."""

import pytest
import torch

from autograder.graders.attention_variants import attending
from autograder.graders.oracles.accelerator import accelerator_if_any, check_present
from autograder.graders.oracles.twins import check_gradients, state_for
from autograder.testing import expect

CELL = "kv-cache"
NAME = "CachedAttention"
SIZES = ((2, 7, 24, 6, 2), (3, 9, 16, 8, 4), (1, 6, 10, 5, 5), (2, 8, 12, 4, 1))  # B, T, d, h, g
CUTS = ((1,) * 6, (2, 3, 1), (5, 1), (1, 4, 1), (3, 3))
PIECES = (
    "A query sees all that is cached and, in its own piece, itself and what is before it. Do the new keys join the "
    "cache before they are asked for, and which row of a causal mask does the first new query have?"
)


def pieces_of(x, sizes):
    """`x` (B, T, d) in pieces of these sizes, and a last one of what is left."""
    rest = x.shape[1] - sum(sizes)
    return list(x.split([*sizes, rest], dim=1)) if rest else list(x.split(list(sizes), dim=1))


def drive(student, init, state, x, sizes, **options):
    """What the driver gives for `x` fed in pieces, its shapes checked."""
    found = student.drive("cached_pieces", init=init, state=state, pieces=pieces_of(x, sizes), **options)
    check_present(found)
    if found["problem"]:
        raise expect.Mistake(
            "The result is not (output, cache) with a cache of (keys, values).", "Look at the return line."
        )
    expect.tensor(found["output"], x.shape)
    so_far = 0
    for piece, cache in zip(pieces_of(x, sizes), found["caches"], strict=True):
        so_far += piece.shape[1]
        shape = (x.shape[0], init["n_kv_heads"], so_far, init["d_model"] // init["n_heads"])
        for part, what in zip(cache, ("the cached keys", "the cached values"), strict=True):
            expect.tensor(part, shape, what=what)
    return found


@pytest.mark.points(1, cell=CELL, role="value")
def test_cached_whole_text(student, reference, draw):
    """Without a cache it is causal attention with shared key and value heads"""
    for batch, tokens, d, heads, groups in SIZES:
        init = {"d_model": d, "n_heads": heads, "n_kv_heads": groups}
        state = state_for(reference, draw, NAME, **init)
        x = draw.normal(batch, tokens, d)
        causal = torch.ones(tokens, tokens).tril()
        expected, _ = reference.build("GroupedQueryAttention", **init, state=state).forward(x, x, x, causal)
        found = drive(student, init, state, x, ())
        expect.close(
            found["output"],
            expected,
            "The output for a whole text is not that of causal grouped-query attention.",
            "May a token see later ones, which key and value head does query head j use, and is the output projected?",
            atol=1e-4,
        )


@pytest.mark.points(2, cell=CELL)
def test_cached_pieces(student, reference, draw):
    """A text in pieces of any sizes gives the outputs of the whole text"""
    for batch, tokens, d, heads, groups in SIZES:
        init = {"d_model": d, "n_heads": heads, "n_kv_heads": groups}
        state = state_for(reference, draw, NAME, **init)
        x = draw.normal(batch, tokens, d)
        whole = reference.build(NAME, **init, state=state).forward(x)[0]
        for sizes in CUTS:
            found = drive(student, init, state, x, sizes)
            expect.close(
                found["output"], whole, "A text in pieces gives other outputs than the whole.", PIECES, atol=1e-4
            )
    for dtype, atol in attending.HALF.items():
        found = drive(student, init, state, x, (2, 4), dtype=dtype)
        expect.close(found["output"], whole, "In half precision a text in pieces is wrong.", PIECES, atol=atol)
    large = 1e15 * x  # then the scores are 1e30 and more apart, and each query has one key
    changed = large.clone()
    changed[:, 5:] = 1e15 * draw.normal(*x[:, 5:].shape)
    found, after = (drive(student, init, state, one, (3,))["output"][:, :5] / 1e15 for one in (large, changed))
    expect.close(
        after,
        found,
        "With large scores later tokens change earlier outputs.",
        "Which number stands for 'forbidden'?",
        atol=1e-4,
    )


@pytest.mark.points(1, cell=CELL)
def test_cache_holds_shared_heads(student, reference, draw):
    """The cache is (keys, values) of the g shared heads, for all tokens so far; cache_bytes counts its bytes"""
    for batch, tokens, d, heads, groups in SIZES[:2]:
        init = {"d_model": d, "n_heads": heads, "n_kv_heads": groups}
        state = state_for(reference, draw, NAME, **init)
        x = draw.normal(batch, tokens, d)
        found = drive(student, init, state, x, (2, 3))
        so_far = 0
        for piece, cache in zip((2, 3, tokens - 5), found["caches"], strict=True):
            so_far += piece
            for part, name in zip(cache, ("w_k", "w_v"), strict=True):
                expected = (x[:, :so_far] @ state[f"{name}.weight"].T).unflatten(-1, (groups, -1)).transpose(1, 2)
                expect.close(
                    part,
                    expected,
                    "The cache does not hold the keys and values of the tokens so far.",
                    "Keys first, then values, oldest token first, as the projections give them.",
                    atol=1e-4,
                )
    shapes = ((2, 3, 5, 4), (1, 1, 1, 7), (3, 2, 0, 4))
    kinds = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    for shape in shapes:
        for kind, other in zip(kinds, kinds[1:] + kinds[:1], strict=True):
            cache = (draw.normal(*shape).to(kind), draw.normal(*shape).to(other))
            counted = student.call("cache_bytes", cache)
            right = sum(part.numel() * part.element_size() for part in cache)
            expect.that(
                isinstance(counted, int | float) and counted == right,
                "cache_bytes counts the wrong number of bytes.",
                "Keys and values both count, and an element has as many bytes as its type.",
            )
            expect.that(isinstance(counted, int), "cache_bytes does not give an int.", "Look for a division.")


@pytest.mark.points(1, cell=CELL)
def test_caches_stay_as_they_were(student, reference, draw):
    """No cache is changed, and two continuations of one cache do not disturb each other"""
    batch, tokens, d, heads, groups = SIZES[0]
    init = {"d_model": d, "n_heads": heads, "n_kv_heads": groups}
    state = state_for(reference, draw, NAME, **init)
    first = draw.normal(batch, tokens, d)
    for sizes in ((1, 1, 1), (3, 1), (2, 3, 2)):
        ways = [list(draw.normal(batch, sum(sizes), d).split(list(sizes), dim=1)) for _ in range(2)]
        found = student.drive("cached_continuations", init=init, state=state, first=first, ways=ways)
        expect.that(
            not found["changed"],
            "A cache that was passed in, or one returned earlier, is changed.",
            "Which operation writes into it, and what do two caches share?",
        )
        expect.that(not found["inputs_changed"], "The input is changed in place.", "Look for operations in place.")
        for way, outputs in zip(ways, found["outputs"], strict=True):
            text = torch.cat([first, *way], dim=1)
            whole = reference.build(NAME, **init, state=state).forward(text)[0][:, tokens:]
            expect.close(
                torch.cat(list(outputs), dim=1),
                whole,
                "Two continuations of one cache, a piece of each in turn, disturb each other.",
                "What does the object remember of a call? Only the cache that is passed in may say what came before.",
                atol=1e-4,
            )
    calls = [[first], [first[:1, :3]], [first[:, :1]]]
    attending.check_calls(student, NAME, init, state, calls)


@pytest.mark.points(1, cell=CELL, role="property")
def test_cached_sizes_modes_and_gradients(student, reference, draw):
    """Sizes are refused as in grouped-query attention, there is no dropout, and gradients pass through the cache"""
    batch, tokens, d, heads, groups = SIZES[0]
    init = {"d_model": d, "n_heads": heads, "n_kv_heads": groups}
    handle = student.build(NAME, **init)
    for name, expected in (("n_heads", heads), ("n_kv_heads", groups), ("d_k", d // heads)):
        expect.equal(handle.attribute(name), expected, f"The attribute {name} is wrong.", "d_k is one head's width.")
    shapes = {path: tuple(value.shape) for path, value in handle.parameters().items()}
    narrow = (groups * d // heads, d)
    right = {"w_q.weight": (d, d), "w_k.weight": narrow, "w_v.weight": narrow, "w_o.weight": (d, d), "w_o.bias": (d,)}
    expect.that(
        all(shapes.get(path) == shape for path, shape in right.items())
        and not any(f"w_{p}.bias" in shapes for p in "qkv"),
        "A projection is missing, has another width, or has a bias where it should have none.",
        "The projections are those of grouped-query attention.",
    )
    for sizes in ((10, 3, 1), (12, 4, 3)):
        symptom = "Sizes that do not divide are not refused."
        with student.raises("AssertionError", "ValueError", symptom=symptom):
            student.build(NAME, *sizes)
    state = state_for(reference, draw, NAME, **init)
    x = draw.normal(batch, tokens, d)
    weights = draw.normal(batch, tokens, d)
    ours = reference.drive("cached_pieces", init=init, state=state, pieces=[x], weights=weights)
    expect.close(
        drive(student, init, state, x, (3,), train=True)["output"],
        ours["output"],
        "In training mode the output is another one.",
        "CachedAttention has no dropout.",
        atol=1e-4,
    )
    places = ["cpu"] + ([one] if (one := accelerator_if_any()) else [])
    for device in places:
        found = drive(student, init, state, x, (3, 1), weights=weights, device=device)
        expect.that(
            found["device"] == device, "The output or the cache is not where the input is.", "Look at new masks."
        )
        for path, expected in ours["gradients"].items():
            theirs = found["gradients"].get(path)
            expect.that(
                isinstance(theirs, torch.Tensor),
                "A gradient is missing when a text is fed in pieces.",
                "Is the cache cut from the graph (detach, no_grad)?",
            )
            expect.close(theirs, expected, "A gradient is wrong when a text is fed in pieces.", PIECES, 1e-3, 1e-3)
    check_gradients(student, reference, draw, (batch, tokens, d), name=NAME, init=init, state=state, inputs={"x": x})
