"""How the attention classes are judged that give (output, weights): masks, extreme scores, dropout, layouts."""

from typing import Any

import torch
from torch import Tensor

from autograder.graders.oracles.dropout import check_dropout
from autograder.graders.oracles.masks import check_masked
from autograder.testing import expect

FORBIDDEN = "Where the mask is 0 or False the key is forbidden."
HALF = {"float16": 0.03, "bfloat16": 0.2}  # dtypes and how far an output may be off
LARGEST = {"float32": 1e30, "float16": 1e4}  # scores that the contract names


def attend(handle: Any, query: Tensor, key: Tensor, value: Tensor, heads: int, *mask: Tensor, **options: Any) -> Any:
    """Output and weights of one call, their shapes checked."""
    result = handle.forward(query, key, value, *mask, **options)
    return checked(result, query.shape, (query.shape[0], heads, query.shape[1], key.shape[1]))


def checked(result: Any, output_shape: tuple[int, ...], weights_shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    output, weights = expect.parts(result, 2, "(output, weights)")
    return (
        expect.tensor(output, tuple(output_shape)),
        expect.tensor(weights, weights_shape, what="the attention weights"),
    )


def inputs(draw: Any, batch: int, queries: int, keys: int, d: int) -> tuple[Tensor, Tensor, Tensor]:
    return draw.normal(batch, queries, d), draw.normal(batch, keys, d), draw.normal(batch, keys, d)


def mixed(weights: Tensor, value: Tensor, state: dict[str, Tensor], d_k: int) -> Tensor:
    """What output these weights (B, h, Tq, Tk) make of `value` (B, Tk, d) with the parameters `state`."""
    v = (value @ state["w_v.weight"].T).unflatten(-1, (-1, d_k)).transpose(1, 2)
    v = v.repeat_interleave(weights.shape[1] // v.shape[1], dim=1)
    return (weights @ v).transpose(1, 2).flatten(2) @ state["w_o.weight"].T + state["w_o.bias"]


def check_mask(handle: Any, state: dict[str, Tensor], given: tuple[Tensor, ...], heads: int, mask: Tensor) -> None:
    """The weights under a mask against the student's own without it, and the output against these weights."""
    _, free = attend(handle, *given, heads)
    output, weights = attend(handle, *given, heads, mask)
    check_masked(weights, free, mask)
    expect.close(
        output,
        mixed(weights, given[2], state, given[0].shape[-1] // heads),
        "With a mask, the output does not follow from the weights that are returned.",
        "Do the same weights meet the values?",
        atol=1e-3,
    )


def mask_shapes(batch: int, heads: int, queries: int, keys: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of two to four axes that broadcast to (batch, heads, queries, keys)."""
    return (
        (queries, keys),
        (1, keys),
        (heads, queries, keys),
        (1, queries, keys),
        (batch, 1, 1, keys),
        (batch, 1, queries, keys),
        (1, heads, 1, keys),
        (batch, heads, queries, keys),
    )


def check_large_scores(student: Any, reference: Any, draw: Any, name: str, init: dict[str, int], kv_heads: int) -> None:
    """Forbidden keys get nothing beside allowed ones whose scores are as low as the contract says; rows stay finite."""
    d, heads = init["d_model"], init["n_heads"]
    d_k = d // heads
    state = {
        "w_q.weight": torch.eye(d),
        "w_k.weight": torch.eye(d)[: kv_heads * d_k],
        "w_v.weight": draw.normal(kv_heads * d_k, d, scale=0.3),
        "w_o.weight": draw.normal(d, d, scale=0.3),
        "w_o.bias": draw.normal(d, scale=0.3),
    }
    value = draw.normal(2, 4, d)
    mask = torch.tensor([1, 1, 0, 0]).expand(3, 4)
    cases = [(signs, mask) for signs in ((-1, -1, 0, 0), (-1, -1, 1, 1), (1, 1, -1, -1), (1, 1, 1, 1))]
    cases += [((1.0, 0.5, -0.5, -1.0), torch.ones(3, 4).long()), ((-1.0, -0.6, -0.5, -0.2), mask)]
    for dtype, size in (("float32", 1e30), ("float32", 1e11), ("float16", LARGEST["float16"])):
        for signs, given in cases:
            # one feature a query, the same in each head: the scores are the keys' features
            query = torch.eye(3, d_k).repeat(1, heads).expand(2, 3, d) * d_k**0.5
            key = (size * torch.tensor(signs))[:, None].expand(2, 4, d)
            found = student.drive(
                "attention_in_dtype", name=name, init=init, state=state, inputs=[query, key, value, given], dtype=dtype
            )
            output, weights = checked(found, (2, 3, d), (2, heads, 3, 4))
            expected = reference.build(name, **init, state=state).forward(query, key, value, given)
            expect.that(
                not bool(weights[..., given[0] == 0].any()),
                "A forbidden key gets weight when scores are large.",
                "Allowed scores may be very low. Is the number that stands for 'forbidden' the lowest of its type?",
            )
            expect.close(
                weights,
                expected[1],
                "With large scores the weights are wrong.",
                "Does an exponential overflow, and is anything cut off? In float16 a product of large numbers does.",
                atol=2e-3,
            )
            expect.close(output, expected[0], "With large scores the output is wrong.", atol=HALF["float16"])


def check_half_precision(
    student: Any, reference: Any, draw: Any, name: str, init: dict[str, int], state: dict[str, Tensor]
) -> None:
    """In float16 and bfloat16 a mask forbids as in float32, and values are close to those of float32."""
    d, heads, (batch, queries, keys) = init["d_model"], init["n_heads"], (2, 3, 5)
    given = inputs(draw, batch, queries, keys, d)
    for mask in (
        draw.mask(batch, 1, 1, keys),
        draw.mask(queries, keys).bool(),
        draw.mask(heads, queries, keys).float(),
    ):
        output, weights = reference.build(name, **init, state=state).forward(*given, mask)
        for dtype, atol in HALF.items():
            found = student.drive(
                "attention_in_dtype", name=name, init=init, state=state, inputs=[*given, mask], dtype=dtype
            )
            theirs = checked(found, output.shape, tuple(weights.shape))
            expect.that(
                not bool(theirs[1][(mask == 0).expand_as(weights)].any()),
                "In half precision forbidden keys get attention weight.",
                "Which numbers can float16 and bfloat16 hold? Ask torch.finfo.",
            )
            expect.close(theirs[1], weights, "In half precision the weights are wrong.", FORBIDDEN, atol=atol / 2)
            expect.close(theirs[0], output, "In half precision the output is wrong.", atol=atol)


def check_without_keys(student: Any, draw: Any, name: str, init: dict[str, int], state: dict[str, Tensor]) -> None:
    """A query whose keys are all forbidden gives finite numbers, in values and gradients; others are as they were."""
    d, heads, (batch, queries, keys) = init["d_model"], init["n_heads"], (2, 3, 5)
    given = inputs(draw, batch, queries, keys, d)
    handle = student.build(name, **init, state=state)
    lonely = draw.mask(batch, 1, queries, keys)
    lonely[0, 0, 1] = 0
    lonely[1] = 0
    no_queries = torch.ones(queries, 1).long()
    no_queries[1] = 0
    for mask in (lonely, lonely[0], torch.zeros(batch, 1, 1, keys), lonely.bool(), no_queries, lonely.float()):
        output, weights = attend(handle, *given, heads, mask)
        some = (mask != 0).expand_as(weights).any(-1)  # (B, h, Tq)
        _, free = attend(handle, *given, heads)
        kept = free * (mask != 0)
        expect.close(
            weights[some],
            (kept / kept.sum(-1, keepdim=True))[some],
            "A query without keys changes what other queries get.",
            "Each query has its own softmax.",
            atol=1e-3,
        )
        expect.that(bool(torch.isfinite(output).all()), "A query without keys gives NaN or infinity.")
        found = student.drive(
            "gradients",
            name=name,
            init=init,
            state=state,
            inputs=dict(zip(("query", "key", "value", "mask"), (*given, mask), strict=True)),
            weights=draw.normal(batch, queries, d),
        )
        gradients = [*found["parameters"].values(), *(found["inputs"][name] for name in ("query", "key", "value"))]
        expect.that(
            all(g is not None and bool(torch.isfinite(g).all()) for g in gradients),
            "A query whose keys are all forbidden makes a gradient NaN, infinite or absent.",
            "Replacing NaN after the softmax mends the values, not the gradients. Which finite number could mask?",
        )
    for dtype in HALF:
        found = student.drive(
            "attention_in_dtype", name=name, init=init, state=state, inputs=[*given, lonely], dtype=dtype
        )
        checked(found, (batch, queries, d), (batch, heads, queries, keys))


def check_attention_dropout(student: Any, draw: Any, name: str, init: dict[str, int], state: dict[str, Tensor]) -> None:
    """Dropout acts on the weights and nowhere else, in training only; the weights that are returned are those before.

    `init` has a d_k of at least 5, so that the values of a head have a right inverse, which gives back the weights
    that met them.
    """
    d, heads = init["d_model"], init["n_heads"]
    d_k, (batch, queries, keys) = d // heads, (40, 6, 5)
    state = state | {"w_o.weight": draw.orthogonal(d), "w_q.weight": state["w_q.weight"] * 0.5}
    given = inputs(draw, batch, queries, keys, d)
    values = (given[2] @ state["w_v.weight"].T).double().unflatten(-1, (-1, d_k)).transpose(1, 2)
    inverse = torch.linalg.pinv(values.repeat_interleave(heads // values.shape[1], dim=1))
    for p, options in ((0.5, {"dropout": 0.5}), (0.1, {}), (0.0, {"dropout": 0.0})):
        handle = student.build(name, **init, **options, state=state)
        (output, weights), (again, _) = (attend(handle, *given, heads, seed=draw.seed()) for _ in range(2))
        expect.that(
            bool((output == again).all()),
            "In evaluation mode the output is random.",
            "A dropout module knows whether the model is in training mode; a bare function does not.",
        )
        expect.that(float(weights.std()) > 0.01, "All attention weights are the same.", "They depend on the queries.")
        dropped, returned = attend(handle, *given, heads, train=True, seed=draw.seed())
        expect.close(
            returned,
            weights,
            "In training mode the weights that are returned are not those before dropout.",
            "Their rows sum to 1. Which tensor is returned, and which one meets the values?",
            atol=1e-4,
        )
        inner = ((dropped - state["w_o.bias"]) @ state["w_o.weight"]).double()
        met = inner.unflatten(-1, (heads, d_k)).transpose(1, 2) @ inverse
        where = "Only the weights pass through dropout, neither the projections nor the output."
        check_dropout(met, weights.double(), p, "the attention weights", where, atol=5e-3)


def check_calls(student: Any, name: str, init: dict[str, Any], state: dict[str, Tensor], calls: list[Any]) -> None:
    """Inputs stay as they were, may have any memory layout, and nothing stays from one call or object to another."""
    found = student.drive("calls_apart", name=name, init=init, state=state, calls=calls)
    expect.that(
        not found["changed"],
        "The component changes one of its inputs in place.",
        "Methods that end in an underscore, and operators such as /=, write into the tensor of the caller.",
    )
    for first, again in zip(found["first"], found["again"], strict=True):
        expect.close(
            again,
            first,
            "A call gives another result after other calls.",
            "What is kept from one call, or shared by two objects? Sizes change from call to call.",
        )
    for first, other in zip(found["first"], found["layout"], strict=True):
        expect.close(
            other,
            first,
            "Another memory layout of the input changes the result.",
            "view and reshape read the data in an order: which one?",
            atol=1e-4,
        )
