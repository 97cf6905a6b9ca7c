"""Parts of cells that several notebooks share: written once, in `parts/`, and put in where a notebook names them.

A cell holds such a part between two lines, `# --- shared part NAME (DIGEST) ---` and `# --- end of NAME ---`; in
markdown they are comments. The digest is that of the text between them, so that an edit in a notebook is not lost.
"""

import hashlib
import re
from pathlib import Path

from nbformat import NotebookNode

from autograder.faults import Fault

PARTS = Path(__file__).with_name("parts")
MARKED = re.compile(
    r"^(?P<open># --- |<!-- )shared part (?P<name>\w+)(?: \((?P<digest>\w*)\))?(?P<close> ---| -->)\n"
    r"(?P<text>.*?)^(?P=open)end of (?P=name)(?P=close)$",
    re.MULTILINE | re.DOTALL,
)


class PartEdited(Fault):
    """A shared part was edited in a notebook, or does not exist. One line."""


def renew_parts(notebook: NotebookNode, folder: Path = PARTS) -> list[str]:
    """Bring the shared parts of a notebook's cells up to date, in place; says which have changed, a line each.

    Raises PartEdited where the text in a notebook is not what was put in there.
    """
    changed: list[str] = []

    def renewed(match: re.Match[str]) -> str:
        name, text, digest = match["name"], match["text"], match["digest"]
        part = _part(folder, name)
        if text != part:
            if digest and digest != digest_of(text):
                raise PartEdited(f"the shared part '{name}' was edited in a notebook: carry the edit to {_shown(name)}")
            changed.append(f"the shared part '{name}' was renewed")
        begin = f"{match['open']}shared part {name} ({digest_of(part)}){match['close']}"
        return f"{begin}\n{part}{match['open']}end of {name}{match['close']}"

    for cell in notebook.cells:
        cell.source = MARKED.sub(renewed, cell.source)
    return changed


def digest_of(text: str) -> str:
    """Eight digits that change with the text.

    >>> digest_of("x = 1\\n")
    '9e26bf36'
    """
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _part(folder: Path, name: str) -> str:
    found = sorted(folder.glob(f"{name}.*"))
    if not found:
        raise PartEdited(f"there is no shared part '{name}': write {_shown(name)}")
    return found[0].read_text(encoding="utf-8")


def _shown(name: str) -> str:
    return f"autograder/notebooks/parts/{name}.py"
