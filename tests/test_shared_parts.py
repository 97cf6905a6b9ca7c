"""Parts of cells that notebooks share are written once, and an edit in a notebook is never lost."""

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.notebooks.shared_parts import PARTS, PartEdited, digest_of, renew_parts
from tests.this_course import ASSIGNMENTS


def notebook(source: str, kind: str = "code") -> NotebookNode:
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    return nbformat.v4.new_notebook(cells=[make(source)])


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder with one part of code and one of text."""
    (tmp_path / "greeting\.py").write_text("def greet():\n    return 1\n")
    (tmp_path / "policy.md").write_text("> Be kind.\n")
    return tmp_path


def test_a_part_is_put_in_and_stays_as_it_is(parts: Path) -> None:
    """The first time it is filled in; the second time nothing changes. What stands around it is left alone."""
    one = notebook("import math\n# --- shared part greeting ---\n# --- end of greeting ---\nx = 1")
    assert renew_parts(one, parts) == ["the shared part 'greeting' was renewed"]
    digest = digest_of("def greet():\n    return 1\n")
    assert one.cells[0].source == (
        f"import math\n# --- shared part greeting ({digest}) ---\ndef greet():\n    return 1\n# --- end of greeting ---\n"
        "x = 1"
    )
    assert renew_parts(one, parts) == []


def test_a_changed_part_reaches_every_notebook(parts: Path) -> None:
    """In markdown, too."""
    one = notebook("<!-- shared part policy -->\n<!-- end of policy -->", "markdown")
    renew_parts(one, parts)
    (parts / "policy.md").write_text("> Be kind, and on time.\n")
    assert renew_parts(one, parts) == ["the shared part 'policy' was renewed"]
    assert "> Be kind, and on time.\n<!-- end of policy -->" in one.cells[0].source


def test_an_edit_in_a_notebook_is_refused_and_kept(parts: Path) -> None:
    """Nobody's work is overwritten: the line says where to carry it."""
    one = notebook("# --- shared part greeting ---\n# --- end of greeting ---")
    renew_parts(one, parts)
    one.cells[0].source = edited = one.cells[0].source.replace("return 1", "return 2")
    with pytest.raises(PartEdited, match=r"'greeting' was edited in a notebook: carry the edit to .*greeting\.py"):
        renew_parts(one, parts)
    assert one.cells[0].source == edited


def test_an_unknown_part_is_told(parts: Path) -> None:
    with pytest.raises(PartEdited, match="there is no shared part 'farewell'"):
        renew_parts(notebook("# --- shared part farewell ---\n# --- end of farewell ---"), parts)


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=ASSIGNMENTS)
def test_the_notebooks_hold_the_parts_as_they_are(assignment) -> None:
    """Each notebook of the course uses the shared quick checks, figure style and policy, in their present text."""
    given = nbformat.read(assignment.source, as_version=4)
    assert renew_parts(given) == []
    text = "\n".join(cell.source for cell in given.cells)
    assert all(f"shared part {path.stem} (" in text for path in PARTS.iterdir())
