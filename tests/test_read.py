"""Any file gives a notebook or one line."""

import json

import nbformat
import pytest

from autograder.limits import SUBMISSION_BYTES
from autograder.notebooks.read import Unreadable, read_submission

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
        ({"nbformat": 3, "worksheets": [{"cells": "x"}]}, "not a notebook"),
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
