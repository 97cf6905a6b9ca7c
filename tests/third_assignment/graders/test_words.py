"""Hidden tests of both cells."""

import pytest
from autograder.graders.word_counts.data_sets import word_rows

from autograder.testing import expect


def text_of(draw):
    """A text of hidden rows, of public ones where the draw is public."""
    seed = draw.hidden_seed("word_rows")
    examples = word_rows.public().validation if seed is None else word_rows.hidden(seed)
    return draw.choice([example.text for example in examples])


@pytest.mark.points(2, cell="count-words", role="value")
def test_words_are_counted(student, reference, draw):
    """Each word of a text is counted"""
    text = f"{text_of(draw)} zum zum"
    expected = reference.call("count_words", text)
    expect.equal(
        student.call("count_words", text), expected, "The counts are wrong.", "Look at a word that occurs twice."
    )


@pytest.mark.points(1, cell="most-frequent", role="value")
def test_most_frequent_word(student, reference, draw):
    """The most frequent word is found, the first in the alphabet where several are"""
    for text in (text_of(draw), "b a", "b b a"):
        expected = reference.call("most_frequent", text)
        expect.equal(
            student.call("most_frequent", text), expected, "The word is wrong.", "What decides between equals?"
        )
