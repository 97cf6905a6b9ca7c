"""A submission is put on the release's skeleton: what the student may write stays, everything else is as released."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from autograder.course.assignment import Assignment
from autograder.grading.grade import _stored_names
from autograder.notebooks.rebuild import BoundedParser, WrongNotebook, grade_id, rebuild

real = ast.parse
TOY = Assignment(
    Path("nowhere"),
    "toy",
    upstream={"one": (), "two": ("one",)},
    defines={"one": ("first",), "two": ("Second",)},
)


def cell(name, source, kind="code", **mark):
    new = new_code_cell if kind == "code" else new_markdown_cell
    base = {"grade": False, "solution": False, "locked": True, "task": False, "schema_version": 3}
    return new(source, metadata={"nbgrader": {**base, **mark, "grade_id": name}} if name else {})


def release():
    notebook = new_notebook()
    notebook.cells = [
        cell(None, "# Toy", "markdown"),
        cell("setup", "import math"),
        cell("one", "def first():\n    raise NotImplementedError()", solution=True, locked=False),
        cell("one-tests", "first()", grade=True, points=1),
        cell("two", "class Second:\n    pass", solution=True, locked=False),
        cell("two-tests", "Second()", grade=True, points=2),
        cell("why", "YOUR ANSWER HERE", "markdown", solution=True, grade=True, locked=False, points=3),
    ]
    return notebook


def handed_in(**sources):
    notebook = release()
    for c in notebook.cells:
        if grade_id(c) in sources:
            c.source = sources[grade_id(c)]
    return notebook


def by_name(notebook):
    return {grade_id(c): c.source for c in notebook.cells if grade_id(c)}


def sources(notebook):
    return [c.source for c in notebook.cells if c.cell_type == "code"]


ANSWERS = {"one": "def first():\n    return 1", "two": "class Second:\n    x = 2", "why": "Because."}


def test_answers_are_kept_in_their_places():
    """An ordinary submission comes out as it went in."""
    given = handed_in(**ANSWERS)
    rebuilt = rebuild(release(), given, TOY)
    assert [c.source for c in rebuilt.notebook.cells] == [c.source for c in given.cells]
    assert rebuilt.notes == ()


def test_locked_cells_are_as_released():
    """An edited test, an edited set-up cell and edited points are undone, and the student is told of the text."""
    given = handed_in(**ANSWERS, **{"one-tests": "pass", "setup": "import os"})
    given.cells[3].metadata.nbgrader.points = 100
    rebuilt = rebuild(release(), given, TOY)
    assert by_name(rebuilt.notebook)["one-tests"] == "first()"
    assert by_name(rebuilt.notebook)["setup"] == "import math"
    assert rebuilt.notebook.cells[3].metadata.nbgrader.points == 1
    assert [n for n in rebuilt.notes if "one-tests" in n]


def test_deleted_cells_come_back_empty():
    """With a solution and its test both gone the test stands there again, and the solution is empty."""
    given = handed_in(**ANSWERS)
    del given.cells[4:6]
    names = by_name(rebuild(release(), given, TOY).notebook)
    assert names["two-tests"] == "Second()"
    assert names["two"] == ""
    assert names["one"] == ANSWERS["one"]


def test_added_cells_run_where_the_student_put_them():
    """Helpers above a solution, and cells between it and its test, keep their places."""
    given = handed_in(**ANSWERS)
    given.cells.insert(2, new_code_cell("helper = 1"))
    given.cells.insert(4, new_code_cell("first = decorated(first)"))
    given.cells.append(new_code_cell("ablation = 3"))
    rebuilt = rebuild(release(), given, TOY).notebook
    assert sources(rebuilt) == sources(given)
    nbformat.validate(rebuilt)


def test_metadata_stripped_by_an_editor_costs_nothing():
    """Without any metadata the names that cells define locate the solutions, and locked cells are known by their text."""
    given = handed_in(**ANSWERS)
    for c in given.cells:
        c.metadata = {}
    names = by_name(rebuild(release(), given, TOY).notebook)
    assert (names["one"], names["two"]) == (ANSWERS["one"], ANSWERS["two"])
    assert len(rebuild(release(), given, TOY).notebook.cells) == 7 + 1  # the written answer alone is unknown, and kept


def test_a_solution_with_a_syntax_error_is_located_by_name():
    """A cell that does not parse is still found when its metadata is gone."""
    given = handed_in(**{**ANSWERS, "two": "class Second\n    x = 2"})
    given.cells[4].metadata = {}
    assert by_name(rebuild(release(), given, TOY).notebook)["two"] == "class Second\n    x = 2"


def test_of_copied_cells_the_last_before_the_tests_counts():
    """As in the student's own run; a copy after the tests (an ablation, say) is an added cell."""
    given = handed_in(**ANSWERS)
    late, early = (cell("one", f"def first():\n    return {n}", solution=True, locked=False) for n in (9, 0))
    given.cells.insert(2, early)
    given.cells.append(late)
    rebuilt = rebuild(release(), given, TOY).notebook
    assert by_name(rebuilt)["one"] == ANSWERS["one"]
    assert sources(rebuilt) == sources(given)


def test_swapped_order_is_put_right():
    """Solutions go to their own places however the notebook was rearranged."""
    given = handed_in(**ANSWERS)
    given.cells[2], given.cells[4] = given.cells[4], given.cells[2]
    names = list(by_name(rebuild(release(), given, TOY).notebook))
    assert names == list(by_name(release()))


def test_a_changed_cell_type_is_put_right():
    """A solution that was turned into markdown is read as code."""
    given = handed_in(**ANSWERS)
    given.cells[2] = new_markdown_cell(ANSWERS["one"], metadata=given.cells[2].metadata)
    rebuilt = rebuild(release(), given, TOY)
    assert rebuilt.notebook.cells[2].cell_type == "code"
    assert rebuilt.notebook.cells[2].source == ANSWERS["one"]
    assert rebuilt.notes


def test_only_the_skeletons_metadata_survives():
    """Nothing that a student writes into metadata, of cells or notebook, reaches the graded notebook."""
    given = handed_in(**ANSWERS)
    given.metadata["evil"] = "x"
    for c in given.cells:
        c.metadata["evil"] = "x"
    given.cells.append(new_code_cell("1", metadata={"nbgrader": {"grade": True, "grade_id": "new-tests", "points": 9}}))
    assert "evil" not in nbformat.writes(rebuild(release(), given, TOY).notebook)
    assert "new-tests" not in nbformat.writes(rebuild(release(), given, TOY).notebook)


def test_outputs_of_test_cells_are_the_graders_alone():
    """What a student stores below a test cell, a forged score say, is gone; below an answer it stays."""
    given = handed_in(**ANSWERS)
    for c in given.cells:
        if c.cell_type == "code":
            c.outputs = [new_output("stream", text="12 of 12 points")]
    rebuilt = rebuild(release(), given, TOY).notebook
    shown = {grade_id(c) for c in rebuilt.cells if c.get("outputs")}
    assert shown == {"setup", "one", "two"}


def test_a_very_long_cell_is_located_without_being_parsed(monkeypatch):
    """A tree of fifty megabytes of source would take gigabytes."""
    parsed = []
    monkeypatch.setattr(ast, "parse", lambda source, *rest: parsed.append(source) or real(source, *rest))
    given = handed_in(**ANSWERS | {"one": ANSWERS["one"] + "\n" + "a = 1\n" * 50_000})
    given.cells[2].metadata = {}
    assert by_name(rebuild(release(), given, TOY).notebook)["one"].startswith("def first")
    assert all(len(source) < 1000 for source in parsed)


@pytest.fixture
def parsed(monkeypatch):
    """The lengths of all that is parsed."""
    lengths = []
    monkeypatch.setattr(ast, "parse", lambda source, *rest: lengths.append(len(source)) or real(source, *rest))
    return lengths


def test_of_very_much_code_only_a_part_is_parsed(parsed):
    """Two thousand cells of ordinary length would take minutes, outside of any limit on time. Marks, and lines with
    `def`, still locate cells; a student who misses one is told."""
    filler = [new_code_cell("x=12\n" * 5_000) for _ in range(100)]
    given = handed_in(**ANSWERS)
    given.cells[4].metadata = {}
    given.cells[:0] = filler
    rebuilt = rebuild(release(), given, TOY)
    assert by_name(rebuilt.notebook).items() >= ANSWERS.items() and rebuilt.notes == ()
    assert len(rebuilt.notebook.cells) == 107 and sum(parsed) <= 500_000
    given.cells[104].source = "Second = type('Second', (), {})"
    rebuilt = rebuild(release(), given, TOY)
    assert by_name(rebuilt.notebook)["two"] == "" and "def or class" in rebuilt.notes[-1]
    del given.cells[:90]
    rebuilt = rebuild(release(), given, TOY)
    assert by_name(rebuilt.notebook)["two"].startswith("Second =") and rebuilt.notes == ()


def test_experiments_are_parsed_within_the_same_limits(parsed):
    """Names that they define are looked for where a test missed one."""
    parser = BoundedParser()
    assert _stored_names("a = b", parser) == {"a"}
    assert [_stored_names("a=1;" * 40_000, parser) for _ in range(4)] == [{"a"}] * 3 + [set()]
    assert _stored_names("a=1;" * 60_000, BoundedParser()) == _stored_names("a =", BoundedParser()) == set()
    assert sum(parsed) < 500_000


def test_another_notebook_is_refused():
    """A notebook without a single cell of the assignment is a mistake of the student's, said in one line."""
    given = new_notebook()
    given.cells = [new_code_cell("print(1)")]
    with pytest.raises(WrongNotebook, match="not a notebook of toy"):
        rebuild(release(), given, TOY)
