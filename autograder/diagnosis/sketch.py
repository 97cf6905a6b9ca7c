"""Answers small enough to keep and exact enough to compare: numbers become a few random projections.

By Johnson and Lindenstrauss (1984) the length of a difference survives a random projection, so that two sketches are
as far apart as the answers were; every other kind of value is kept as it is, or as a digest where it is long.
"""

import hashlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from autograder.worker.wire import Handle, Opaque

PROJECTIONS = 8
TEXT = 60
LEAVES = 24
MOST_LEAVES = 12_000  # of one answer; what comes after them is not looked at
SAMPLE = 2**19  # values of one tensor; of more, evenly spaced ones stand for all
KEPT = 2**12  # values up to which a projection is kept for the next time
NOISE = 5e-4  # of the size of the expected answer: rounding of any correct way to compute it stays below
SHARE = 0.02  # of a mistake's own deviation: how near another answer must come to count as the same mistake

ADDRESS = re.compile(r"0x[0-9a-f]{6,}")

Sketch = dict[str, Any]  # path of a leaf -> [kind, length, projections...] for numbers, text for anything else


@dataclass(frozen=True)
class Failure:
    """In place of a value: the request raised (type and text), hung or ended the worker."""

    type_name: str
    text: str = ""


def sketch(answer: Any) -> Sketch:
    """The sketch of one answer: a flat dict, which JSON can hold.

    >>> sketch({"rows": [torch.eye(2), "text"]}).keys()
    dict_keys(['{', '/rows[', '/rows/0', '/rows/1'])
    """
    leaves: Sketch = {}
    _walk(answer, "", leaves)
    for depth in (2, 1):  # by first name; where there are many of those, all in one
        if len(leaves) > LEAVES:
            leaves = _merged(leaves, depth)
    return leaves


def _merged(leaves: Sketch, depth: int) -> Sketch:
    """One leaf for all numbers, and one for all text, under the same beginning of the path."""
    merged: Sketch = {}
    for path, leaf in leaves.items():
        top = "/".join(path.split("/")[:depth])
        if isinstance(leaf, list):
            turned = (_rotation(path) @ torch.tensor(leaf[2:], dtype=torch.float64)).tolist()
            shape, size, *sums = merged.get(top, ["", 0.0, *[0.0] * PROJECTIONS])
            sums = [_short(a + b) for a, b in zip(sums, turned, strict=True)]
            merged[top] = [_text(shape + leaf[0]), _short(math.hypot(size, leaf[1])), *sums]
        else:
            merged[f"{top} text"] = _text(f"{merged.get(f'{top} text', '')} {path}={leaf}")
    return merged


def unlike(found: Sketch, right: Sketch) -> bool:
    """Whether an answer differs from the right one by more than rounding. The words of an error are free.

    >>> right = sketch(torch.ones(3))
    >>> unlike(sketch(torch.ones(3) * 1.00001), right), unlike(sketch(torch.tensor([1.0, 1.0, 2.0])), right)
    (False, True)
    """
    if error := _raised(right):
        return _raised(found) != error
    return found.keys() != right.keys() or any(_distance(found[k], right[k]) > _noise(right[k]) for k in right)


def alike(found: Sketch, wrong: Sketch, right: Sketch) -> bool:
    """Whether `found` deviates from `right` as `wrong` does: in every leaf, and nearly by the same."""
    if _raised(right) and _raised(right) == _raised(found) == _raised(wrong):
        return True
    if found.keys() != wrong.keys():
        return False
    return all(_leaf_alike(found[k], wrong[k], right.get(k)) for k in wrong)


def changes(found: Sketch, right: Sketch) -> Sketch:
    """Only what differs from the right answer, None for what is not there: all of `found` that need be kept."""
    if not unlike(found, right):
        return {}
    differing = {k: v for k, v in found.items() if k not in right or _distance(v, right[k]) > _noise(right[k])}
    return differing | {k: None for k in right if k not in found}


def changed(right: Sketch, differing: Sketch) -> Sketch:
    """The answer of which `changes` kept `differing`."""
    return {k: v for k, v in (right | differing).items() if v is not None}


def _raised(answer: Sketch) -> str:
    """The type of the error that stands in place of an answer, else nothing."""
    text = str(answer.get("", ""))
    return text.removeprefix("raised ").split(":")[0] if text.startswith("raised ") else ""


def _leaf_alike(found: Any, wrong: Any, right: Any) -> bool:
    noise = _noise(wrong if right is None else right)
    deviation = math.inf if right is None else _distance(wrong, right)
    if deviation <= noise:
        return _distance(found, wrong) <= 2 * noise
    allowed = noise if math.isinf(deviation) else max(SHARE * deviation, noise / 10)
    return _distance(found, wrong) <= allowed


def _noise(leaf: Any) -> float:
    return NOISE * (1 + leaf[1]) if isinstance(leaf, list) else 0.0


def _distance(one: Any, other: Any) -> float:
    """Length of the difference of two leaves; infinite where they differ in kind or shape."""
    if not isinstance(one, list) or not isinstance(other, list):
        return 0.0 if one == other else math.inf
    if one[0] != other[0]:
        return math.inf
    return math.dist(one[2:], other[2:]) / math.sqrt(PROJECTIONS)


def _walk(value: Any, path: str, leaves: Sketch) -> None:
    if len(leaves) >= MOST_LEAVES:
        return
    match value:
        case torch.Tensor():
            kind = "float" if value.is_floating_point() else "bool" if value.dtype is torch.bool else "int"
            _numbers(value, path, leaves, f"{kind} {tuple(value.shape)}")
        case Failure():
            leaves[path] = f"raised {value.type_name}: {_text(value.text)}"
        case dict():
            leaves[f"{path}{{"] = _text(repr(sorted(map(str, value))))
            for key, item in value.items():
                _walk(item, f"{path}/{key}", leaves)
        case list() | tuple():
            if len(value) > PROJECTIONS and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
                kind = f"list of {len(value)}"
                _numbers(torch.tensor([float(v) for v in value], dtype=torch.float64), path, leaves, kind)
                return
            leaves[f"{path}["] = str(len(value))
            for index, item in enumerate(value):
                _walk(item, f"{path}/{index}", leaves)
        case bool() | None:
            leaves[path] = str(value)
        case int() | float():
            _numbers(torch.tensor(float(value), dtype=torch.float64), path, leaves, type(value).__name__)
        case str():
            leaves[path] = _text(value)
        case Handle():
            leaves[path] = "an object"
        case Opaque():
            leaves[path] = f"a {value.type_name}"
        case _:
            leaves[path] = type(value).__name__


def _numbers(values: torch.Tensor, path: str, leaves: Sketch, kind: str) -> None:
    """[kind, length, projections...]; what is not finite stands as text beside it."""
    flat = values.detach().flatten()
    flat = flat[:: -(-flat.numel() // SAMPLE) or 1].to(torch.float64)
    finite = torch.isfinite(flat)
    if not bool(finite.all()):
        odd = "".join("n" if math.isnan(x) else "+" if x > 0 else "-" for x in flat[~finite].tolist()[:1000])
        leaves[f"{path}!"] = _text(f"{finite.nonzero().flatten().tolist()} {odd}")
        flat = torch.where(finite, flat, torch.zeros(()).double())
    projected = (_projection(flat.numel()) @ flat).tolist()
    size = float(flat.norm()) if flat.numel() else 0.0
    leaves[path] = [kind, _short(size), *map(_short, projected)]


def _short(number: float) -> float:
    return float(f"{number:.5g}")


def _text(text: str) -> str:
    text = ADDRESS.sub("0x", text)
    if len(text) <= TEXT:
        return text
    return f"{text[:20]}... {hashlib.sha256(text.encode(errors='replace')).hexdigest()[:16]}"


@lru_cache(maxsize=4096)
def _rotation(path: str) -> torch.Tensor:
    """(PROJECTIONS, PROJECTIONS), orthogonal, another for each path: a sum of turned projections is one again."""
    seed = int.from_bytes(hashlib.sha256(path.encode()).digest()[:6], "big")
    square = torch.randn(PROJECTIONS, PROJECTIONS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linalg.qr(square)[0]


def _projection(n: int) -> torch.Tensor:
    """(PROJECTIONS, n) from a fixed seed."""
    return _kept_projection(n) if n <= KEPT else _new_projection(n)


@lru_cache(maxsize=512)
def _kept_projection(n: int) -> torch.Tensor:
    return _new_projection(n)


def _new_projection(n: int) -> torch.Tensor:
    return torch.randn(PROJECTIONS, n, generator=torch.Generator().manual_seed(n + 1), dtype=torch.float64)
