"""The package as a house: who may import whom. Nothing imports upwards, and no circle of files remains."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "autograder"
# from the ground up; what stands on one line may not import each other
FLOORS = (
    ("__init__", "faults", "limits"),
    ("files", "interrupt", "course", "worker"),
    ("results",),
    ("datasets", "feedback"),
    ("sandbox",),
    ("notebooks",),
    ("testing",),  # what a hidden test is written with
    ("bank",),
    ("diagnosis",),
    ("grading",),  # what happens to one submission
    ("batch",),  # what happens to many
    ("demo", "collecting"),
    ("nbgrader_plugin", "student_check"),
    ("publishing", "reporting", "gradescope", "verify", "bench"),
    ("commands",),
    ("cli",),
    ("__main__",),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
ROOMS = "graders"  # tests that use the package, and that the package finds by their files, not by imports


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "samples" not in path.parts]


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def known() -> frozenset[str]:
    return frozenset(map(dotted, modules()))


def imported(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, anywhere in it."""
    package = dotted(path).split(".") if path.name == "__init__.py" else dotted(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE.name)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (base, node.module) if part)
            if base.split(".")[0] == PACKAGE.name:
                named = [f"{base}.{alias.name}" for alias in node.names]
                yield from (name if name in known() else base for name in named)


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def upward(importing: str, of: str) -> bool:
    """Whether this import goes up, or to another room of the same floor."""
    one, other = room(importing), room(of)
    return one != other and FLOOR[one] <= FLOOR[other]


def test_every_room_has_a_floor() -> None:
    """A new package finds its place in FLOORS, and none stays there that is gone."""
    assert {room(name) for name in known()} - {ROOMS} == FLOOR.keys()


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_nothing_imports_upwards(path: Path) -> None:
    """Imports inside functions count, too; graders are imported by graders alone."""
    own = dotted(path)
    if room(own) == ROOMS:
        return
    assert [name for name in imported(path) if room(name) == ROOMS or upward(own, name)] == []


def test_no_circle_of_files_remains() -> None:
    """Each file can be understood after those that it imports."""
    graph = {dotted(path): {name for name in imported(path) if name != dotted(path)} for path in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_the_check_sees_upward_imports_and_circles() -> None:
    """Both kinds are recognised where there is one."""
    assert upward("autograder.testing.draw", "autograder.grading.grade")
    assert upward("autograder.demo.submissions", "autograder.collecting.place")
    assert not upward("autograder.grading.grade", "autograder.testing.draw")
    with pytest.raises(CycleError):
        TopologicalSorter({"one": {"other"}, "other": {"one"}}).prepare()
