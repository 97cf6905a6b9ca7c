"""The result of grading one notebook, and its JSON form."""

import functools
import json
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from autograder.files import write_whole

LARGEST = 1e9  # of points and seconds: beyond it, figures and sums of a class overflow
Mode = Literal["definitions", "all"]  # of `--execute`: without or with demonstrations
TestStatus = Literal["passed", "failed", "could-not-run"]


@dataclass(frozen=True)
class TestOutcome:
    """What one hidden test found. `message` is safe to show to the student."""

    name: str
    title: str
    status: TestStatus
    points: float
    earned: float
    message: str = ""
    misconception: str | None = None
    follow_through: bool = False


@dataclass(frozen=True)
class CellOutcome:
    """One `<id>-tests` cell: its hidden tests and the points that they earned."""

    score: float
    max_score: float
    tests: tuple[TestOutcome, ...] = ()


@dataclass(frozen=True)
class Result:
    """One graded notebook. Scores count automatic points only; `cells` is keyed by the test cells' ids."""

    assignment: str
    notebook: str
    status: Literal["graded", "could-not-run"]
    score: float
    max_score: float
    seconds: float
    cells: dict[str, CellOutcome]
    error: str | None = None
    tier: str = "none"
    execute: str = "definitions"
    notes: tuple[str, ...] = field(default=())
    digest: str = ""  # of all that it follows from; empty where the next run is to try again

    def to_json(self) -> str:
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
        return text.replace("<", "\\u003c").replace(">", "\\u003e")  # stands in strings only, and is no markup there

    @staticmethod
    def from_json(text: str) -> "Result":
        """The inverse of `to_json`. Raises ValueError, which names the place, where the text is anything else.

        >>> result = Result("toy", "ada.ipynb", "graded", 3, 6, 1.5, {"double-tests": CellOutcome(3, 3)})
        >>> Result.from_json(result.to_json()) == result
        True
        >>> Result.from_json(result.to_json().replace("1.5", "NaN"))
        Traceback (most recent call last):
        ValueError: the result, seconds has the wrong type or value
        """
        try:
            raw = json.loads(text)
        except RecursionError:
            raise ValueError("JSON that is nested too deeply") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON from line {error.lineno} on") from None
        result: Result = _checked(Result, raw, "the result")
        return result

    def write(self, path: Path) -> None:
        write_whole(path, self.to_json())


_hints = functools.cache(get_type_hints)


def _checked(kind: Any, value: Any, where: str) -> Any:
    """`value`, as JSON gave it, as a `kind` from the records above. Raises ValueError that names the place."""
    if isinstance(kind, type) and is_dataclass(kind):
        known = _hints(kind)
        needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
        if not isinstance(value, dict) or not needed <= value.keys() <= known.keys():
            raise ValueError(f"{where} does not have the fields of a {kind.__name__}")
        return kind(**{name: _checked(known[name], item, f"{where}, {name}") for name, item in value.items()})
    origin, choices = get_origin(kind), get_args(kind)
    if origin is tuple and isinstance(value, list):
        return tuple(_checked(choices[0], item, f"{where} {number}") for number, item in enumerate(value, start=1))
    if origin is dict and isinstance(value, dict):
        return {name: _checked(choices[1], item, f"{where} {name}") for name, item in value.items()}
    if kind is float:
        right = type(value) in (int, float) and abs(value) <= LARGEST  # which NaN is not
    elif origin is Literal:
        right = isinstance(value, str) and value in choices
    else:
        right = origin not in (tuple, dict) and isinstance(value, kind)
    if not right:
        raise ValueError(f"{where} has the wrong type or value")
    return value
