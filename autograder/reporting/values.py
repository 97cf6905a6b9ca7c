"""Values of a replay in words and numbers, and how two of them differ. Text of a student's loses its escapes."""

from typing import Any

import torch

from autograder.diagnosis.sketch import Failure
from autograder.feedback.clean import clean_text
from autograder.worker.wire import Handle, Opaque

SHOWN = 64  # numbers of a tensor that are shown; of a larger one the first few
FEW = 8
TEXT = 400
ENTRIES = 40  # of a list or dict
ATOL, RTOL = 1e-5, 1e-4  # as graders compare by default


def shown(value: Any, indent: str = "") -> str:
    """A value: shape, type and numbers of a tensor, structure of the rest; several lines where it needs them."""
    match value:
        case torch.Tensor():
            return _tensor(value, indent)
        case Failure():
            text = clean_text(value.text, TEXT).strip()
            return f"no value: {value.type_name}" + (f": {text}" if text else "")
        case Handle():
            return f"object {value.number}"
        case Opaque():
            return f"<{clean_text(value.type_name, 100)}>"
        case dict() | list() | tuple():
            return _container(value, indent)
        case str():
            return repr(clean_text(value, TEXT))
        case float():
            return f"{value:.6g}"
    return repr(value)


def difference(found: Any, expected: Any, path: str = "") -> str:
    """The first difference in a few words; empty where the two agree as graders compare."""
    where = f" in {path}" if path else ""
    if isinstance(found, Failure) or isinstance(expected, Failure):
        same = isinstance(found, Failure) and isinstance(expected, Failure) and found.type_name == expected.type_name
        return "" if same else "one gives a value, the other does not"
    if isinstance(found, Handle) and isinstance(expected, Handle):
        return ""
    if isinstance(found, torch.Tensor) and isinstance(expected, torch.Tensor):
        return _apart(found, expected, where)
    if isinstance(found, dict) and isinstance(expected, dict):
        if found.keys() != expected.keys():
            return f"other names{where}: {', '.join(sorted(map(str, found.keys() ^ expected.keys()))[:6])}"
        pairs = [(f"{path}.{key}".lstrip("."), found[key], expected[key]) for key in found]
    elif isinstance(found, list | tuple) and isinstance(expected, list | tuple):
        if type(found) is not type(expected) or len(found) != len(expected):
            return f"{type(found).__name__} of {len(found)}, not {type(expected).__name__} of {len(expected)}{where}"
        pairs = [(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(found, expected, strict=True))]
    else:
        return "" if _equal(found, expected) else f"{shown(found)}, not {shown(expected)}{where}"
    return next((told for key, a, b in pairs if (told := difference(a, b, key))), "")


def _equal(found: Any, expected: Any) -> bool:
    numbers = isinstance(found, float | int) and isinstance(expected, float | int)
    if numbers and not isinstance(found, bool) and not isinstance(expected, bool):
        return found == expected or abs(found - expected) <= ATOL + RTOL * abs(expected)
    return type(found) is type(expected) and found == expected


def _apart(found: torch.Tensor, expected: torch.Tensor, where: str) -> str:
    if found.shape != expected.shape:
        return f"shape {tuple(found.shape)}, not {tuple(expected.shape)}{where}"
    one, other = found.double(), expected.double()
    wrong = ~torch.isclose(one, other, rtol=RTOL, atol=ATOL, equal_nan=True)
    if not bool(wrong.any()):
        return "" if found.dtype == expected.dtype else f"dtype {found.dtype}, not {expected.dtype}{where}"
    if not found.dim():
        return f"{float(one):.6g}, not {float(other):.6g}{where}"
    gap = torch.where(wrong, (one - other).abs().nan_to_num(nan=float("inf")), 0.0)
    place = [int(i) for i in torch.unravel_index(gap.argmax(), gap.shape)]
    return (
        f"{int(wrong.sum())} of {wrong.numel()} numbers differ{where}, most at {place}: "
        f"{float(one[tuple(place)]):.6g}, not {float(other[tuple(place)]):.6g}"
    )


def _tensor(value: torch.Tensor, indent: str) -> str:
    head = f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    numbers = value.reshape(-1)
    if not value.numel():
        return f"{head}, empty"
    if not value.dim():
        return f"{head} {_number(value.item())}"
    if value.numel() > SHOWN:
        plain = numbers.double()
        first = ", ".join(_number(n) for n in numbers[:FEW].tolist())
        spread = f"{_number(plain.min().item())} to {_number(plain.max().item())}, mean {_number(plain.mean().item())}"
        return f"{head}: {spread}; begins {first}"
    rows = value.reshape(-1, value.shape[-1]).tolist()
    texts = [[_number(n) for n in row] for row in rows]
    width = max(len(t) for row in texts for t in row)
    lines = [" ".join(t.rjust(width) for t in row) for row in texts]
    if len(lines) == 1:
        return f"{head} [{' '.join(texts[0])}]"
    per_block = value.shape[-2]
    blocks = [
        "\n".join(f"{indent}  {line}" for line in lines[i : i + per_block]) for i in range(0, len(lines), per_block)
    ]
    return f"{head}\n" + "\n\n".join(blocks)


def _number(value: float | int | bool) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _container(value: dict[Any, Any] | list[Any] | tuple[Any, ...], indent: str) -> str:
    flat = shown_flat(value)
    if flat is not None:
        return flat
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    deeper = f"{indent}  "
    lines = [f"{deeper}{clean_text(str(key), 80)}: {shown(item, deeper)}" for key, item in items[:ENTRIES]]
    more = [f"{deeper}... and {len(items) - ENTRIES} more"] if len(items) > ENTRIES else []
    return "\n".join([f"{type(value).__name__} of {len(items)}", *lines, *more])


def shown_flat(value: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> str | None:
    """A short container of plain values in one line; None for any other."""
    parts = value.values() if isinstance(value, dict) else value
    if any(isinstance(p, torch.Tensor | dict | list | tuple | Failure) for p in parts):
        return None
    keyed = [f"{clean_text(str(k), 80)}: {shown(v)}" for k, v in value.items()] if isinstance(value, dict) else None
    text = ", ".join(keyed if keyed is not None else [shown(v) for v in value])
    if len(text) > TEXT:
        return None
    brackets = {dict: ("{", "}"), list: ("[", "]")}
    opening, closing = brackets.get(type(value), ("(", ")"))
    return f"{opening}{text}{closing}"
