"""The first look at written answers: it finds what is empty, short or without evidence, and nothing else."""

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.course.assignment import Assignment
from autograder.notebooks.written import advice

SHORT, LONG = (Assignment(Path("nowhere"), "toy", {}, {}, paragraphs=count) for count in (0, 2))
PARAGRAPH = "The words of this paragraph go on for long enough to count as one."


def told(text, assignment=LONG, **mark):
    written = {"grade": True, "solution": True, "locked": False, "grade_id": "s1-critical"} | mark
    cells = [new_markdown_cell(text, metadata={"nbgrader": written}), new_code_cell("x = 1"), new_markdown_cell("")]
    return advice(new_notebook(cells=cells), assignment)


@pytest.mark.parametrize("text", ["", "  \n", "YOUR ANSWER HERE", "*Your answer here.*"])
def test_an_untouched_answer_is_named(text):
    """The placeholder and an emptied cell give one line."""
    assert told(text) == ("The answer s1-critical is still empty.",)


def test_a_short_answer_is_named():
    """One paragraph where two are asked for; a heading is no paragraph."""
    assert told(f"# Head\n\n{PARAGRAPH} Entropy was 1.48.") == (
        "The answer s1-critical has 1 of the 2 paragraphs that are asked for.",
    )


def test_an_answer_without_evidence_is_named():
    """Neither a number nor a word for a result."""
    assert told(f"{PARAGRAPH}\n\n{PARAGRAPH}") == ("The answer s1-critical cites no result of the notebook.",)


@pytest.mark.parametrize("evidence", ["It took 3 steps.", "See the figure above.", "As the second table shows."])
def test_a_full_answer_gives_nothing(evidence):
    """Two paragraphs with a number, or with a word for a result."""
    assert told(f"{PARAGRAPH}\n \n{PARAGRAPH} {evidence}") == ()


def test_assignments_that_ask_for_less_are_content_with_less():
    """Where one sentence is enough, only an empty answer is named."""
    assert told("Because of the mask.", SHORT) == ()


def test_other_cells_are_none_of_its_business():
    """A markdown cell without points may be empty."""
    assert told("", grade=False) == ()


def test_question_and_criteria_are_no_answer():
    """Where a cell holds the question, too, only what stands below it is looked at."""
    question = f"**Question 3.** {PARAGRAPH}\n\n*Criteria:* {PARAGRAPH}\n\n**Your answer:**\n\n"
    assert told(f"{question}YOUR ANSWER HERE") == ("The answer s1-critical is still empty.",)
    assert told(f"{question}{PARAGRAPH}\n\n{PARAGRAPH} It was 3.") == ()
