"""Working parts of ours that stand in for a student's, where a component is tested once more."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autograder.course.assignment import Assignment


@dataclass(frozen=True)
class StandIns:
    """Names to bind, by solution cell, to what the text `source` defines, as soon as that cell has run."""

    source: str
    names: dict[str, tuple[str, ...]]


def stand_ins(assignment: Assignment, replaced: Iterable[str]) -> StandIns:
    """What is bound in place of the components of the cells `replaced`.

    Its text defines these and what they rest on, and nothing else: code that looks for a stand-in of the very component
    under test must not find one.
    """
    names = {c: assignment.defines[c] for c in replaced}
    text = stand_ins_of(assignment).read_text()
    return StandIns(_only(text, {n for defined in names.values() for n in defined}), names)


def stand_ins_of(assignment: Assignment) -> Path:
    """The file that defines the assignment's stand-ins, if it has any."""
    return assignment.graders / "standins.py"


def _only(text: str, wanted: set[str]) -> str:
    """The imports of `text`, and those of its top-level definitions that `wanted` need, directly or through others.

    >>> text = "import math\\nf = lambda x: g(x)\\ndef g(x):\\n    return math.pi\\ndef h(x):\\n    return 2"
    >>> print(_only(text, {"f"}))
    import math
    f = lambda x: g(x)
    <BLANKLINE>
    def g(x):
        return math.pi
    """
    body = ast.parse(text).body
    defining = {name: node for node in body for name in _defined(node)}
    needed: list[ast.stmt] = []
    waiting = [name for name in wanted if name in defining]
    while waiting:
        node = defining[waiting.pop()]
        if node not in needed:
            needed.append(node)
            waiting += [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in defining]
    kept = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom) or node in needed]
    return ast.unparse(ast.Module(kept, []))


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [t.id for t in targets if isinstance(t, ast.Name)]
