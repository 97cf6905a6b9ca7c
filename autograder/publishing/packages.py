"""The packages that students need, in the versions of the course's lock."""

import re
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# what the notebooks import, what shows them, what loads the models, and what `autograder check` is made of
NEEDED = (
    "jupyterlab", "ipykernel", "ipywidgets", "torch", "numpy", "scikit-learn", "pandas", "matplotlib", "seaborn",
    "tqdm", "transformers", "safetensors", "gguf", "accelerate", "nbformat", "nbconvert", "typer", "rich",
)  # fmt: skip


def student_requirements(lock: Path) -> str:
    """The lines of the lock for what students need, with all that it rests on, and nothing that only grading needs."""
    pinned = {
        canonicalize_name(m[0]): line for line in lock.read_text().splitlines() if (m := re.match(r"[\w.-]+", line))
    }
    wanted = _with_all_below({canonicalize_name(name) for name in NEEDED} & pinned.keys(), pinned.keys())
    head = "# The packages of the course, in the versions that it was made with.\n"
    return head + "".join(f"{line}\n" for name, line in pinned.items() if name in wanted)


def _with_all_below(names: Collection[str], known: Collection[str]) -> set[str]:
    """`names` and whatever they require of `known`, on any system: another one than this may need it."""
    found: set[tuple[str, str]] = set()
    waiting = [(name, "") for name in names]
    while waiting:
        name, extra = one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # for another system than this one
            continue
        for below in map(Requirement, lines):
            if (other := canonicalize_name(below.name)) in known and _applies(below, extra):
                waiting += [(other, wanted) for wanted in ("", *below.extras)]
    return {name for name, _ in found}


def _applies(requirement: Requirement, extra: str) -> bool:
    if "extra ==" not in str(requirement.marker or ""):
        return True
    return bool(extra) and requirement.marker is not None and requirement.marker.evaluate({"extra": extra})
