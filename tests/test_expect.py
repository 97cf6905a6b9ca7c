"""autograder.testing.expect: what a grader's checks let through, and what their messages hold."""

import math

import pytest
import torch

from autograder.testing import expect
from autograder.testing.expect import Mistake
from autograder.worker.wire import Opaque

SYMPTOM, CAUSE = "The output is wrong.", "Look at the scaling."


def mistake(check, *args, **kwargs) -> Mistake:
    with pytest.raises(Mistake) as caught:
        check(*args, **kwargs)
    return caught.value


def test_message_puts_the_symptom_before_the_cause():
    """str() of a Mistake is symptom, cause, detail, in that order, and leaves out what is empty."""
    assert str(Mistake(SYMPTOM, CAUSE, "Yours is 3.")) == f"{SYMPTOM} {CAUSE} Yours is 3."
    assert str(Mistake(SYMPTOM)) == SYMPTOM


def test_that_raises_only_where_the_condition_fails():
    """`that` passes a true condition and raises the three texts otherwise."""
    expect.that(True, SYMPTOM)
    found = mistake(expect.that, False, SYMPTOM, CAUSE, "detail")
    assert (found.symptom, found.cause, found.detail) == (SYMPTOM, CAUSE, "detail")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_tensor_takes_any_floating_dtype(dtype):
    """Without a dtype every floating dtype will do, and the tensor comes back as it is."""
    value = torch.zeros(2, 3, dtype=dtype)
    assert expect.tensor(value, (2, 3)) is value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not a tensor"),
        ([1.0], "not a tensor"),
        (Opaque("Linear"), "not a tensor"),
        (torch.zeros(3, 2), "wrong shape"),
        (torch.zeros(2, 3, 1), "wrong shape"),
        (torch.zeros(2, 3, dtype=torch.int64), "floating-point"),
        (torch.full((2, 3), math.nan), "NaN"),
        (torch.full((2, 3), -math.inf), "infinity"),
    ],
)
def test_tensor_refuses(value, words):
    """Anything but a finite floating tensor of that shape is refused, and the symptom names it."""
    found = mistake(expect.tensor, value, (2, 3), what="the weights")
    assert words in found.symptom
    assert found.symptom.startswith("The weights")


def test_tensor_checks_a_dtype_that_is_given():
    """A dtype that is given must be that one."""
    expect.tensor(torch.zeros(2, dtype=torch.int64), (2,), torch.int64)
    assert "dtype" in mistake(expect.tensor, torch.zeros(2), (2,), torch.int64).symptom


def test_shapes_and_numbers_of_the_student_stand_in_the_detail_only():
    """Symptom and cause are shown for hidden inputs, so what depends on the student's values stays out of them."""
    found = mistake(expect.tensor, torch.zeros(7, 13), (2, 3))
    assert "13" in found.detail
    assert "13" not in found.symptom + found.cause
    found = mistake(expect.close, torch.tensor([0.125, 8.5]), torch.tensor([0.125, 77.0]), SYMPTOM, CAUSE)
    assert (found.symptom, found.cause) == (SYMPTOM, CAUSE)
    assert "8.5" in found.detail


def test_close_never_tells_the_expected_value():
    """The detail shows where and what the student's value is, not what it should be."""
    found = mistake(expect.close, torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4321.0]), SYMPTOM)
    assert "4321" not in str(found)
    assert "[1]" in found.detail


@pytest.mark.parametrize(
    ("value", "expected"),
    [(torch.ones(2), torch.ones(2).double()), (1.0, torch.tensor(1.0)), ([1, 2.0], [1.00001, 2.0]), (0.0, 1e-6)],
)
def test_close_takes_tensors_numbers_and_lists(value, expected):
    """Values within tolerance pass whatever form they have."""
    expect.close(value, expected, SYMPTOM)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (torch.ones(2), torch.tensor([1.0, 1.001])),
        (torch.ones(2), torch.ones(3)),
        (torch.ones(1, 2), torch.ones(2)),
        (torch.tensor([math.nan]), torch.tensor([math.nan])),
        (None, 1.0),
        ("1", [1.0]),
        ([1.0, None], [1.0, 2.0]),
        (Opaque("Tensor"), torch.ones(1)),
    ],
)
def test_close_refuses(value, expected):
    """Values apart, shapes that only broadcast, NaN and what is no number are refused."""
    mistake(expect.close, value, expected, SYMPTOM)


@pytest.mark.parametrize(
    ("value", "expected"), [([1, 2], [1, 3]), ([1, 2], (1, 2)), ("1", 1), (None, []), ({"a": 1}, {"a": 2}), (1.0, 1)]
)
def test_equal_is_strict_about_values_and_types(value, expected):
    """`equal` compares values and the outer type."""
    expect.equal(expected, expected, SYMPTOM)
    mistake(expect.equal, value, expected, SYMPTOM)


@pytest.mark.parametrize("value", [None, torch.zeros(2, 3), (1,), (1, 2, 3), Opaque("ModelOutput")])
def test_parts_refuses_what_cannot_be_unpacked(value):
    """Only a tuple or list of that many things passes."""
    assert expect.parts([1, 2], 2, "(a, b)") == [1, 2]
    assert "(a, b)" in mistake(expect.parts, value, 2, "(a, b)").symptom


@pytest.mark.parametrize("expected", [[1.0, 2.0], torch.ones(2), 1.0])
def test_close_compares_shapes_before_it_converts(expected):
    """A tensor of another shape is refused before it becomes float64, which takes up to eight times its memory."""
    huge = torch.zeros(1, dtype=torch.uint8).expand(2**45)
    assert str(2**45) in mistake(expect.close, huge, expected, SYMPTOM).detail


def test_close_refuses_what_no_right_answer_is_as_large_as():
    """Where both sides are the student's own, neither is converted beyond a size that no right answer has."""
    huge = torch.zeros(1, dtype=torch.uint8).expand(2**45)
    mistake(expect.close, huge, huge, SYMPTOM)
    mistake(expect.close, torch.ones(2), huge, SYMPTOM)


@pytest.mark.parametrize(
    "value",
    [1, 1.5, True, None, "text", "it's", [], (), {}, (1,), [1, "a"], (1, (2,)), {"a": [1, None]}, {1: {2: (3,)}}, [[]]],
)
def test_described_is_what_python_shows(value):
    """Small plain values are told as Python shows them."""
    assert expect.described(value) == repr(value)


def test_described_looks_at_the_beginning_only(monkeypatch):
    """Lists of a million parts, and tensors in lists, cost no more than the words that are shown."""
    monkeypatch.setattr(torch.Tensor, "__repr__", lambda _: pytest.fail("a tensor's values are formatted"))
    found = expect.described([torch.zeros(1000)] * 10**6)
    assert found.startswith("a list with 1000000 entries, [a tensor of shape (1000,)")
    assert len(found) < 300
    nested = expect.described({"a": ([torch.zeros(2)] * 10**6, "x" * 10**7)}, 60)
    assert len(nested) < 120


def test_described_is_short():
    """A student's value of any size is told in a few words."""
    described = expect.described(list(range(10**5)))
    assert len(described) < 300
    assert "100000 entries" in described
    assert "(2, 3)" in expect.described(torch.zeros(2, 3))
    assert expect.described(None) == "None"
    assert "Widget" in expect.described(Opaque("Widget"))
