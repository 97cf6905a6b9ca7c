"""One hidden test again, for the instructor: the grading's own inputs, found, expected, and the verdict."""

import math
from pathlib import Path

import jupytext
import nbformat
import pytest
import torch
from typer.testing import CliRunner

from autograder.cli import app
from autograder.commands.explain import _recorded, _submission
from autograder.course.assignment import Assignment
from autograder.course.course import VARIABLE
from autograder.datasets.secret import derive
from autograder.diagnosis.sketch import Failure
from autograder.grading.grade import grade_notebook
from autograder.reporting.explained import WARNING
from autograder.reporting.rerun import Replayed, replay_test
from autograder.reporting.values import difference, shown
from autograder.testing.draw import Draw
from autograder.worker.wire import Handle, Opaque
from tests.toy_course import DOUBLE, QUADRUPLE, declare, lay_out, notebook, toy_in

LAYER = """
class Double(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((size,), 2.0))

    def forward(self, x):
        return self.weight * x
"""
MORE = '''"""More hidden tests of the toy assignment."""

import pytest

from autograder.testing import expect


@pytest.mark.points(1, cell="double")
@pytest.mark.parametrize("size", [2, 3])
def test_layer(student, reference, draw, size):
    """A layer doubles, too."""
    made, right = (subject.build("Double", size) for subject in (student, reference))
    expect.close(made.attribute("weight"), right.attribute("weight"), "The weight is wrong.")
    x = draw.normal(size)
    expect.close(made.forward(x), right.forward(x), "The layer is wrong.", "Which factor?", detail="Look here.")


@pytest.mark.points(1, cell="quadruple")
def test_quadruple_values_of_zero(student):
    """Its name begins as another one's."""
    expect.close(student.call("quadruple", 0), 0, "Zero is not zero.")
'''


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tier: str) -> Path:
    """The toy course with a layer and a parametrised test, and a secret of its own."""
    lay_out(tmp_path)
    toy = toy_in(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setenv("COURSE_SECRET_FILE", str(tmp_path / ".course-secret"))
    jupytext.write(
        notebook(double=DOUBLE + LAYER, quadruple=QUADRUPLE), toy.source.with_suffix(".py"), fmt="py:percent"
    )
    (toy.graders / "test_more.py").write_text(MORE)
    declare(tmp_path, double=5, quadruple=4)
    return tmp_path


def submit(course: Path, student: str, *, graded: bool = True, **answers: str) -> None:
    path = course / "submitted" / student / "toy" / "toy.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook(**answers), path)
    derive(course, "toy")  # makes the secret, as set-up does
    if graded:
        result = grade_notebook(path, toy_in(course)).result
        result.write(course / "results" / "toy" / f"{student}.json")


def replayed_for(student: str, test: str, assignment: Assignment) -> Replayed:
    """What the command prints."""
    return replay_test(assignment, _submission(student, assignment), test, _recorded(assignment, student), "auto")


def told(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["explain", *arguments], env={"COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_the_inputs_are_those_of_the_grading(course):
    """Drawn from the course secret: not the public ones, and the same each time."""
    submit(course, "ben", double="def double(x):\n    return 3 * x")
    replayed = replayed_for("ben", "test_double_values", toy_in(course))
    (step,) = replayed.steps
    hidden = Draw(f"toy/test_double_values/{derive(course, 'toy/test_double_values')}").normal(3)
    assert torch.equal(step.fields["args"][0], hidden)
    assert not torch.equal(step.fields["args"][0], Draw("toy/test_double_values").normal(3))
    assert torch.allclose(step.found, 3 * hidden) and torch.allclose(step.expected, 2 * hidden)


def test_it_says_what_was_asked_found_and_expected_and_for_whom(course):
    """The warning first, then the record, the request, both answers, and the message of now."""
    submit(course, "ben", double="def double(x):\n    return 3 * x")
    code, said = told("ben", "double_values", "--assignment", "toy")
    assert code == 0
    order = [
        WARNING[:60], "ben, toy, test_double_values", "Values are doubled. (2 points, cell double)",
        "failed, 0 of 2. Here and now, by itself, it fails.", "The student read: The value is wrong.",
        "1. call double", "input 1: float32 (3,)", "found: float32 (3,)", "expected: float32 (3,)",
        "difference: 3 of 3 numbers differ", "Failed: The value is wrong. Which factor? Yours:",
    ]  # fmt: skip
    places = [said.index(text) for text in order]
    assert places == sorted(places)


def test_a_test_that_passes_is_shown_too(course):
    """For the student who asks what was tested."""
    submit(course, "ada", double=DOUBLE + LAYER, quadruple=QUADRUPLE)
    _, said = told("ada", "test_quadruple_values")
    assert "passed, 3 of 3. Here and now, by itself, it passes." in said
    assert "found, as expected: float32 (3,)" in said and said.rstrip().endswith("Passed.")


@pytest.mark.parametrize("size", [2, 3])
def test_parametrised_tests_and_objects_are_replayed(course, size):
    """Each of a test's cases by its full name; objects are named where they are used."""
    submit(course, "ben", double=DOUBLE + LAYER.replace("2.0", "5.0"))
    code, said = told("ben", f"test_layer[{size}]")
    assert code == 0
    assert "1. build Double" in said and f"input 1: {size}" in said
    assert "2. attribute weight of Double (object 0)" in said
    assert f"expected: float32 ({size},) [{' '.join('2' * size)}]" in said
    assert "Failed: The weight is wrong." in said


def test_an_error_of_the_students_is_shown_with_its_place(course):
    """And without the terminal's escapes that its text may hold."""
    submit(course, "ben", double="def double(x):\n    raise ValueError('\\x1b[31mno \\x1b]0;title\\x07way')")
    _, said = told("ben", "double_values")
    assert "no value: ValueError: no way" in said and "raised ValueError in double:2: no way" in said
    assert "\x1b" not in said and "\x07" not in said


def test_a_component_that_is_not_there_says_why(course):
    """Its cell ended with an error of its own."""
    submit(course, "ben", double="def double(x) return x")
    _, said = told("ben", "double_values")
    assert "The cell double ended with SyntaxError" in said


def test_a_submission_without_a_result_is_replayed(course):
    """Before the class is graded, or with the result gone."""
    submit(course, "ada", graded=False, double=DOUBLE)
    assert "Not graded yet" in told("ada", "double_is_odd")[1]


def test_upstream_marks_of_the_grading_are_known_to_the_test(course):
    """Tests that look at them see those of the record, though they run alone."""
    body = "    assert student.upstream_full() == (student.call('quadruple', 1) == 4)\n"
    declare(course, double=5, quadruple=5)
    (toy_in(course).graders / "test_full.py").write_text(
        f"import pytest\n\n\n@pytest.mark.points(1, cell='quadruple')\ndef test_full(student):\n{body}"
    )
    submit(course, "ben", double="def double(x):\n    return 3 * x", quadruple=QUADRUPLE)
    assert replayed_for("ben", "test_full", toy_in(course)).finding.passed


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nobody", "double_values"), "no submission of nobody"),
        (("ada", "double_values", "--assignment", "toys"), "no assignment 'toys'"),
        (("ada", "nonsense"), "no hidden test of toy is called like 'nonsense'"),
        (("ada", "double"), "may be any of: test_double_values, test_double_is_odd"),
        (("ada", "test_layer"), "test_layer[2], test_layer[3]"),
        (("../ada", "double_values"), "no submission"),
    ],
)
def test_wrong_usage_is_one_line(course, arguments, reason):
    """Exit code 2, and what there is to choose from."""
    submit(course, "ada", graded=False, double=DOUBLE)
    code, said = told(*arguments)
    assert code == 2 and reason in said and said.count("\n") == 1


def test_without_the_secret_nothing_is_made_up(course):
    """A new secret would draw other inputs than the grading had."""
    submit(course, "ada", graded=False, double=DOUBLE)
    (course / ".course-secret").unlink()
    code, said = told("ada", "double_values")
    assert code == 2 and "without the course secret" in said
    assert not (course / ".course-secret").exists()


def test_a_file_that_is_no_notebook_is_one_line(course):
    """There is nothing to run."""
    submit(course, "ada", graded=False, double=DOUBLE)
    (course / "submitted" / "ada" / "toy" / "toy.ipynb").write_text("{")
    code, said = told("ada", "double_values")
    assert code == 2 and "cannot be run: not a notebook" in said


X = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("found", "expected", "says"),
    [
        (X, X + 1e-7, ""),
        (X, X + torch.tensor([0, 0, 2.0]), "2 of 6 numbers differ, most at [0, 2]: 2, not 4"),
        (X, X.reshape(3, 2), "shape (2, 3), not (3, 2)"),
        (X, X.double(), "dtype torch.float32, not torch.float64"),
        (X.masked_fill(X == 4, math.nan), X, "1 of 6 numbers differ, most at [1, 1]: nan, not 4"),
        (torch.tensor(1.0), torch.tensor(2.0), "1, not 2"),
        ((X, 1), (X, 2), "1, not 2 in [1]"),
        ([1], (1,), "list of 1, not tuple of 1"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "1, not 2 in a.b"),
        ({"a": 1}, {"b": 1}, "other names: a, b"),
        (1, 1.0, ""),
        (True, 1, "True, not 1"),
        ("x", "y", "'x', not 'y'"),
        (Failure("ValueError"), 1, "one gives a value, the other does not"),
        (Failure("ValueError", "one text"), Failure("ValueError", "another"), ""),
        (Handle(1), Handle(7), ""),
    ],
)
def test_differences_are_told_in_a_few_words(found, expected, says):
    """Where, how many, and by how much; what agrees as graders compare is no difference."""
    assert difference(found, expected) == says


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (torch.tensor(2), ["int64 () 2"]),
        (torch.tensor([True, False]), ["bool (2,) [True False]"]),
        (X, ["float32 (2, 3)", "  0 1 2", "  3 4 5"]),
        (torch.zeros(0, 3), ["float32 (0, 3), empty"]),
        (torch.arange(1000.0), ["float32 (1000,): 0 to 999, mean 499.5; begins 0, 1, 2, 3, 4, 5, 6, 7"]),
        ([1, "a", None], ["[1, 'a', None]"]),
        ({"k": 0.1234567}, ["{k: 0.123457}"]),
        ((X[0], 1), ["tuple of 2", "  0: float32 (3,) [0 1 2]", "  1: 1"]),
        (Opaque("module"), ["<module>"]),
        (list(range(500)), ["list of 500", *(f"  {i}: {i}" for i in range(40)), "  ... and 460 more"]),
    ],
)
def test_values_are_shown_in_full_where_they_are_small(value, lines):
    """Shapes and types always; of large tensors their spread and first numbers."""
    assert shown(value).splitlines() == lines
