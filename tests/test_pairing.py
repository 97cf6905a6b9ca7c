"""The two forms of an instructor notebook say the same, and bringing them in step loses nothing."""

import json
import os
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupytext.cli import jupytext as jupytext_command
from nbformat import NotebookNode

from autograder.course.assignment import Assignment
from autograder.notebooks.pairing import NotPaired, as_text, in_step, notebook_bytes, sync
from tests.small_course import CELLS, HEADER, TEXT
from tests.this_course import ASSIGNMENTS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small_course.py").write_text(TEXT)
    sync(tmp_path)
    return tmp_path


def notebook(folder: Path) -> NotebookNode:
    return nbformat.read(folder / "small_course.ipynb", as_version=4)


def save(changed: NotebookNode, folder: Path, seconds_later: int = 60) -> None:
    """As an editor would, some time after the text was written."""
    nbformat.write(changed, folder / "small_course.ipynb")
    later(folder / "small_course.ipynb", folder / "small_course.py", seconds_later)


def later(path: Path, than: Path, seconds: int = 60) -> None:
    os.utime(path, ns=(than.stat().st_atime_ns, than.stat().st_mtime_ns + seconds * 10**9))


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=lambda a: a.name)
def test_committed_pairs_are_in_step(assignment: Assignment) -> None:
    """Each source notebook's two forms say the same; `autograder release` brings them in step."""
    assert in_step(assignment.source.parent) == []


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=lambda a: a.name)
def test_text_survives_the_way_through_a_notebook(assignment: Assignment) -> None:
    """Text to notebook to text gives the same bytes, for the real notebooks."""
    text = assignment.source.with_suffix(".py").read_text()
    there = nbformat.reads(notebook_bytes(text).decode(), as_version=4)
    assert as_text(there) == text


def test_a_missing_form_is_made_and_then_nothing_is_left_to_do(tmp_path: Path) -> None:
    """From either form the other is made; the text comes back byte for byte."""
    (tmp_path / "small_course.py").write_text(TEXT)
    assert sync(tmp_path) == ["small_course.ipynb: made from small_course.py"]
    (tmp_path / "small_course.py").unlink()
    assert in_step(tmp_path) == ["small_course.py is missing"]
    assert sync(tmp_path) == ["small_course.py: made from small_course.ipynb"]
    assert (tmp_path / "small_course.py").read_text() == TEXT
    assert sync(tmp_path) == []
    assert in_step(tmp_path) == []


def test_two_checkouts_make_the_same_notebook(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing in a notebook made from text is random."""
    other = tmp_path_factory.mktemp("other")
    (other / "small_course.py").write_text(TEXT)
    sync(other)
    assert (other / "small_course.ipynb").read_bytes() == (folder / "small_course.ipynb").read_bytes()


def test_jupytext_itself_finds_the_pair_in_step(folder: Path) -> None:
    """jupytext's own sync, which JupyterLab uses, changes neither form."""
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    later(folder / "small_course.ipynb", folder / "small_course.py")
    assert jupytext_command(["--quiet", "--sync", str(folder / "small_course.ipynb")]) == 0
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_after_a_clone_nothing_happens(folder: Path) -> None:
    """Forms that agree are left alone, whichever of the two files a clone happened to write last."""
    for first, last in (("py", "ipynb"), ("ipynb", "py")):
        later(folder / f"small_course.{last}", folder / f"small_course.{first}")
        assert sync(folder) == []


def test_ids_are_grade_ids_or_stay_as_they_were(folder: Path) -> None:
    """A marked cell's id is its grade_id; another keeps its id when it is edited or cells are added around it."""
    given = notebook(folder)
    given.cells[0].id = "from-an-editor"
    save(given, folder)
    text = (folder / "small_course.py").read_text()
    text = text.replace("# # Small course", "# # Small course, second edition")
    text = text.replace("# %% [markdown]\n# Why does", "# %% [markdown]\n# A new cell.\n\n# %% [markdown]\n# Why does")
    (folder / "small_course.py").write_text(text)
    later(folder / "small_course.py", folder / "small_course.ipynb")
    why = next(c.id for c in given.cells if c.source.startswith("Why"))
    sync(folder)
    cells = notebook(folder).cells
    assert cells[0].id == "from-an-editor"
    assert [c.id for c in cells if c.source.startswith("Why")] == [why]
    assert all(c.id == c.metadata.nbgrader.grade_id for c in cells if "nbgrader" in c.metadata)


def test_cells_with_one_text_have_ids_of_their_own() -> None:
    """Ids made from a cell's text do not repeat where the text does, and are no accident all the same."""
    text = HEADER + "# %% [markdown]\n# Again.\n\n" * 3
    written = notebook_bytes(text)
    assert len({c["id"] for c in json.loads(written)["cells"]}) == 3
    assert notebook_bytes(text) == written


def test_no_output_stays_in_a_source_notebook(folder: Path) -> None:
    """Outputs, counts and an editor's metadata go, and the text stays as it is."""
    clean = (folder / "small_course.ipynb").read_bytes()
    run = notebook(folder)
    run.cells[1].outputs = [nbformat.v4.new_output("stream", text="hello")]
    run.cells[1].execution_count = 7
    run.cells[1].metadata.execution = {"iopub.execute_input": "2026-01-01"}
    run.cells[1].metadata.zoom = 2
    run.metadata.language_info = {"name": "python", "version": "3.11.7"}
    save(run, folder)
    assert in_step(folder) == ["small_course.ipynb holds outputs, cell ids or metadata that do not belong there"]
    assert sync(folder) == ["small_course.ipynb: tidied (outputs, cell ids, metadata)"]
    assert (folder / "small_course.ipynb").read_bytes() == clean
    assert (folder / "small_course.py").read_text() == TEXT


def test_the_newer_form_wins_and_is_named(folder: Path) -> None:
    """An edit in the newer form reaches the other one, and the change names form and cell."""
    edited = notebook(folder)
    double = next(c for c in edited.cells if c.id == "double")
    double.source += "\n\n# from the notebook"
    double.metadata.zoom = 2
    save(edited, folder)
    assert in_step(folder) == ["small_course.py and small_course.ipynb differ in cell double"]
    assert sync(folder) == ["small_course.py: rewritten from small_course.ipynb, which is newer (cell double)"]
    text = (folder / "small_course.py").read_text()
    assert "# from the notebook" in text
    assert "zoom" not in text
    (folder / "small_course.py").write_text(text.replace("# from the notebook", "# from the text"))
    later(folder / "small_course.py", folder / "small_course.ipynb")
    assert sync(folder) == ["small_course.ipynb: rewritten from small_course.py, which is newer (cell double)"]
    assert "# from the text" in next(c for c in notebook(folder).cells if c.id == "double").source
    assert sync(folder) == []


def test_a_cell_that_only_one_form_has_is_a_difference(folder: Path) -> None:
    """A cell taken out of the text and a change of its marks are noticed, not only a change of its source."""
    (folder / "small_course.py").write_text(HEADER + "\n".join(CELLS[:-1]))
    assert in_step(folder) == ["small_course.py and small_course.ipynb differ in a cell after number 9"]
    (folder / "small_course.py").write_text(TEXT.replace('"points": 3', '"points": 4'))
    assert in_step(folder) == ["small_course.py and small_course.ipynb differ in cell double-tests"]


def test_what_text_cannot_hold_is_refused(folder: Path) -> None:
    """A pasted picture would be lost on the way through text: one line says so, and nothing is written."""
    pasted = notebook(folder)
    pasted.cells[0].attachments = {"picture.png": {"image/png": "aGVsbG8="}}
    save(pasted, folder)
    before = (folder / "small_course.py").read_bytes()
    with pytest.raises(NotPaired, match=r"^small_course\.ipynb, cell 1: a pasted picture"):
        sync(folder)
    assert (folder / "small_course.py").read_bytes() == before


def test_a_damaged_notebook_is_refused_in_one_line(folder: Path) -> None:
    """A file cut short is not taken for a notebook, and the line says what to do."""
    path = folder / "small_course.ipynb"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(NotPaired, match="delete it, and it is made anew from small_course"):
        sync(folder)


def test_the_pair_is_one_that_jupyterlab_keeps_in_step(folder: Path) -> None:
    """Both forms name each other in the way that jupytext's JupyterLab extension reads."""
    assert (
        json.loads((folder / "small_course.ipynb").read_text())["metadata"]["jupytext"]["formats"] == "ipynb,py:percent"
    )
    assert jupytext.read(folder / "small_course.py").metadata.jupytext.formats == "ipynb,py:percent"
