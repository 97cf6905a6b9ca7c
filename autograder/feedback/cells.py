"""Write a result into the outputs of the test cells, as nbgrader's `determine_grade` and a student read them."""

import base64
import html
import re

import nbformat
from nbformat import NotebookNode

from autograder.feedback.clean import clean_notebook, clean_text, is_test_cell
from autograder.feedback.outputs import new_output
from autograder.results.result import CellOutcome, Result, TestOutcome

OUTCOMES = {"passed": "passed", "failed": "failed", "could-not-run": "could not run"}
FOLLOW_THROUGH = "Counted although an earlier part is wrong: with that part put right, yours works."
NOT_RERUN = "Stored in the notebook that was handed in; this cell was not run again."
BANNER_ID = "feedback-summary"
OURS = {"course": "picture"}  # metadata of a picture that grading has drawn


def number(value: float) -> str:
    """Points as people write them: 3, 2.5, 0.33."""
    return f"{round(value, 2):g}"


def clamped_score(outcome: CellOutcome) -> float:
    """The cell's score within [0, max_score] and free of binary dust: nbgrader refuses 0.30000000000000004 of 0.3."""
    score = round(float(outcome.score), 6)
    return max(0.0, min(score, float(outcome.max_score)))  # in this order nan becomes 0


def feedback_outputs(outcome: CellOutcome) -> list[NotebookNode]:
    """The outputs of a test cell: the score as nbgrader reads it, then what each hidden test found.

    nbgrader takes the first `execute_result` as the score, and any error or stderr stream as no points at all.
    """
    score = clamped_score(outcome)
    shown = f"{number(score)} of {number(outcome.max_score)} points"
    outputs = [
        new_output(
            "execute_result",
            {"text/plain": repr(score), "text/html": f"<div><b>{shown}</b></div>"},
            execution_count=None,
        )
    ]
    if outcome.tests:
        data = {
            "text/plain": "\n\n".join(_as_text(test) for test in outcome.tests),
            "text/html": f'<ul class="list-group">{"".join(_as_html(test) for test in outcome.tests)}</ul>',
        }
        outputs.append(new_output("display_data", data))
    return outputs


def picture_output(png: bytes, caption: str) -> NotebookNode:
    """A picture of ours below a test cell."""
    data = {"image/png": base64.b64encode(png).decode(), "text/plain": caption}
    return new_output("display_data", data, metadata=OURS)


def _pictures(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    """The pictures of ours below the test cells: a student's outputs there have gone when a notebook is rebuilt."""
    return {
        cell.metadata.nbgrader.grade_id: [
            shown for output in cell.outputs if output.get("metadata") == OURS for shown in _captioned(output)
        ]
        for cell in notebook.cells
        if is_test_cell(cell)
    }


def _captioned(output: NotebookNode) -> list[NotebookNode]:
    """A picture of ours with its caption above it, which is its alternative text, too."""
    caption = clean_text(output.data.get("text/plain", ""), 500)
    words = {"text/plain": caption, "text/html": f"<div>{html.escape(caption)}</div>"}
    return [
        new_output("display_data", words),
        new_output("display_data", output.data, metadata={"image/png": {"alt": caption}}),
    ]


def attach_feedback(notebook: NotebookNode, result: Result) -> None:
    """Clean the graded notebook, give each test cell its feedback, and put a summary on top."""
    pictures = _pictures(notebook)
    clean_notebook(notebook)
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != BANNER_ID]
    for cell in notebook.cells:
        if is_test_cell(cell):
            outcome = result.cells.get(cell.metadata.nbgrader.grade_id)
            points = float(cell.metadata.nbgrader.get("points", 0))
            shown = pictures.get(cell.metadata.nbgrader.grade_id, [])
            cell.outputs = [*feedback_outputs(outcome or CellOutcome(0.0, points)), *shown]
        elif cell.cell_type == "code" and cell.outputs and cell.metadata.get("course", {}).get("not_rerun"):
            label = new_output("display_data", {"text/plain": NOT_RERUN})
            cell.outputs = [label, *(output for output in cell.outputs if output != label)]
    notebook.cells.insert(0, _summary(result))


def _summary(result: Result) -> NotebookNode:
    lines = [f"**Graded automatically: {number(result.score)} of {number(result.max_score)} points.**"]
    if result.status == "could-not-run":
        lines = ["**This submission could not be graded.**", _literal(result.error or "No reason was recorded.")]
    lines += ["Written answers are marked by a person; until then they count 0."]
    if result.status == "graded":
        shown = "again from top to bottom" if result.execute == "all" else "again, except the demonstrations"
        lines.append(f"The notebook's cells were run {shown}. Each test cell below lists what was tested.")
        lines.append("\n".join(["| part | points |", "|---|---|", *map(_row, result.cells.items())]))
    if result.notes:
        lines.append("\n".join(f"- {_literal(note)}" for note in result.notes))
    cell = nbformat.v4.new_markdown_cell("\n\n".join(lines), id=BANNER_ID)
    cell.metadata = nbformat.from_dict({"deletable": False, "editable": False})
    return cell


def _row(item: tuple[str, CellOutcome]) -> str:
    cell, outcome = item
    score = f"{number(clamped_score(outcome))} of {number(outcome.max_score)}"
    score = score if clamped_score(outcome) == outcome.max_score else f"**{score}**"
    return f"| [{cell.removesuffix('-tests')}](#{cell}) | {score} |"


def _literal(text: str) -> str:
    """One line of text with every character that markdown or HTML gives a meaning put out of action."""
    line = " ".join(clean_text(text, 2000).split())
    return re.sub(r"([\\`*_{}\[\]()#+\-!|~$:<>&])", lambda found: f"&#{ord(found[0])};", line)


def _headline(test: TestOutcome) -> tuple[str, str]:
    outcome = OUTCOMES.get(test.status, "could not run")
    earned = max(0.0, min(test.earned, test.points))
    return outcome, f"{number(earned)} of {number(test.points)}"


def _remarks(test: TestOutcome) -> str:
    remarks = [clean_text(test.message, 4000).strip()]
    return "\n".join([r for r in remarks if r] + ([FOLLOW_THROUGH] if test.follow_through else []))


def _as_text(test: TestOutcome) -> str:
    outcome, points = _headline(test)
    first = f"{outcome.upper()} ({points})  {clean_text(test.title, 300)}"
    return "\n".join([first, *(f"    {line}" for line in _remarks(test).splitlines())])


def _as_html(test: TestOutcome) -> str:
    # Only tags and classes that nbconvert's `clean_html` lets through; the classes are Bootstrap's.
    outcome, points = _headline(test)
    colour = {"passed": "success", "failed": "danger"}.get(test.status, "warning")
    remarks = "".join(f"<div>{_code(line)}</div>" for line in _remarks(test).splitlines())
    return (
        f'<li class="list-group-item list-group-item-{colour}"><span class="pull-right">{points} points</span>'
        f"<b>{outcome}:</b> {_code(clean_text(test.title, 300))}{remarks}</li>"
    )


def _code(text: str) -> str:
    """Escaped text, with `names in backticks` as code. Leading spaces keep their width."""
    escaped = html.escape(text)
    indent = len(escaped) - len(escaped.lstrip(" "))
    return "&nbsp;" * indent + re.sub(r"`([^`\n]{1,200})`", r"<code>\1</code>", escaped[indent:])
