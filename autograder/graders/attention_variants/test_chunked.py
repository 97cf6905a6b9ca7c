"""memory_efficient_attention: plain attention's values for every chunk size and mask, with small tensors only."""

import math

import pytest
import torch

from autograder.graders.oracles.twins import check_gradients
from autograder.testing import expect

CELL = "chunked"
NAME = "memory_efficient_attention"
SHAPES = ((2, 3, 5, 7, 4, 6), (1, 2, 8, 3, 5, 5), (3, 1, 6, 6, 2, 3), (2, 2, 1, 9, 3, 1))  # B, h, Tq, Tk, d_k, d_v


def tensors(draw, batch, heads, queries, keys, d_k, d_v):
    return (
        draw.normal(batch, heads, queries, d_k),
        draw.normal(batch, heads, keys, d_k),
        draw.normal(batch, heads, keys, d_v),
    )


def dense(query, key, value, mask=None):
    """Plain attention in float64; NaN for queries without keys."""
    scores = query.double() @ key.double().transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -torch.inf)
    return scores.softmax(-1) @ value.double()


def check(found, expected, symptom, cause, atol=1e-4):
    """`found` must be `expected` in all rows that see a key, and finite in all."""
    expect.tensor(found, tuple(expected.shape))
    seen = ~expected.isnan()
    expect.close(found[seen], expected[seen], symptom, cause, atol=atol, rtol=1e-3)


@pytest.mark.points(1.5, cell=CELL, role="value")
def test_chunks_values(student, draw):
    """Without a mask every chunk size gives plain attention, also one that leaves a rest"""
    for shape in SHAPES:
        given = tensors(draw, *shape)
        for options in ({}, *({"chunk_size": n} for n in (1, 2, 3, 4, 5, 6, 7, 50))):
            check(
                student.call(NAME, *given, **options),
                dense(*given),
                "The output is not that of plain attention.",
                "Try chunk sizes that do not divide the length, values of another width than the keys, and more keys "
                "than queries. If you go through the keys, by what is a sum of two chunks divided?",
            )
    strided = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in tensors(draw, *SHAPES[0])]
    after = student.drive(
        "chunk_run", inputs=[x.transpose(1, 2) for x in strided], axes=[1, 2], chunk_size=2, dtype="float32"
    )
    check(
        after["output"],
        dense(*strided),
        "Inputs that are not contiguous in memory get another output.",
        "Where does your code rely on how a tensor lies in memory?",
    )


@pytest.mark.points(1, cell=CELL)
def test_chunks_masks(student, draw):
    """Masks of two to four axes and of any type, whole or with axes of size 1, are cut as the scores are"""
    for batch, heads, queries, keys, d_k, d_v in ((2, 3, 5, 7, 4, 6), (3, 2, 6, 4, 2, 5), (4, 4, 4, 4, 3, 2)):
        given = tensors(draw, batch, heads, queries, keys, d_k, d_v)
        shapes = (
            (queries, keys),
            (1, keys),
            (heads, queries, keys),
            (heads, 1, keys),
            (batch, 1, 1, keys),
            (batch, 1, queries, keys),
            (1, heads, queries, keys),
            (batch, heads, queries, keys),
        )
        kinds = (torch.bool, torch.int64, torch.float32, torch.uint8)
        for number, shape in enumerate(shapes):
            mask = draw.mask(*shape)
            for chunk in (1, 2, 3, 5, 100):
                check(
                    student.call(NAME, *given, mask.to(kinds[(number + chunk) % 4]), chunk_size=chunk),
                    dense(*given, mask),
                    "With a mask, the output is not that of plain attention.",
                    "Which part of the mask belongs to a chunk, also where the mask has fewer axes, or an axis of "
                    "size 1? Do queries and keys without chunks get the whole of it?",
                )
        by_query = draw.integers(0, 2, (queries, 1))  # whole queries without keys: finite, and no part of the others
        for mask in (by_query, by_query.expand(batch, 1, queries, 1).bool(), torch.zeros(1, 1)):
            for chunk in (2, 100):
                check(
                    student.call(NAME, *given, mask, chunk_size=chunk),
                    dense(*given, mask),
                    "Where some queries may see no key, the others get the wrong output.",
                    "Such a query gives finite numbers, and changes nothing else.",
                )


@pytest.mark.points(0.5, cell=CELL)
def test_chunks_large_scores(student, draw):
    """Half precision and large scores: forbidden keys have no part, queries without keys and gradients stay finite"""
    batch, heads, queries, keys, d_k, d_v = 2, 2, 5, 7, 4, 3
    mask = draw.mask(queries, keys)
    mask[:, :3], mask[:, 3], mask[1] = 0, 1, 0
    for dtype, size, accuracy in (
        ("float32", 1.0, 1e-4), ("float32", 1e30, 1e-4), ("float16", 1.0, 1e-2), ("float16", 1e4, 1e-2),
        ("bfloat16", 1.0, 5e-2), ("bfloat16", 1e30, 5e-2),
    ):  # fmt: skip
        query, key, value = (x.to(getattr(torch, dtype)) for x in tensors(draw, batch, heads, queries, keys, d_k, d_v))
        if size > 1:
            # one feature makes the scores: -size for allowed keys, 0 for forbidden ones, which would win
            query, key = torch.zeros_like(query), torch.zeros_like(key)
            query[..., 0], key[..., 3, 0] = math.sqrt(size), -2 * math.sqrt(size)
            key[..., 4:, 0] = -2 * math.sqrt(size)
        for chunk in (1, 3, 100):
            seen = student.drive("chunk_run", inputs=[query, key, value, mask], chunk_size=chunk, dtype=dtype)
            check(
                seen["output"],
                dense(query, key, value, mask),
                f"In {dtype} the output is not that of plain attention."
                if size == 1
                else "For large scores the output is not that of plain attention.",
                "What do you put in the place of forbidden scores? A fixed number like -1e9 is too large for float16 "
                "and too small for large scores. Where do sums overflow, and what does a query without keys divide by?",
                atol=accuracy,
            )
            for gradient in seen["gradients"]:
                expect.tensor(gradient, what="a gradient")
            expect.that(
                all(torch.equal(x, y) for x, y in zip((query, key, value, mask), seen["inputs"], strict=True)),
                "Something that was passed in is changed in place.",
                "Which operation with an underscore works on the mask or the inputs?",
            )


@pytest.mark.points(1, cell=CELL)
def test_chunks_are_small(student, draw):
    """No tensor that the forward makes is larger than one chunk's scores may be"""
    for batch, heads, queries, keys, d_k, d_v in ((2, 3, 40, 56, 4, 6), (2, 2, 60, 33, 5, 3)):
        given = tensors(draw, batch, heads, queries, keys, d_k, d_v)
        masks = (None, torch.ones(queries, keys).tril(), draw.mask(batch, 1, 1, keys), draw.mask(heads, 1, keys).bool())
        for mask in masks:
            for chunk in (1, 4, 7):
                seen = student.drive(
                    "chunk_memory", inputs=[*given, *([] if mask is None else [mask])], chunk_size=chunk
                )
                largest = max(
                    *(x.numel() for x in given), batch * heads * queries * d_v, mask.numel() if mask is not None else 0
                )
                allowed = max(batch * heads * chunk * max(queries, keys, d_k, d_v), largest)
                expect.that(
                    not seen["fused_on_whole"],
                    "F.scaled_dot_product_attention is called on the whole.",
                    "The point of this cell is to write the chunks yourself.",
                )
                expect.that(
                    seen["largest"] <= allowed,
                    "A tensor is made that has more elements than B * h * chunk_size * max(Tq, Tk, d_k, d_v).",
                    "Are all scores computed before they are cut, or is the mask brought to its full size? A view "
                    "costs nothing.",
                    f"The largest has {seen['largest'] / (batch * heads * queries * keys):.0%} of all scores' size.",
                )
                check(seen["output"], dense(*given, mask), "The output is not that of plain attention.", "", atol=1e-4)


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_chunks_gradients(student, reference, draw):
    """Queries, keys and values receive plain attention's gradients, with chunks and masks"""
    batch, heads, queries, keys, d_k, d_v = 2, 3, 5, 7, 4, 6
    for mask in (None, draw.mask(queries, keys), draw.mask(batch, 1, 1, keys).bool()):
        for chunk in (1, 3, 100):
            q, k, v = tensors(draw, batch, heads, queries, keys, d_k, d_v)
            inputs = {"query": q, "key": k, "value": v, "mask": mask, "chunk_size": chunk}
            check_gradients(student, reference, draw, (batch, heads, queries, d_v), name=NAME, inputs=inputs)


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_chunks_refuse(student, draw):
    """A chunk_size below 1 raises ValueError"""
    given = tensors(draw, *SHAPES[0])
    for size in (0, -3):
        with student.raises("ValueError", symptom="A chunk_size below 1 does not raise ValueError."):
            student.call(NAME, *given, chunk_size=size)
    check(student.call(NAME, *given, None, 2), dense(*given), "mask and chunk_size cannot be passed by position.", "")
