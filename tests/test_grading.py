"""From a file to a result: what earns points, what is said, and what a hostile or broken file does not get."""

import json
import re
import time

import nbformat
import pytest

from autograder import limits
from autograder.faults import GraderFault
from autograder.grading.grade import grade_notebook
from autograder.results.result import Result
from tests.toy_course import DOUBLE, QUADRUPLE, declare, notebook, toy, toy_course, with_cell  # noqa: F401

pytestmark = pytest.mark.usefixtures("toy_course", "tier")


@pytest.fixture
def graded(tmp_path, toy):
    """Grade a notebook as a file called ada.ipynb."""

    def grade(given, **how):
        path = tmp_path / "ada.ipynb"
        path.write_text(given if isinstance(given, str) else nbformat.writes(given))
        return grade_notebook(path, toy, **how)

    return grade


def outcomes(result):
    return {t.name: t for cell in result.cells.values() for t in cell.tests}


def test_a_right_notebook_gets_everything(graded, tier):
    """Full points, no message, and the points of the tests add up."""
    result = graded(notebook(double=DOUBLE, quadruple=QUADRUPLE)).result
    assert (result.status, result.score, result.max_score) == ("graded", 6, 6)
    assert all(t.status == "passed" and t.earned == t.points and not t.message for t in outcomes(result).values())
    assert result.tier == tier


def test_a_blank_notebook_gets_nothing_and_is_told_so(graded):
    """Every test of a blank cell could not run, and the message says that the cell is not filled in."""
    result = graded(notebook()).result
    assert result.score == 0
    assert {t.status for t in outcomes(result).values()} == {"could-not-run"}
    assert "did not run: NotImplementedError" in outcomes(result)["test_double_values"].message


def test_one_mistake_costs_points_once(graded):
    """A right component on a wrong one keeps its points, and both result and message say why."""
    result = graded(notebook(double="def double(x):\n    return 3 * x", quadruple=QUADRUPLE)).result
    assert result.cells["double-tests"].score == 0
    through = outcomes(result)["test_quadruple_values"]
    assert (through.earned, through.status, through.follow_through) == (3, "passed", True)
    assert "`double`" in through.message


def test_a_wrong_component_gains_nothing_from_stand_ins(graded):
    """With the part below wrong, too, a wrong component loses what it would lose above a right one."""
    wrong = "def quadruple(x):\n    return double(double(double(x)))"
    above_right = graded(notebook(double=DOUBLE, quadruple=wrong)).result
    above_wrong = graded(notebook(double="def double(x):\n    return 3 * x", quadruple=wrong)).result
    assert above_right.cells["quadruple-tests"].score == above_wrong.cells["quadruple-tests"].score == 0
    assert not outcomes(above_wrong)["test_quadruple_values"].follow_through


def test_stand_ins_reach_default_arguments_and_aliases(graded):
    """What a later cell makes of an upstream name is made of the stand-in; the component itself stays the student's."""
    given = with_cell(2, "alias = double", double="def double(x):\n    return 3 * x",
                      quadruple="def quadruple(x, f=alias):\n    return f(double(x))")  # fmt: skip
    assert graded(given).result.cells["quadruple-tests"].score == 3


def test_properties_earn_only_with_right_values(graded):
    """A property of a wrong value is no achievement."""
    result = graded(notebook(double="def double(x):\n    return 5 * x", quadruple=QUADRUPLE)).result
    odd = outcomes(result)["test_double_is_odd"]
    assert (odd.status, odd.earned) == ("failed", 0)


def test_messages_show_the_students_numbers_on_public_inputs_alone(graded):
    """The detail is the same in every run, since its inputs are no secret, though the marks rest on secret ones."""
    given = notebook(double="def double(x):\n    return 5 * x", quadruple=QUADRUPLE)
    first, again = (outcomes(graded(given).result)["test_double_values"].message for _ in range(2))
    assert first == again
    assert "Which factor? Yours: tensor" in first


def test_errors_are_told_with_their_place(graded):
    """An error in a cell is named with type, text, cell and line."""
    result = graded(notebook(double="def double(x):\n    y = 1\n    return x.twice", quadruple=QUADRUPLE)).result
    message = outcomes(result)["test_double_values"].message
    assert "AttributeError in the cell double, line 3" in message
    assert "twice" in message


def test_a_syntax_error_is_told(graded):
    """A cell that does not parse is named with its error."""
    result = graded(notebook(double="def double(x)\n    return x", quadruple=QUADRUPLE)).result
    assert "SyntaxError" in outcomes(result)["test_double_values"].message
    assert result.cells["quadruple-tests"].score == 3


def test_hidden_inputs_do_not_come_back_in_feedback(graded, tmp_path):
    """Code that keeps what it is given and shows it later, in an error or in an output, shows public inputs only."""
    spy = "seen = []\ndef double(x):\n    seen.append(x.tolist())\n    raise ValueError(str(seen))"
    given = with_cell(7, "print('SEEN', globals().get('seen'))", double=spy)
    first, again = graded(given), graded(given)
    message = outcomes(first.result)["test_double_values"].message
    assert "ValueError" in message
    assert message == outcomes(again.result)["test_double_values"].message
    shown = [re.findall(r"SEEN.*", nbformat.writes(g.notebook)) for g in (first, again)]
    assert shown[0] == shown[1] != []


def test_loops_end_and_name_their_cell(graded, monkeypatch):
    """An endless function costs its own points, and its message names the cell and the limit."""
    monkeypatch.setattr(limits, "CALL_SECONDS", 0.5)
    start = time.monotonic()
    result = graded(notebook(double="def double(x):\n    while True: pass", quadruple=QUADRUPLE)).result
    assert time.monotonic() - start < 30
    assert "double did not finish within 0.5 s" in outcomes(result)["test_double_values"].message
    assert outcomes(result)["test_double_values"].status == "could-not-run"
    assert result.cells["quadruple-tests"].score == 3


def test_an_endless_cell_is_named(graded, monkeypatch):
    """A cell that never ends is stopped, and the rest of the notebook is graded."""
    monkeypatch.setattr(limits, "CELL_SECONDS", 0.5)
    result = graded(notebook(double=f"{DOUBLE}\nwhile True: pass", quadruple=QUADRUPLE)).result
    assert result.score == 6  # the function was defined before the loop


def test_a_crash_costs_its_own_points(graded):
    """A function that ends its process loses its points; the graders go on in another worker."""
    result = graded(notebook(double=DOUBLE, quadruple="import os\ndef quadruple(x):\n    os._exit(0)")).result
    assert result.cells["double-tests"].score == 3
    assert outcomes(result)["test_quadruple_values"].status == "could-not-run"
    assert "process ended" in outcomes(result)["test_quadruple_values"].message


def test_the_budget_of_a_submission_is_kept(graded, monkeypatch):
    """When a submission's time is used up the remaining tests say so."""
    monkeypatch.setattr(limits, "TOTAL_SECONDS", 4.0)
    slow = "import time\ndef double(x):\n    time.sleep(2.2)\n    return 2 * x"
    result = graded(notebook(double=slow, quadruple=QUADRUPLE)).result
    assert any("had already used all of its 4 s" in t.message for t in outcomes(result).values())


@pytest.mark.parametrize(
    "value",
    [
        "None",
        "'text'",
        "float('nan')",
        "torch.zeros(9)",
        "object()",
        "[[]]",
        "torch.zeros(3).to_sparse()",
        "10**400",
        "torch.zeros(3, dtype=torch.complex64)",
    ],
)
def test_strange_values_are_ordinary_failures(graded, value):
    """Whatever a function returns, the result is a failed test with a message."""
    result = graded(notebook(double=f"def double(x):\n    return {value}", quadruple=QUADRUPLE)).result
    found = outcomes(result)["test_double_values"]
    assert found.status in ("failed", "could-not-run")
    assert found.message


def test_objects_equal_to_everything_do_not_pass(graded):
    """Comparisons happen outside, on data: a tensor subclass that equals everything is its plain values."""
    trick = (
        "class Yes(torch.Tensor):\n    __eq__ = lambda s, o: torch.ones(3, dtype=torch.bool)\n    def isclose(s, *a, **k): return torch.ones(3).bool()\n"
        "def double(x):\n    return torch.zeros(3).as_subclass(Yes)"
    )
    assert graded(notebook(double=trick, quadruple=QUADRUPLE)).result.cells["double-tests"].score == 0


def test_warnings_and_stderr_cost_nothing(graded):
    """Noise is not a mistake."""
    noisy = "import sys, warnings\ndef double(x):\n    warnings.warn('careful'); print('note', file=sys.stderr); return 2 * x"
    assert graded(notebook(double=noisy, quadruple=QUADRUPLE)).result.score == 6


def test_a_component_is_what_its_name_means_at_its_tests(graded):
    """A later ablation does not count, a correction between a cell and its tests does."""
    assert graded(with_cell(6, "def double(x): return 0")).result.score == 6
    assert graded(with_cell(4, "def double(x): return 0")).result.cells["double-tests"].score == 3
    assert graded(with_cell(2, DOUBLE, double="def double(x): return 0")).result.score == 6


def test_a_failing_added_cell_costs_nothing(graded):
    """An added cell that fails keeps the student's own output."""
    given = with_cell(2, "1 / 0")
    given.cells[2].outputs = [nbformat.v4.new_output("stream", text="my own output")]
    found = graded(given)
    assert found.result.score == 6
    assert "my own output" in nbformat.writes(found.notebook)


def test_demonstrations_keep_the_students_outputs(graded):
    """By default a demonstration is not run again and says so; with `all` it is."""
    given = notebook(double=DOUBLE, quadruple=QUADRUPLE)
    given.cells[3].outputs = [nbformat.v4.new_output("stream", text="stored by the student")]
    kept, run = graded(given).notebook.cells[3], graded(given, execute="all").notebook.cells[3]
    assert "stored by the student" in str(kept.outputs)
    assert kept.metadata.course.not_rerun
    assert "demonstration 42" in str(run.outputs)


def test_a_component_that_leans_on_a_demonstration_is_run_with_it(graded):
    """A name that only a demonstration defines is there when the submission is run in full."""
    result = graded(
        notebook(
            double="def double(x):\n    return 2 * x", quadruple="def quadruple(x):\n    return from_demo * double(x)"
        )
    ).result
    assert (result.score, result.execute) == (6, "all")


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        "[]",
        json.dumps({"cells": []}),
        nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])),
    ],
)
def test_what_is_no_submission_gets_a_result_with_every_cell(graded, broken):
    """Not JSON, no notebook, another notebook: could-not-run, one line, and all cells present at 0."""
    result = graded(broken).result
    assert (result.status, result.score, result.max_score) == ("could-not-run", 0, 6)
    assert result.error
    assert "\n" not in result.error
    assert set(result.cells) == {"double-tests", "quadruple-tests"}
    assert all(sum(t.points for t in c.tests) == c.max_score for c in result.cells.values())


def test_results_survive_their_file(graded, tmp_path):
    """What is written is what is read."""
    result = graded(notebook(double=DOUBLE)).result
    result.write(tmp_path / "one.json")
    assert Result.from_json((tmp_path / "one.json").read_text()) == result


def test_experiments_keep_the_students_outputs(graded, toy_course):
    """A cell tagged as an experiment is kept as the student ran it: its figures are what the marker reads."""
    release = toy_course / "release" / "toy" / "toy.ipynb"
    before = release.read_text()
    changed = nbformat.reads(before, 4)
    changed.cells[3].metadata.tags = ["experiment"]
    release.write_text(nbformat.writes(changed))
    try:
        given = notebook(double=DOUBLE, quadruple=QUADRUPLE)
        given.cells[3].outputs = [nbformat.v4.new_output("stream", text="measured by the student")]
        kept = graded(given).notebook.cells[3]
    finally:
        release.write_text(before)
    assert "measured by the student" in str(kept.outputs)
    assert kept.metadata.course.not_rerun


def test_what_else_is_installed_has_no_say(graded, tmp_path, monkeypatch):
    """A plugin of pytest that lies about in the environment is not even imported."""
    (tmp_path / "lying_about.py").write_text("raise SystemExit('imported')")
    (tmp_path / "lying_about-1.0.dist-info").mkdir()
    (tmp_path / "lying_about-1.0.dist-info" / "METADATA").write_text("Name: lying-about\nVersion: 1.0\n")
    (tmp_path / "lying_about-1.0.dist-info" / "entry_points.txt").write_text("[pytest11]\nlies = lying_about\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert graded(notebook(double=DOUBLE, quadruple=QUADRUPLE)).result.score == 6


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ({"double": 4}, "double are worth 3 points and its test cell 4"),
        ({"quadruple": 2.5}, "quadruple are worth 3 points and its test cell 2.5"),
        ({"double": 2, "quadruple": 4}, "double are worth 3 points and its test cell 2"),
    ],
)
def test_hidden_tests_are_worth_what_the_release_says_or_nothing_is_graded(graded, toy_course, points, says):
    """Too many, too few, or as many in all: no result says other points than the notebook that students have."""
    declare(toy_course, **points)
    try:
        with pytest.raises(GraderFault, match=f"the hidden tests of {says}"):
            graded(notebook(double=DOUBLE, quadruple=QUADRUPLE))
    finally:
        declare(toy_course, double=3, quadruple=3)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("test_lost", lambda text: text[: text.index("@pytest.mark.points(3")], "quadruple are worth 0 points and its"),
        ("test_no_import", lambda text: f"{text}\nimport no_such_module\n", "no_such_module"),
        ("test_no_such_cell", lambda text: text.replace('cell="quadruple"', 'cell="triple"'), "triple"),
    ],
)
def test_a_component_whose_hidden_tests_are_lost_is_no_zero(graded, toy, tmp_path, name, change, says):
    """Gone, not to be imported, or of a cell that there is not: grading stops."""
    module = toy.graders / "test_toy.py"
    changed = toy.graders / f"{name}.py"  # a name of its own, since a process imports a module once
    changed.write_text(change(module.read_text()))
    module.rename(tmp_path / "kept.py")
    try:
        with pytest.raises((GraderFault, KeyboardInterrupt)) as caught:  # the latter would end the tests, too
            graded(notebook(double=DOUBLE, quadruple=QUADRUPLE))
        assert caught.type is GraderFault and says in str(caught.value)
    finally:
        (tmp_path / "kept.py").rename(module)
        changed.unlink()
