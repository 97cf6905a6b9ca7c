"""The table of the earlier documents' systems names cells that exist."""

import re
from pathlib import Path

import jupytext

ROOT = Path(__file__).parent.parent
ROWS = re.findall(
    r"^\| (S\d-\d+a?) \|.*\| (.+) \|$", (ROOT / "docs" / "seed-systems.md").read_text("utf-8"), re.MULTILINE
)
WANTED = {f"S2-{n:02}" for n in range(1, 26)} | {f"S0-{n}" for n in (19, 21, 22, 25, 26, 36, 37, 39)}


def test_every_row_is_there():
    """Each system that the assignment has to cover has a row."""
    assert WANTED - {row for row, _ in ROWS} == set()


def test_named_cells_exist():
    """Each cell that a row names is in the notebook."""
    notebook = jupytext.read(ROOT / "source" / "attention-variants" / "attention_variants.py")
    ids = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells}
    named = {name for _, cells in ROWS for name in re.findall(r"`([^`]+)`", cells)}
    assert len(named) > 30
    assert named - ids == set()
