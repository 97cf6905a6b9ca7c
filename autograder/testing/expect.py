"""How a grader says what is wrong: a symptom first, then its likely cause, in fixed words.

`symptom` and `cause` never hold an input, a number that follows from one, or a reference value: students see them for
hidden inputs too. `detail` may hold the student's own numbers and is shown only from a run on public inputs.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

MOST_COMPARED = 2**22  # numbers; the largest right answers have some hundred thousand
TYPE_NAMES = {type(None): "None", bool: "a bool", int: "a number", float: "a number", str: "text"}


class Mistake(AssertionError):
    """What a student's component did wrong."""

    def __init__(self, symptom: str, cause: str = "", detail: str | None = None) -> None:
        super().__init__(" ".join(part for part in (symptom, cause, detail) if part))
        self.symptom = symptom
        self.cause = cause
        self.detail = detail


def that(condition: bool, symptom: str, cause: str = "", detail: str | None = None) -> None:
    """Raise a Mistake unless `condition` holds."""
    if not condition:
        raise Mistake(symptom, cause, detail)


def tensor(
    value: Any,
    shape: Sequence[int] | None = None,
    dtype: torch.dtype | None = None,
    what: str = "the output",
) -> torch.Tensor:
    """`value` if it is a finite tensor of that shape; any floating dtype will do unless `dtype` is given."""
    first = what.split()[0]
    name = what if len(first) == len(what) or "_" in first else what[:1].upper() + what[1:]  # code keeps its case
    if not isinstance(value, torch.Tensor):
        raise Mistake(f"{name} is not a tensor.", "Look at what is returned or stored.", f"It is {described(value)}.")
    if shape is not None and tuple(value.shape) != tuple(shape):
        raise Mistake(
            f"{name} has the wrong shape.",
            "Write the shape of each intermediate result beside its line.",
            f"Yours is {tuple(value.shape)}.",
        )
    if dtype is not None and value.dtype != dtype:
        raise Mistake(f"{name} has the wrong dtype.", f"It should be {dtype}.", f"Yours is {value.dtype}.")
    if dtype is None and not value.is_floating_point():
        raise Mistake(f"{name} does not hold floating-point numbers.", "", f"Its dtype is {value.dtype}.")
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise Mistake(
            f"{name} contains NaN or infinity.",
            "Look for a division by zero, a logarithm of zero or an exponential that overflows.",
        )
    return value


def parts(value: Any, count: int, what: str) -> Sequence[Any]:
    """`value` if it is a tuple or list of `count` things; `what` says which, as in "(output, weights)"."""
    if not isinstance(value, tuple | list) or len(value) != count:
        raise Mistake(f"The result is not {what}.", "Look at the return line.", f"It is {described(value)}.")
    return value


def close(
    found: Any,
    expected: Any,
    symptom: str,
    cause: str = "",
    atol: float = 1e-5,
    rtol: float = 1e-4,
    detail: str | None = None,
) -> None:
    """Raise a Mistake unless the numbers `found` (tensor, number or list) are those `expected`, within tolerance.

    >>> close([1.0, 2.0], torch.tensor([1.0, 2.000001]), "The sums are wrong.")
    >>> close([1.0, 3.0], [1.0, 2.0], "The sums are wrong.", "Over which axis?")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    autograder.testing.expect.Mistake: The sums are wrong. Over which axis? 1 of 2 values are off; ...
    """
    ours = _numbers(expected)  # which may be the student's own, too
    alike = ours is not None and (not isinstance(found, torch.Tensor) or found.shape == ours.shape)
    theirs = _numbers(found) if alike else None
    if ours is None or theirs is None or theirs.shape != ours.shape:
        raise Mistake(symptom, cause, detail or f"Yours is {described(found)}.")
    wrong = ~torch.isclose(theirs, ours, rtol=rtol, atol=atol)
    if bool(wrong.any()):
        raise Mistake(symptom, cause, detail or _where(theirs, wrong))


def equal(found: Any, expected: Any, symptom: str, cause: str = "", detail: str | None = None) -> None:
    """Raise a Mistake unless `found` is exactly `expected`: numbers, text, or lists and dicts of them."""
    if type(found) is not type(expected) or found != expected:
        raise Mistake(symptom, cause, detail or f"Yours is {described(found)}.")


def described(value: Any, most: int = 160) -> str:
    """A student's value in a few words. Looks at its beginning only, however much there is of it.

    >>> described([1, 2.5, None]), described(torch.zeros(2, 3))
    ('[1, 2.5, None]', 'a tensor of shape (2, 3) and dtype torch.float32')
    """
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)} and dtype {value.dtype}"
    if isinstance(value, tuple | list | dict):
        beginning = ""
        for piece in _pieces(value, most):
            beginning += piece
            if len(beginning) > most:
                return f"a {type(value).__name__} with {len(value)} entries, {beginning[:most]} ..."
        return beginning
    if isinstance(value, str):
        return repr(value[: most + 1])[:most]
    if isinstance(value, bool | int | float):
        return repr(value)[:most]
    return TYPE_NAMES.get(type(value), f"a {getattr(value, 'type_name', type(value).__name__)}")


def _pieces(value: Any, most: int) -> Iterator[str]:
    """What Python shows of lists, tuples and dicts, piece by piece."""
    match value:
        case list() | tuple():
            yield "[" if isinstance(value, list) else "("
            for place, item in enumerate(value):
                yield ", " if place else ""
                yield from _pieces(item, most)
            yield "]" if isinstance(value, list) else ",)" if len(value) == 1 else ")"
        case dict():
            yield "{"
            for place, (key, item) in enumerate(value.items()):
                yield f"{', ' if place else ''}{described(key, most)}: "
                yield from _pieces(item, most)
            yield "}"
        case _:
            yield described(value, most)


def _numbers(value: Any) -> torch.Tensor | None:
    """`value` in float64; None where it is not numbers, or larger than any that is compared."""
    if isinstance(value, torch.Tensor):
        return value.detach().to(torch.float64) if value.numel() <= MOST_COMPARED else None
    try:
        return torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None


def _where(found: torch.Tensor, wrong: torch.Tensor) -> str:
    if found.dim() == 0:
        return f"Yours is {_short(found.item())}."
    place = wrong.nonzero()[0].tolist()
    count = f"{int(wrong.sum())} of {wrong.numel()} values are off"
    return f"{count}; the first is at {place}, where yours is {_short(found[tuple(place)].item())}."


def _short(number: float) -> str:
    return f"{number:.4g}" if math.isfinite(number) else str(number)
