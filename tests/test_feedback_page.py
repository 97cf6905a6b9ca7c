"""Whole pages, as a student's browser and a marker's formgrader get them, made from a hostile notebook."""

import base64

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbgrader.server_extensions.formgrader import handlers
from test_feedback_clean import EVIL, display, png
from test_feedback_markdown import VECTORS
from traitlets.config import Config

from autograder.feedback import page as page_module
from autograder.feedback.page import feedback_page, rendering_config
from autograder.results.result import CellOutcome, Result
from autograder.results.result import TestOutcome as Outcome

TEST = {"grade": True, "solution": False, "locked": True, "task": False, "grade_id": "a-tests", "points": 3}
ANSWER = TEST | {"solution": True, "locked": False, "grade_id": "q1", "points": 2}
MARKER = "alert(1)"


def hostile_notebook() -> NotebookNode:
    """Every place that a student can write to, filled with what would run."""
    output = display(image_png=png(), text_html=EVIL, text_plain=f"{EVIL}\x1b[31m")
    output.metadata = {"image/png": {"width": "1 onload=alert(1)", "alt": '"onload="alert(1)'}}
    trace = {"output_type": "error", "ename": EVIL, "evalue": EVIL, "traceback": [f"\x1b[0;31m{EVIL}"]}
    cells = [
        nbformat.v4.new_code_cell("def a(): pass", metadata={"nbgrader": TEST | {"grade": False, "solution": True}}),
        nbformat.v4.new_code_cell(f"%%html\n{EVIL}", outputs=[output, nbformat.from_dict(trace)]),
        nbformat.v4.new_code_cell(f"# {EVIL}", metadata={"tags": [f'"{EVIL}'], "magics_language": EVIL, "alt": EVIL}),
        nbformat.v4.new_code_cell("assert a()", metadata={"nbgrader": TEST}, outputs=[output]),
        nbformat.v4.new_raw_cell(EVIL, metadata={"raw_mimetype": "text/html"}),
        nbformat.v4.new_markdown_cell("\n\n".join(VECTORS), metadata={"nbgrader": ANSWER}),
        nbformat.v4.new_markdown_cell("![x](attachment:a.svg)", attachments={"a.svg": {"image/svg+xml": EVIL}}),
    ]
    cells += [nbformat.v4.new_markdown_cell(vector) for vector in VECTORS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.cells[2].metadata.nbgrader = {"grade_id": f'"{EVIL}', "grade": True, "points": EVIL, "solution": True}
    notebook.metadata.update(
        title=EVIL, kernelspec={"name": EVIL, "display_name": EVIL}, widgets={"application/x": EVIL},
        language_info={"name": EVIL, "pygments_lexer": f'"{EVIL}'},
    )  # fmt: skip
    return notebook


def hostile_result() -> Result:
    tests = (Outcome("t", f"Title {EVIL}", "failed", 3, 0, f"Message {EVIL}"),)
    return Result(
        "x", f"{EVIL}.ipynb", "graded", 0, 3, 1.0, {"a-tests": CellOutcome(0, 3, tests)}, notes=(f"Note {EVIL}",)
    )


def assert_only_the_template_runs(page: str) -> None:
    soup = BeautifulSoup(page, "html.parser")
    for element in soup.find_all(True):
        if element.name == "script":
            assert MARKER not in element.get_text()
            assert element.get("src", "/formgrader/").startswith(("https://cdnjs.cloudflare.com/", "/formgrader/"))
        if element.name == "style":
            assert "evil.example" not in element.get_text()
            continue
        assert element.name not in ("iframe", "object", "embed", "svg", "base", "form"), element
        for name, value in element.attrs.items():
            assert MARKER not in str(value) and "evil.example" not in str(value), element
            assert not name.startswith("on") or "toggle_name" in value, element


def test_a_feedback_page_runs_and_fetches_nothing_of_the_students():
    """Sources, outputs, metadata, ids, attachments, file name and results are all text on the page."""
    page = feedback_page(hostile_notebook(), hostile_result(), student=EVIL)
    assert_only_the_template_runs(page)
    assert "picture not shown" in page


def formgrader_page(notebook: NotebookNode, config: Config) -> str:
    # nbconvert reads these two before any preprocessor; grading has cleaned them
    del notebook.metadata["widgets"], notebook.metadata["language_info"]
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    page, _ = HTMLExporter(config=config).from_notebook_node(notebook, {"base_url": "", "index": 0, "total": 1})
    return page


def test_the_formgrader_page_runs_and_fetches_nothing_of_the_students():
    """Its template does not sanitise markdown either; the course's configuration makes it."""
    assert_only_the_template_runs(formgrader_page(hostile_notebook(), rendering_config()))


@pytest.mark.parametrize("setting", ["filters", "preprocessors"])
def test_the_check_sees_what_the_configuration_prevents(setting):
    """Without either half of the configuration the hostile notebook would run in the formgrader."""
    config, notebook = rendering_config(), hostile_notebook()
    del config.HTMLExporter[setting]
    notebook.cells = [c for c in notebook.cells if "attachments" not in c]  # at that one nbconvert would stop
    page = formgrader_page(notebook, config)
    with pytest.raises(AssertionError):
        assert_only_the_template_runs(page)


def test_pictures_named_in_many_cells_are_bounded_for_the_page():
    """A picture of 50 KB, named 100 times in each of 20 cells, would be 130 MB."""
    picture = base64.b64encode(base64.b64decode(png()) + bytes(50_000)).decode()
    attached = {"attachments": {"a": {"image/png": picture}}}
    cells = [nbformat.v4.new_markdown_cell("![x](attachment:a) " * 100 + "*end*", **attached) for _ in range(20)]
    page = feedback_page(nbformat.v4.new_notebook(cells=cells), hostile_result())
    assert 1 < page.count("<img") < 600 and page.count("<em>end</em>") == 20
    assert len(page) < 36 * 2**20


def test_a_page_tells_marks_titles_messages_and_notes():
    """What a student reads on it."""
    tests = (Outcome("t", "Rows sum to 1", "failed", 3, 0, "Rows sum to 2.\nLikely cause: the axis."),)
    result = Result("x", "ada.ipynb", "graded", 0, 3, 1.0, {"a-tests": CellOutcome(0, 3, tests)}, notes=("Put right.",))
    cell = nbformat.v4.new_code_cell("assert a()", metadata={"nbgrader": TEST})
    answer = nbformat.v4.new_markdown_cell("Because.", metadata={"nbgrader": ANSWER})
    page = feedback_page(nbformat.v4.new_notebook(cells=[cell, answer]), result, student="ada lovelace")
    text = " ".join(BeautifulSoup(page, "html.parser").body.get_text(" ").split())
    for expected in (
        "ada lovelace: ada (Score: 0.0 / 3.0)", "0 of 3 points", "failed: Rows sum to 1", "Rows sum to 2.",
        "Likely cause: the axis.", "Put right.", "Because.", "Written answers are marked by a person",
    ):  # fmt: skip
        assert expected in text
    assert "/ 2.0" not in text  # an answer that nobody has marked shows no mark


def test_a_page_may_run_and_fetch_nothing():
    """Whatever cleaning might miss, the browser is told to run, fetch, frame and send nothing, before it reads on."""
    soup = BeautifulSoup(feedback_page(hostile_notebook(), hostile_result()), "html.parser")
    head = [element for element in soup.head.find_all(True) if element.name != "head"]
    assert head[0].get("charset") and head[1]["http-equiv"] == "Content-Security-Policy"
    policy = dict(rule.strip().split(" ", 1) for rule in head[1]["content"].split(";"))
    assert policy["default-src"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy["img-src"] == "data:" and "script-src" not in policy


def test_a_page_refers_to_nothing_elsewhere():
    """No script at all, nbconvert's typesetter of formulas included: browsers show those themselves."""
    formula = nbformat.v4.new_markdown_cell("so $a_b$ is")
    page = feedback_page(nbformat.v4.new_notebook(cells=[formula]), hostile_result())
    soup = BeautifulSoup(page, "html.parser")
    assert not soup.find_all(("script", "link", "iframe", "object")) and soup.find("msub").get_text() == "ab"
    assert all(image["src"].startswith("data:") for image in soup.find_all("img"))
    assert all(link["href"].startswith("#") for link in soup.find_all("a", href=True))


def test_a_notebook_that_cannot_be_shown_still_has_a_page(monkeypatch):
    """The result is told without it."""
    real = page_module.attach_feedback

    def attach(notebook: NotebookNode, result: Result) -> None:
        if notebook.cells:
            raise RecursionError
        real(notebook, result)

    monkeypatch.setattr(page_module, "attach_feedback", attach)
    assert (
        "Graded automatically: 0 of 3"
        in BeautifulSoup(feedback_page(hostile_notebook(), hostile_result()), "html.parser").get_text()
    )


def test_an_ungradable_notebook_gets_a_page_with_the_reason():
    """The reason stands on top, before the empty notebook."""
    result = Result("x", "a.ipynb", "could-not-run", 0, 3, 0.1, {}, error="not a notebook: the file is empty")
    page = feedback_page(nbformat.v4.new_notebook(), result)
    assert "not a notebook: the file is empty" in BeautifulSoup(page, "html.parser").get_text()


def elements(page: str) -> list[tuple[str, dict[str, object], str]]:
    """Name, attributes and text of all elements, but for the two that only our pages have."""
    soup = BeautifulSoup(page, "html.parser")
    found = [(e.name, dict(e.attrs), " ".join(e.get_text(" ").split())) for e in soup.body.find_all(True)]
    return found + [(e.name, dict(e.attrs), "") for e in soup.head.find_all(True) if "http-equiv" not in e.attrs]


def test_a_page_is_what_nbconvert_would_make_of_it(monkeypatch):
    """Though the finished page is not parsed once more, to give pictures a text: each has its own."""
    notebook, result = hostile_notebook(), hostile_result()
    plain = nbformat.v4.new_code_cell("plot()", outputs=[display(image_png=png())])
    own_text = nbformat.v4.new_markdown_cell(f"![curve](data:image/png;base64,{png()}) and <b>bold</b>")
    notebook.cells += [plain, own_text]
    ours = elements(feedback_page(notebook, result))
    monkeypatch.setattr(page_module.FeedbackExporter, "from_notebook_node", HTMLExporter.from_notebook_node)
    stock = elements(feedback_page(notebook, result))
    ours.remove(("style", {}, ""))  # that of formulas
    assert ours == stock
    texts = [attributes["alt"] for name, attributes, _ in stock if name == "img"]
    assert len(texts) >= 3 and not any("No description" in text for text in texts)
