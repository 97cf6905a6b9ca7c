"""The outputs that carry a result: what nbgrader reads from them, and what a student reads."""

import math

import nbformat
import pytest
from nbformat import NotebookNode
from nbgrader.utils import determine_grade

from autograder.feedback.cells import BANNER_ID, NOT_RERUN, attach_feedback, feedback_outputs
from autograder.results.result import CellOutcome, Result
from autograder.results.result import TestOutcome as Outcome

FAILED = Outcome(
    "t", "A masked key has weight 0", "failed", 3, 0, "It has <b>weight</b>.\nLikely cause: `softmax` first"
)


def graded_cell(points: float) -> NotebookNode:
    mark = {"grade": True, "solution": False, "locked": True, "task": False, "grade_id": "a-tests", "points": points}
    return nbformat.v4.new_code_cell("assert a()", metadata={"nbgrader": mark})


def result(**changes: object) -> Result:
    cells = {"a-tests": CellOutcome(1, 3, (FAILED,))}
    return Result(**({"assignment": "x", "notebook": "x.ipynb", "status": "graded", "score": 1, "max_score": 3,
                      "seconds": 1.0, "cells": cells} | changes))  # fmt: skip


@pytest.mark.parametrize(
    ("score", "points", "expected"),
    [
        (2, 3, 2.0),
        (0, 3, 0.0),
        (0.1 + 0.2, 0.3, 0.3),
        (7, 3, 3.0),
        (-1, 3, 0.0),
        (math.nan, 3, 0.0),
        (2.5, 3, 2.5),
        (0.1 + 0.2, 3, 0.3),
    ],
)
def test_nbgrader_reads_the_score_rounded_and_within_its_limits(score, points, expected):
    """determine_grade raises above the maximum, and gives full points for nan and negative numbers."""
    cell = graded_cell(points)
    cell.outputs = feedback_outputs(CellOutcome(score, points, (FAILED,)))
    assert determine_grade(cell) == (expected, points)


def test_no_output_is_an_error_or_a_stderr_stream():
    """Either would make nbgrader give no points at all."""
    outputs = feedback_outputs(CellOutcome(1, 3, (FAILED,)))
    assert [o.output_type for o in outputs] == ["execute_result", "display_data"]
    nbformat.validate(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)]))


def test_the_text_tells_outcome_points_title_message_and_follow_through():
    """A notebook viewer without HTML shows the same facts, each message line on its own line."""
    through = Outcome("u", "Rows sum to 1", "passed", 2, 2, "", None, True)
    broken = Outcome("v", "It runs", "could-not-run", 1, 0)
    text = feedback_outputs(CellOutcome(2, 6, (FAILED, through, broken)))[1].data["text/plain"]
    assert text.splitlines() == [
        "FAILED (0 of 3)  A masked key has weight 0",
        "    It has <b>weight</b>.",
        "    Likely cause: `softmax` first",
        "",
        "PASSED (2 of 2)  Rows sum to 1",
        "    Counted although an earlier part is wrong: with that part put right, yours works.",
        "",
        "COULD NOT RUN (0 of 1)  It runs",
    ]


def test_titles_and_messages_are_escaped_in_html():
    """A message may quote the student's own text."""
    html = feedback_outputs(CellOutcome(1, 3, (FAILED,)))[1].data["text/html"]
    assert "&lt;b&gt;weight&lt;/b&gt;" in html and "<b>weight" not in html
    assert "<code>softmax</code>" in html


def test_every_test_cell_gets_feedback_and_a_forged_output_goes():
    """The feedback replaces what stood there; a test cell that the result does not know scores 0."""
    notebook = nbformat.v4.new_notebook(cells=[graded_cell(3), graded_cell(5)])
    notebook.cells[0].outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "3"})]
    notebook.cells[1].metadata.nbgrader.grade_id = "b-tests"
    attach_feedback(notebook, result())
    assert [determine_grade(cell)[0] for cell in notebook.cells[1:]] == [1.0, 0.0]


def test_the_summary_names_the_reason_and_the_notes_without_their_markup():
    """An error or note can hold a file's name; it is shown as typed."""
    notebook = nbformat.v4.new_notebook()
    attach_feedback(notebook, result(status="could-not-run", error="<i>*x*</i>.ipynb is empty", notes=("[a](b)",)))
    source = notebook.cells[0].source
    assert "could not be graded" in source and "is empty" in source
    assert "<i>" not in source and "*x*" not in source and "[a](b)" not in source


def test_the_summary_lists_every_part_and_stresses_those_that_lost_points():
    """A reader goes from the list to the part."""
    notebook = nbformat.v4.new_notebook()
    attach_feedback(notebook, result(cells={"a-tests": CellOutcome(1, 3), "b-tests": CellOutcome(2, 2)}))
    assert "| [a](#a-tests) | **1 of 3** |\n| [b](#b-tests) | 2 of 2 |" in notebook.cells[0].source


def test_stored_outputs_of_demonstrations_are_labelled():
    """Only where a demonstration was not run again and shows something."""
    shown = nbformat.v4.new_code_cell("demo()", outputs=[nbformat.v4.new_output("stream", text="1")])
    shown.metadata["course"] = {"not_rerun": True}
    bare = nbformat.v4.new_code_cell("demo()", metadata={"course": {"not_rerun": True}})
    run = nbformat.v4.new_code_cell("demo()", outputs=[nbformat.v4.new_output("stream", text="1")])
    notebook = nbformat.v4.new_notebook(cells=[shown, bare, run])
    attach_feedback(notebook, result())
    assert notebook.cells[1].outputs[0].data["text/plain"] == NOT_RERUN
    assert notebook.cells[2].outputs == [] and len(notebook.cells[3].outputs) == 1


def test_attaching_twice_is_attaching_once():
    """A page is also made from a notebook that has its feedback already."""
    cell = nbformat.v4.new_code_cell("demo()", outputs=[nbformat.v4.new_output("stream", text="1")])
    cell.metadata["course"] = {"not_rerun": True}
    once = nbformat.v4.new_notebook(cells=[cell, graded_cell(3)])
    attach_feedback(once, result())
    twice = nbformat.from_dict(once)
    attach_feedback(twice, result())
    assert twice == once and [c.id for c in twice.cells].count(BANNER_ID) == 1
