"""The feedback page of one notebook, rendered by nbgrader's own template with or without a gradebook."""

import copy
import html
import re
from typing import Any

import nbformat
from jinja2 import BytecodeCache, ChoiceLoader, DictLoader, Environment
from jinja2.bccache import Bucket
from nbconvert.exporters import HTMLExporter, TemplateExporter
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbformat import NotebookNode
from nbgrader.converters import GenerateFeedback
from traitlets.config import Config

from autograder.feedback.cells import attach_feedback, clamped_score
from autograder.feedback.clean import is_test_cell
from autograder.feedback.remembered import remembered
from autograder.results.result import Result


def rendering_config() -> Config:
    """What every page made from a submission needs, in the formgrader as in feedback: see `nbgrader_config.py`."""
    config = Config()
    config.HTMLExporter.sanitize_html = True
    config.HTMLExporter.filters = {"markdown2html": "autograder.feedback.markdown.markdown_to_html"}
    config.HTMLExporter.preprocessors = ["autograder.feedback.rendering.CleanNotebook"]
    config.FeedbackExporter.exclude_input_prompt = True  # the page's styles leave prompts on lines of their own
    config.FeedbackExporter.exclude_output_prompt = True
    config.GenerateFeedback.exporter_class = "autograder.feedback.page.FeedbackExporter"
    return config


class _CompiledTemplates(BytecodeCache):
    """Compiled templates for the life of the process: compiling them takes half of the time of a page."""

    def __init__(self) -> None:
        self.compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.compiled:
            bucket.bytecode_from_string(self.compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.compiled[bucket.key] = bucket.bytecode_to_string()


COMPILED = _CompiledTemplates()


# A second fence behind the cleaning: nothing runs, and nothing is fetched, framed or sent.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
# Brackets and roots grow in fonts made for that; Chromium aligns cells of formulas by styles alone, and plain "right"
# leaves them at the left. A formula wider than the page scrolls in its own cell.
FORMULA_STYLES = """
math { font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math", "DejaVu Math TeX Gyre", math }
math[display=block] { margin: 0.6em 0 }
mtd[columnalign=left] { text-align: -webkit-left }
mtd[columnalign=right] { text-align: -webkit-right; padding-right: 0 }
mtable[displaystyle=true] > mtr > mtd { padding-top: 0.4em; padding-bottom: 0.4em }
.text_cell_render:has(math) { overflow-x: auto }
"""
NO_TYPESETTER = {"mathjax.html.j2": "{% macro mathjax(url='') %}{% endmacro %}"}
CHARSET = '<meta charset="utf-8" />'  # as the template has it


class FeedbackExporter(HTMLExporter):
    """Feedback without scripts: formulas are MathML, for the template's typesetter comes from elsewhere."""

    def _create_environment(self) -> Environment:
        environment = super()._create_environment()
        environment.bytecode_cache = COMPILED
        environment.loader = ChoiceLoader([DictLoader(NO_TYPESETTER), environment.loader])
        return environment

    def from_notebook_node(self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any) -> Any:
        """What HTMLExporter does, without parsing and writing the whole page once more at the end.

        That gives a text to pictures without one, which none is here, and marks cells that this template does not have.
        """
        resources = self._init_resources(resources)
        self.register_filter("highlight_code", _highlight)
        shown = WidgetsDataTypeFilter(notebook_metadata=self._nb_metadata, parent=self, resources=resources)
        self.register_filter("filter_data_type", shown)
        page, resources = TemplateExporter.from_notebook_node(self, nb, resources, **kw)
        before, found, rest = page.partition(CHARSET)
        if not found:
            raise ValueError("nbgrader's template has changed: there is no place for the policy")
        policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}" />\n<style>{FORMULA_STYLES}</style>'
        return before + found + policy + rest, resources


_highlighter = Highlight2HTML(pygments_lexer="ipython3")


@remembered
def _highlighted(source: str, magic: str) -> str:
    return str(_highlighter(source, metadata={"magics_language": magic} if magic else None))


def _highlight(source: str, metadata: dict[str, Any]) -> str:
    """In place of nbconvert's `highlight_code`; a cell that begins with a magic may be in another language."""
    return _highlighted(source, str(metadata.get("magics_language", "")))


def feedback_page(notebook: NotebookNode, result: Result, student: str | None = None) -> str:
    """The page as HTML, for the notebook that was graded. Marks come from `result` alone."""
    try:
        return _page(notebook, result, student)
    except Exception:  # no notebook may keep its own result, or the next one's, from being told
        return _page(nbformat.v4.new_notebook(), result, student)


def _page(notebook: NotebookNode, result: Result, student: str | None) -> str:
    notebook = copy.deepcopy(notebook)
    attach_feedback(notebook, result)
    name = re.sub(r"\.ipynb$", "", result.notebook)
    resources = {
        "nbgrader": {
            # the template prints the name as it is
            "notebook": html.escape(f"{student}: {name}" if student else name),
            "score": result.score,
            "max_score": result.max_score,
            "late_penalty": 0,
        }
    }
    # GenerateFeedback knows where nbgrader keeps the template and its style sheet
    exporter = FeedbackExporter(config=GenerateFeedback(config=rendering_config()).config)
    exporter.register_preprocessor(lambda nb, resources: (_marked(nb, result), resources))
    exporter.register_preprocessor(CSSHTMLHeaderPreprocessor)
    page, _ = exporter.from_notebook_node(notebook, resources)
    return page


def _marked(notebook: NotebookNode, result: Result) -> NotebookNode:
    """What nbgrader's GetGrades takes from the gradebook. Written answers have no mark here, so none is shown."""
    for cell in notebook.cells:
        mark = cell.metadata.get("nbgrader")
        if not mark:
            continue
        if is_test_cell(cell):
            outcome = result.cells.get(mark.grade_id)
            mark.score = clamped_score(outcome) if outcome else 0.0
            mark.points = outcome.max_score if outcome else mark.points
        elif mark.get("solution"):
            mark.grade = False
            mark.comment = None
    return notebook
