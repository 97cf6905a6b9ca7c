"""The releases in JupyterLab, as a student meets them: run, fail helpfully, fill in, pass, read."""

from dataclasses import dataclass

import nbformat
import pytest
from notebook_page import NotebookPage

from autograder.notebooks.rebuild import grade_id
from tests.this_course import ASSIGNMENTS


@dataclass(frozen=True)
class Walk:
    """Through one notebook: set-up cells, the first cell to fill in, and demonstrations that need no other."""

    assignment: str
    set_up: tuple[str, ...]
    first: str
    figures: tuple[str, ...]


WALKS = (
    Walk(
        "transformer-fundamentals",
        ("setup-colab", "setup-imports", "setup-data", "setup-figures"),
        "simple-tokenizer",
        ("demo-rnn-picture", "demo-tokenizer", "demo-toy-attention"),
    ),
    Walk(
        "llm-internals",
        ("setup-colab", "setup-imports", "setup-tiny", "setup-figures", "setup-model"),
        "load-model",
        ("demo-shapes",),
    ),
)


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.assignment)
def test_the_first_exercise(walk, page, lab, heard) -> None:
    """Set-up runs without a word of error; the quick check fails in one helpful line; filled in, it passes; figures show."""
    assignment = ASSIGNMENTS[walk.assignment]
    notebook = NotebookPage(page, lab.address, f"{assignment.name}/{assignment.stem}.ipynb")
    notebook.wait_for_kernel()
    for name in walk.set_up:
        said = notebook.run(name)
        assert "Error" not in said, f"{name}: {said}"
    notebook.run(walk.first)
    said = notebook.run(assignment.test_cell(walk.first)).strip()
    assert said.startswith("Check failed.") and said.endswith("is not filled in yet."), said
    assert len(said.splitlines()) == 1

    notebook.fill(walk.first, solution(assignment, walk.first))
    notebook.run(walk.first)
    said = notebook.run(assignment.test_cell(walk.first)).strip()
    assert said.startswith("ok: ") and "failed" not in said, said

    for name in walk.figures:
        notebook.run(name)
    figures = notebook.figures()
    assert len(figures) >= len(walk.figures)
    assert_readable(figures)
    assert heard.errors == [] and heard.outside == []


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_text_fits_at_every_zoom(name, page, lab, heard) -> None:
    """At 1280 pixels and at 200 % zoom no text, table or formula of a text cell stands out to the right."""
    assignment = ASSIGNMENTS[name]
    notebook = NotebookPage(page, lab.address, f"{name}/{assignment.stem}.ipynb")
    page.wait_for_selector("mjx-container", timeout=30_000)
    open_hints(page)
    assert notebook.stands_out() == []
    notebook.zoom(2)
    assert notebook.stands_out() == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert heard.errors == [] and heard.outside == []


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_every_figure_has_an_alternative_text(name, page, lab, heard) -> None:
    """All figures of a finished notebook, opened again: they show, fit the width, and say what they show."""
    assignment = ASSIGNMENTS[name]
    notebook = NotebookPage(page, lab.address, f"solved/{name}/{assignment.stem}.ipynb")
    expected = pictures(assignment)
    assert expected >= 15
    page.wait_for_function("n => document.querySelectorAll('.jp-OutputArea img').length >= n", arg=expected)
    figures = notebook.figures()
    assert len(figures) == expected
    assert_readable(figures)
    assert heard.errors == [] and heard.outside == []


def assert_readable(figures: list[dict]) -> None:
    for figure in figures:
        assert figure["width"] > 200, f"a figure does not show: {figure}"
        assert figure["shown"] <= figure["room"], f"a figure is wider than its place: {figure}"
        assert figure["alt"].startswith(("Figure. ", "Animation: ")) and len(figure["alt"]) > 30, figure


def pictures(assignment) -> int:
    """How many pictures stand in the solved notebook."""
    outputs = (o for c in nbformat.read(assignment.solution, as_version=4).cells for o in c.get("outputs", ()))
    return sum("image/png" in o.get("data", {}) or "<img " in o.get("data", {}).get("text/html", "") for o in outputs)


def open_hints(page) -> None:
    page.evaluate("() => document.querySelectorAll('.jp-RenderedMarkdown details').forEach(d => d.open = true)")


def solution(assignment, name: str) -> str:
    """What stands in the solved notebook."""
    cells = nbformat.read(assignment.solution, as_version=4).cells
    return next(cell.source for cell in cells if grade_id(cell) == name)
