"""GroupedQueryAttention and MultiQueryAttention: which heads share, masks, extreme scores, dropout, gradients."""

import pytest

from autograder.graders.attention_variants import attending
from autograder.graders.attention_variants.attending import attend
from autograder.graders.oracles.twins import check_gradients, state_for, twins
from autograder.testing import expect

CELL = "grouped-query"
NAME = "GroupedQueryAttention"
SIZES = ((2, 5, 3, 24, 6, 2), (3, 2, 7, 16, 8, 4), (1, 4, 4, 12, 6, 3), (2, 3, 5, 12, 4, 1))  # B, Tq, Tk, d, h, g
SHARING = "Query head j uses key and value head j // (h / g): which heads does your repetition put side by side?"


@pytest.mark.points(2, cell=CELL, role="value")
def test_grouped_values(student, reference, draw):
    """Each group of neighbouring query heads uses one key and value head"""
    for batch, queries, keys, d, heads, groups in SIZES:
        theirs, ours = twins(student, reference, draw, NAME, d, heads, groups)
        given = attending.inputs(draw, batch, queries, keys, d)
        output, weights = attend(theirs, *given, heads)
        expected_output, expected_weights = ours.forward(*given)
        expect.close(weights, expected_weights, "The attention weights are wrong.", SHARING, atol=1e-4)
        expect.close(
            output, expected_output, "The output is wrong, although the weights are right.", SHARING, atol=1e-4
        )


@pytest.mark.points(1, cell=CELL)
def test_grouped_ends_of_the_scale(student, reference, draw):
    """With g = h it is multi-head attention; multi-query attention has one key and value head"""
    for batch, queries, keys, d, heads in ((2, 5, 3, 12, 4), (3, 2, 6, 10, 5)):
        given = attending.inputs(draw, batch, queries, keys, d)
        mask = draw.mask(batch, 1, queries, keys)
        state = state_for(reference, draw, "MultiHeadAttention", d, heads)
        many = reference.build("MultiHeadAttention", d, heads, state=state).forward(*given, mask)
        found = attend(student.build(NAME, d, heads, heads, state=state), *given, heads, mask)
        symptom = "With as many key and value heads as query heads, it is not multi-head attention."
        expect.close(found[1], many[1], symptom, SHARING, atol=1e-4)
        expect.close(found[0], many[0], symptom, SHARING, atol=1e-4)
        state = state_for(reference, draw, NAME, d, heads, 1)
        one = reference.build(NAME, d, heads, 1, state=state).forward(*given, mask)
        handle = student.build("MultiQueryAttention", d, heads, state=state)
        found = attend(handle, *given, heads, mask)
        symptom = "Multi-query attention does not give what one key and value head should give."
        expect.close(found[1], one[1], symptom, "All query heads meet the same keys.", atol=1e-4)
        expect.close(found[0], one[0], symptom, "All query heads meet the same values.", atol=1e-4)
        expect.equal(handle.attribute("n_kv_heads"), 1, "The attribute n_kv_heads of MultiQueryAttention is wrong.")
    init = {"d_model": 24, "n_heads": 3}
    state = state_for(reference, draw, "MultiQueryAttention", **init)
    attending.check_attention_dropout(student, draw, "MultiQueryAttention", init, state)


@pytest.mark.points(1, cell=CELL)
def test_grouped_mask(student, reference, draw):
    """A mask of two to four axes, of type bool, integer or float, forbids keys in every head"""
    for batch, queries, keys, d, heads, groups in (*SIZES[:2], (4, 4, 4, 12, 4, 2)):
        state = state_for(reference, draw, NAME, d, heads, groups)
        handle = student.build(NAME, d, heads, groups, state=state)
        given = attending.inputs(draw, batch, queries, keys, d)
        for mask in (draw.mask(*shape) for shape in attending.mask_shapes(batch, heads, queries, keys)):
            for kept in (mask.bool(), mask.float(), mask)[: 1 + (mask.dim() == 4)]:
                attending.check_mask(handle, state, given, heads, kept)


@pytest.mark.points(1, cell=CELL)
def test_grouped_extremes(student, reference, draw):
    """Scores of any size, half precision, and queries without keys give what they should"""
    init = {"d_model": 12, "n_heads": 4, "n_kv_heads": 2}
    state = state_for(reference, draw, NAME, **init)
    attending.check_half_precision(student, reference, draw, NAME, init, state)
    attending.check_without_keys(student, draw, NAME, init, state)
    attending.check_large_scores(student, reference, draw, NAME, init, kv_heads=2)


@pytest.mark.points(0.5, cell=CELL, chance=True)
def test_grouped_dropout(student, reference, draw):
    """Dropout acts on the weights alone, in training only; the weights returned are those before it"""
    init = {"d_model": 32, "n_heads": 4, "n_kv_heads": 2}
    attending.check_attention_dropout(student, draw, NAME, init, state_for(reference, draw, NAME, **init))


@pytest.mark.points(0.5, cell=CELL, role="property")
def test_grouped_sizes_gradients_and_calls(student, reference, draw):
    """Sizes that do not divide are refused, gradients are right, and nothing stays from a call"""
    batch, queries, keys, d, heads, groups = SIZES[0]
    init = {"d_model": d, "n_heads": heads, "n_kv_heads": groups}
    handle = student.build(NAME, **init)
    for name, expected in (("n_heads", heads), ("n_kv_heads", groups), ("d_k", d // heads)):
        expect.equal(handle.attribute(name), expected, f"The attribute {name} is wrong.", "d_k is one head's width.")
    shapes = {path: tuple(value.shape) for path, value in handle.parameters().items()}
    narrow = (groups * d // heads, d)
    for path, shape in (("w_q", (d, d)), ("w_k", narrow), ("w_v", narrow), ("w_o", (d, d))):
        expect.that(
            shapes.get(f"{path}.weight") == shape and (f"{path}.bias" in shapes) == (path == "w_o"),
            "A projection is missing, has another width, or has a bias where it should have none, or none where it "
            "should have one.",
            "w_k and w_v give d_k features for each key and value head; only w_o has a bias.",
        )
    for sizes in ((10, 3, 1), (12, 4, 3), (12, 2, 4), (7, 2, 1)):
        symptom = "Sizes that do not divide are not refused."
        with student.raises("AssertionError", "ValueError", symptom=symptom):
            student.build(NAME, *sizes)
    state = state_for(reference, draw, NAME, **init)
    query, key, value = attending.inputs(draw, batch, queries, keys, d)
    mask = draw.mask(batch, 1, 1, keys)
    calls = [[query, key, value, mask], [query, key, value, None], [key[:1], query[:1], query[1:], None]]
    attending.check_calls(student, NAME, init, state, calls)
    for given in ({}, {"mask": mask}):
        check_gradients(
            student,
            reference,
            draw,
            (batch, queries, d),
            name=NAME,
            init=init,
            state=state,
            inputs={"query": query, "key": key, "value": value, **given},
        )
