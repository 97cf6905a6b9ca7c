"""Any file gives a notebook or one line."""

import json

import nbformat
import pytest

from autograder.limits import SUBMISSION_BYTES
from autograder.notebooks.read_submission import Unreadable, read_submission
from tests.broken_files import PNG

GOOD = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {},
    "cells": [{"cell_type": "code", "source": ["a = 1\n", "b"]}],
}


def written(folder, content):
    path = folder / "one.ipynb"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_a_cell_needs_no_more_than_type_and_source(tmp_path):
    """Source as a list is joined; missing metadata, ids and outputs are made up."""
    notebook = read_submission(written(tmp_path, GOOD))
    assert [c.source for c in notebook.cells] == ["a = 1\nb"]
    nbformat.validate(notebook)


def test_old_format_is_converted(tmp_path):
    """A notebook in format 3 keeps its code."""
    old = nbformat.v3.new_notebook(worksheets=[nbformat.v3.new_worksheet(cells=[nbformat.v3.new_code_cell("x = 1")])])
    notebook = read_submission(written(tmp_path, old))
    assert [c.source for c in notebook.cells] == ["x = 1"]


def test_cells_of_every_old_kind_are_converted(tmp_path):
    """As nbformat's own converter has them, of what grading and feedback look at."""
    make = nbformat.v3
    shown = [
        make.new_output("pyout", "4", output_png=PNG, prompt_number=1),
        make.new_output("display_data", "5"),
        make.new_output("stream", "said", stream="stderr"),
        make.new_output("pyerr", ename="E", evalue="v", traceback=["line"]),
    ]
    cells = [
        make.new_code_cell("x = 1", outputs=shown, metadata={"nbgrader": {"grade_id": "a"}}),
        make.new_heading_cell("Title", level=2),
        make.new_text_cell("markdown", "some *text*"),
        make.new_text_cell("html", "<b>x</b>"),
        make.new_text_cell("raw", "raw"),
    ]
    old = make.new_notebook(worksheets=[make.new_worksheet(cells=cells[:2]), make.new_worksheet(cells=cells[2:])])
    ours = read_submission(written(tmp_path, old))
    theirs = read_submission(written(tmp_path, nbformat.convert(old, 4)))
    assert [dict(cell, id="") for cell in ours.cells] == [dict(cell, id="") for cell in theirs.cells]
    assert len(ours.cells) == 5 and len(ours.cells[0].outputs) == 4


OUTPUT = {"output_type": "stream", "text": "a", "stream": "stdout"}


def in_old_format(cells):
    cells = [cell | {"language": "python", "metadata": {}} for cell in cells]
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}


@pytest.mark.parametrize(
    "content",
    [
        in_old_format([{"cell_type": "code", "input": "x", "outputs": [OUTPUT] * 50_000}] * 2),
        in_old_format([{"cell_type": "code", "input": "x", "outputs": [OUTPUT] * 50}] * 1_000),
        {"cells": [{"cell_type": "code", "source": "x", "outputs": [OUTPUT] * 50}] * 1_000},
    ],
)
def test_the_outputs_of_a_whole_notebook_are_limited(tmp_path, monkeypatch, content):
    """Each is checked and cleaned, so that a file of nothing else takes long; no honest notebook has so many."""
    checked = []
    real = nbformat.validate
    monkeypatch.setattr(nbformat, "validate", lambda node, **how: checked.append(len(str(node))) or real(node, **how))
    cells = read_submission(written(tmp_path, content)).cells
    assert {cell.source for cell in cells} == {"x"} and len(cells[0].outputs) >= 50
    assert sum(len(cell.outputs) for cell in cells) <= 1_000 and sum(checked) < 500_000


@pytest.mark.parametrize("piece", ["-9,", '"ab",', '{"a":1},'])
def test_a_file_of_nothing_but_values_is_refused_before_it_is_parsed(tmp_path, monkeypatch, piece):
    """Each takes many times its length in memory."""
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("was parsed"))
    content = f'{{"cells": [], "metadata": [{piece * 4_500_000}0]}}'.encode()
    with pytest.raises(Unreadable, match="too many parts"):
        read_submission(written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"\x80\x81{}", "UTF-8"),
        (b"{", "not JSON"),
        (json.dumps(GOOD).encode()[:-10], "not JSON"),
        (b"[" * 200_000, "not JSON"),
        ([1, 2], "no cells"),
        ({"cells": []}, "no cells"),
        ({"cells": {"a": 1}}, "not a list"),
        ({"cells": [GOOD["cells"][0]] * 3000}, "more than 2000"),
        ({"nbformat": 3, "worksheets": [{"cells": "x"}]}, "no cells"),
        ({"nbformat": 3, "worksheets": 7}, "not a list"),
    ],
)
def test_what_is_no_notebook_is_refused_in_one_line(tmp_path, content, said):
    """The refusal says what is wrong."""
    with pytest.raises(Unreadable, match=said) as refusal:
        read_submission(written(tmp_path, content))
    assert "\n" not in str(refusal.value)


def test_links_folders_and_giants_are_refused(tmp_path):
    """Only an ordinary file of reasonable size is read."""
    path = written(tmp_path, GOOD)
    link = tmp_path / "link.ipynb"
    link.symlink_to(path)
    giant = tmp_path / "giant.ipynb"
    with giant.open("wb") as file:
        file.truncate(SUBMISSION_BYTES + 1)
    for refused in (link, tmp_path, giant):
        with pytest.raises(Unreadable):
            read_submission(refused)


@pytest.mark.parametrize(
    "cell",
    [
        {"cell_type": "code", "source": 5, "metadata": [], "outputs": "x"},
        {"cell_type": ["code"], "source": "x"},
        {"cell_type": "markdown", "source": "\ud800", "attachments": 3},
        {"source": None},
    ],
)
def test_damaged_cells_are_read_as_far_as_they_go(tmp_path, cell):
    """A strange cell does not cost the others, and the notebook can be written again."""
    notebook = read_submission(written(tmp_path, {**GOOD, "cells": [cell, *GOOD["cells"]]}))
    assert notebook.cells[-1].source == "a = 1\nb"
    nbformat.writes(notebook).encode()
