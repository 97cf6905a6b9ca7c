"""A page that cannot be made is a fault of the course's software: it is told, and no page stands in for it."""

import nbformat
import pytest
from nbconvert.exporters import TemplateExporter
from nbformat import NotebookNode
from nbgrader.converters import GenerateFeedback
from nbgrader_course import RIGHT, TINY_NAME, fake_grade_all, scratch_course  # noqa: F401
from test_cli import grade, put  # noqa: F401

from autograder.faults import PageFault
from autograder.feedback import rendered_page as page_module
from autograder.feedback.rendered_page import feedback_page
from autograder.nbgrader_plugin.autograde import NotSaved, autograde_class
from autograder.notebooks.nbgrader_convert import NotConverted, convert, course_config
from autograder.results.result import Result
from tests.toy_course import DOUBLE, QUADRUPLE, notebook, toy_course  # noqa: F401

SPOILT = "# the page of this one cannot be made"
FAULT = r"the feedback page could not be made: KeyError in test_feedback_fault\.py:\d+; this is a fault of the course's software"


@pytest.fixture
def broken(monkeypatch):
    """Rendering fails for notebooks with a spoilt cell, with a student's text in the error."""
    real = TemplateExporter.from_notebook_node

    def render(exporter, nb: NotebookNode, *given, **kw):
        if any(SPOILT in cell.source for cell in nb.cells):
            raise KeyError("<script>\n\x1b[31m")
        return real(exporter, nb, *given, **kw)

    monkeypatch.setattr(TemplateExporter, "from_notebook_node", render)


@pytest.mark.parametrize("step", ["attach_feedback", "GenerateFeedback"])
def test_no_page_is_made_without_the_notebook(monkeypatch, step):
    """Whatever fails, there is one line for it, without the error's own text."""

    def fail(*_: object, **__: object) -> None:
        raise RecursionError("<script>\n")

    monkeypatch.setattr(page_module, step, fail)
    result = Result("x", "a.ipynb", "graded", 0, 3, 1.0, {})
    with pytest.raises(PageFault, match=FAULT.replace("KeyError", "RecursionError") + "$"):
        feedback_page(nbformat.v4.new_notebook(), result)


@pytest.mark.usefixtures("tier", "toy_course", "broken")
def test_grading_files_tells_it_and_writes_the_others(grade, tmp_path):
    """Exit code 2 and a line; neither page nor result of that notebook, and what was there before stays."""
    right = notebook(double=DOUBLE, quadruple=QUADRUPLE)
    put(tmp_path, "ada.ipynb", right)
    assert grade("ada.ipynb")[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()}
    put(tmp_path, "ada.ipynb", notebook(double=f"{DOUBLE}\n{SPOILT}"))
    put(tmp_path, "ben.ipynb", notebook(double=f"{DOUBLE}\n{SPOILT}"))
    put(tmp_path, "cleo.ipynb", right)
    code, said, output = grade("ada.ipynb", "ben.ipynb", "cleo.ipynb", options=["--quiet"])
    assert code == 2 and len(said.splitlines()) == 1 and "<script>" not in said
    assert said.count("KeyError in test_feedback_fault.py") == 2 and "ada.ipynb" in said and "ben.ipynb" in said
    left = {path.name: path.read_bytes() for path in output.iterdir()}
    assert left.keys() == {"ada.html", "ada.json", "cleo.html", "cleo.json"}
    assert {name: left[name] for name in before} == before


@pytest.mark.usefixtures("broken")
def test_grading_a_class_tells_it_and_records_the_others(course):
    """The student has no result file, so the next run does it again; an older page stays as it was."""
    course.submit("ada", RIGHT)
    course.submit("ben", {})
    autograde_class(course.tiny, fake_grade_all)
    before = course.feedback("ben")
    course.submit("ben", RIGHT | {"q1-why": SPOILT})
    course.submit("cleo", RIGHT)
    with pytest.raises(NotSaved, match=rf"^not recorded: ben \({FAULT}\)$"):
        autograde_class(course.tiny, fake_grade_all)
    assert course.feedback("ben") == before and course.result("cleo").score == 3.3
    assert not (course.root / "results" / TINY_NAME / "ben.json").exists()


@pytest.mark.usefixtures("broken")
def test_stock_feedback_fails_and_leaves_no_page(course):
    """`nbgrader generate_feedback` goes through the same exporter."""
    course.submit("ada", RIGHT | {"q1-why": SPOILT})
    with pytest.raises(NotSaved):
        autograde_class(course.tiny, fake_grade_all)
    with pytest.raises(NotConverted, match=FAULT):
        convert(GenerateFeedback, TINY_NAME, course_config(course.root, course.root))
    assert not list((course.root / "feedback").rglob("*.html"))
