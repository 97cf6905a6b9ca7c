"""A last look at what is about to be published: nothing of it may be withheld."""

from collections.abc import Sequence
from pathlib import Path

import nbformat

from autograder.course.assignment import Assignment
from autograder.datasets.find import data_sets_beside
from autograder.notebooks import hidden_rows
from autograder.notebooks.leaks import Leak, ReleaseRefused, find_leaks
from autograder.notebooks.machine_paths import find_paths
from autograder.notebooks.withheld import Withheld, hidden_tests, markers, readings, solutions


def refuse_leaks(folder: Path, chosen: Sequence[Assignment]) -> None:
    """Raises ReleaseRefused where a released folder leaks, and where anything else in `folder` holds a solution, a
    hidden test or row, the course secret, or a path of this machine."""
    root = chosen[0].root
    withheld: list[Withheld] = hidden_rows.withheld(data_sets_beside(chosen[0]), root)
    checked: list[Path] = []
    for one in chosen:
        for released in (folder / one.name, folder / "release" / one.name):
            if leaks := find_leaks(released, one):
                raise ReleaseRefused.because_of(leaks, one.name)
            checked.append(released)
        source = nbformat.read(one.source, as_version=4)
        withheld += solutions(source) + hidden_tests(one.graders, source)
    rest = [p for p in sorted(folder.rglob("*")) if p.is_file() and not any(p.is_relative_to(c) for c in checked)]
    if found := [leak for path in rest for leak in _leaks(path, path.relative_to(folder).as_posix(), withheld, root)]:
        raise ReleaseRefused("\n  ".join(["nothing was published, for these places leak:", *map(str, found)]))


def _leaks(path: Path, name: str, withheld: list[Withheld], root: Path) -> list[Leak]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".py":
        # programs of ours have imports and the like in common with graders, but no name of a test
        withheld = [w for w in withheld if not w.owner.startswith("the hidden tests") or w.text.startswith("test_")]
    else:
        withheld = [*withheld, *markers()]
    squashed = readings(text)
    found = [Leak(name, w.owner) for w in withheld if w.text in squashed]
    return list(dict.fromkeys([*found, *(Leak(name, f"a path of a machine: {p}") for p in find_paths(text, root))]))
