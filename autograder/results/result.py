"""The result of grading one notebook, and its JSON form."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from autograder.files import write_whole

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
        raw = json.loads(text)
        raw["cells"] = {
            cell: CellOutcome(c["score"], c["max_score"], tuple(TestOutcome(**t) for t in c["tests"]))
            for cell, c in raw["cells"].items()
        }
        raw["notes"] = tuple(raw["notes"])
        return Result(**raw)

    def write(self, path: Path) -> None:
        write_whole(path, self.to_json())
