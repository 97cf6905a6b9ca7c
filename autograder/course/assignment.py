"""Where an assignment's files are, and how its components depend on each other."""

from dataclasses import dataclass
from pathlib import Path

ROOMS = Path("autograder", "graders")  # in the course's root: one folder for each assignment


@dataclass(frozen=True, eq=False)
class Assignment:
    """One assignment of the course in the folder `root`, as its manifest describes it.

    `upstream` names, for each solution cell, the solution cells that its component calls; its order is the
    notebook's order. `defines` names what each solution cell must define. `self_contained` cells are tested without
    what they rest on. `models` are those that the notebook loads, by their names in `data/manifest.toml`, `data_sets`
    those whose public rows stand beside it. `paragraphs` is how many a written answer should have. A warm worker has
    imported `modules` before the notebook does. `given` are locked cells that define what components call.
    """

    root: Path
    name: str
    upstream: dict[str, tuple[str, ...]]
    defines: dict[str, tuple[str, ...]]
    self_contained: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    data_sets: tuple[str, ...] = ()
    paragraphs: int = 0
    modules: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        return self.name.replace("-", "_")

    @property
    def source(self) -> Path:
        return self.root / "source" / self.name / f"{self.stem}.ipynb"

    @property
    def release(self) -> Path:
        return self.root / "release" / self.name / f"{self.stem}.ipynb"

    @property
    def solution(self) -> Path:
        return self.root / "solutions" / self.name / f"{self.stem}.ipynb"

    @property
    def graders(self) -> Path:
        """The folder of everything that belongs to the assignment but its notebook."""
        return self.root / ROOMS / self.stem

    @property
    def bank(self) -> Path:
        """Wrong versions, correct variants, clauses and fingerprints."""
        return self.graders / "bank"

    def driver(self, name: str) -> Path:
        """The file of a driver: the assignment's own, else one that all assignments share."""
        own = self.graders / "drivers" / f"{name}.py"
        return own if own.is_file() else self.root / ROOMS / "oracles" / "drivers" / f"{name}.py"

    def test_cell(self, cell: str) -> str:
        return f"{cell}-tests"

    def all_upstream(self, cell: str) -> tuple[str, ...]:
        """Every cell upstream of `cell`, directly or through others, in the notebook's order."""
        found: set[str] = set()
        waiting = list(self.upstream[cell])
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.upstream[one]
        return tuple(c for c in self.upstream if c in found)
