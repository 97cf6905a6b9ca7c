"""What pages share is made once, what is long or old is made again, and nothing is mixed up."""

from autograder.feedback import render_cache as module
from autograder.feedback.render_cache import remembered
from autograder.feedback.rendered_page import _highlight


def counted():
    made = []

    @remembered
    def doubled(text, suffix=""):
        made.append(text)
        return 2 * text + suffix

    return doubled, made


def test_a_text_is_made_once():
    """And each with its own arguments."""
    doubled, made = counted()
    assert [doubled("a"), doubled("b"), doubled("a"), doubled("a", "!")] == ["aa", "bb", "aa", "aa!"]
    assert made == ["a", "b", "a"]


def test_long_and_old_texts_are_let_go(monkeypatch):
    """What a hostile notebook fills it with is bounded; what is asked for again and again stays."""
    monkeypatch.setattr(module, "MOST", 3)
    doubled, made = counted()
    for number in range(10):
        doubled("course")
        doubled(f"student {number}")
        doubled("x" * module.CHARACTERS)
    assert made.count("course") == 1 and made.count("x" * module.CHARACTERS) == 10
    doubled("student 0")
    doubled("student 9")
    assert made.count("student 0") == 2 and made.count("student 9") == 1


def test_the_language_of_a_cell_counts():
    """The same text as Python and as HTML looks different."""
    assert _highlight("<b>1</b>", {}) != _highlight("<b>1</b>", {"magics_language": "html"})
    assert _highlight("x = 1", {}) == _highlight("x = 1", {}) and "x = 1" not in _highlight("x = 1", {})
