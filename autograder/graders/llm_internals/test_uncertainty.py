"""entropy and effective_vocabulary of known and of random distributions."""

import math

import pytest
import torch

from autograder.testing import expect

CELL = "uncertainty"


def distribution(draw, size, scale=1.5):
    return torch.softmax(draw.normal(size, scale=scale), dim=-1)


def with_zeros(draw, size, zeros):
    p = torch.zeros(size)
    p[draw.permutation(size)[: size - zeros]] = distribution(draw, size - zeros)
    return p


def check(student, name, p, expected, symptom, cause):
    found = student.call(name, p)
    expect.that(
        isinstance(found, int | float) and not isinstance(found, bool),
        f"{name} does not return a float.",
        "A number taken out of a tensor is a tensor until it is converted.",
        f"It is {expect.described(found)}.",
    )
    expect.close(found, expected, symptom, cause, atol=1e-4, rtol=1e-4)


def nats(p):
    return -sum(x * math.log(x) for x in p.tolist() if x > 0)


@pytest.mark.points(0.1, cell=CELL, role="value")
def test_entropy(student, draw):
    """entropy is that of the distribution, in nats"""
    symptom = "entropy is wrong."
    cause = "It is minus the sum of p log p over the vocabulary, with the natural logarithm."
    for size in (2, 7, 50, 3000):
        check(student, "entropy", torch.full((size,), 1 / size), math.log(size), symptom, cause)
        for scale in (0.5, 2.0):
            p = distribution(draw, size, scale)
            check(student, "entropy", p, nats(p), symptom, cause)


@pytest.mark.points(0.1, cell=CELL)
def test_entropy_of_zeros(student, draw):
    """A probability of zero counts as 0 in the entropy"""
    one_hot = torch.zeros(9)
    one_hot[draw.integer(0, 9)] = 1
    for p in (with_zeros(draw, 12, 4), with_zeros(draw, 500, 490), one_hot):
        check(
            student,
            "entropy",
            p,
            nats(p),
            "Where some probabilities are zero, entropy is wrong.",
            "The logarithm of 0 is minus infinity, and 0 times infinity is not a number: a zero contributes nothing.",
        )
        expect.that(
            torch.equal(student.drive("argument_after", name="entropy", argument=p), p),
            "entropy changes the probabilities that it is given.",
            "Methods that end in an underscore, and assignments to a part, write into the tensor of the caller.",
        )


@pytest.mark.points(0.1, cell=CELL)
def test_effective_vocabulary(student, draw):
    """effective_vocabulary is one over the sum of the squared probabilities"""
    one_hot = torch.zeros(8)
    one_hot[draw.integer(0, 8)] = 1
    some = [distribution(draw, size, scale) for size in (3, 40, 900) for scale in (0.5, 2.0)]
    for p in (*some, with_zeros(draw, 20, 9), one_hot, torch.full((64,), 1 / 64)):
        check(
            student,
            "effective_vocabulary",
            p,
            1 / sum(x * x for x in p.tolist()),
            "effective_vocabulary is wrong.",
            "For n equally probable tokens it is n, for a certain one it is 1.",
        )
