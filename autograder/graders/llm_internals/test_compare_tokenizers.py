"""compare_tokenizers: one row for each tokenizer and text; each test looks at its own column only."""

import pytest

from autograder.testing import expect

CELL = "compare-tokenizers"
NAME = "compare_tokenizers"
UNKNOWN = ("[UNK]", "<unk>", "<UNK>")
NOT_UNKNOWN = ("UNK", "unk", "[unk]", "<Unk>", "a<unk>", "[UNK]s", "[CLS]", "<|unk|>", "?", "")


def rows_of(student, answers, texts, *columns):
    """The values of `columns` by tokenizer and text."""
    tokenizers = student.drive("look_up", answers=answers)
    found = student.drive("frame", name=NAME, arguments=[tokenizers, texts])
    expect.that(isinstance(found, dict), "compare_tokenizers does not return a pandas DataFrame.", "", str(found))
    for column in ("tokenizer", "text", *columns):
        expect.that(
            column in found,
            f"The column {column} is missing.",
            "The columns are tokenizer, text, tokens, characters_per_token and unknown.",
            f"Yours are {expect.described(list(found))}.",
        )
    pairs = list(zip(found["tokenizer"], found["text"], strict=True))
    expect.that(
        all(type(one) is str for pair in pairs for one in pair)
        and sorted(pairs) == sorted((name, text) for name in answers for text in texts),
        "The table does not have one row for each tokenizer and text.",
        "Its columns tokenizer and text hold the name as in the dict and the text as in the list.",
        f"Yours are {expect.described(pairs, 400)}.",
    )
    return dict(zip(pairs, zip(*(found[c] for c in columns), strict=True), strict=True)) if columns else {}


def check(student, answers, texts, column, value, symptom, cause):
    """`value` gives what `column` should hold, from a text and its tokens."""
    for (name, text), (found,) in rows_of(student, answers, texts, column).items():
        expect.that(isinstance(found, int | float), f"The column {column} does not hold numbers.", cause)
        expect.close(
            found,
            value(text, answers[name][text]),
            symptom,
            cause,
            detail=f"For {text!r}, cut into {answers[name][text]}, it is {expect.described(found)}.",
        )


def cut(draw, text, longest):
    """A text in pieces of one to `longest` characters."""
    pieces, rest = [], text
    while rest:
        length = draw.integer(1, longest + 1)
        pieces.append(rest[:length])
        rest = rest[length:]
    return pieces


def drawn(draw):
    """Texts, and what three tokenizers make of them."""
    texts = [" ".join(draw.words(n)) for n in (2, 5, 9)] + [f"{draw.words(1)[0]}, naïve 東京!"]
    texts.append(f"\n  {draw.words(1)[0]} {draw.words(1)[0]}   ")  # white space at the ends counts, too
    return {
        "words": {t: t.split() for t in texts},
        "pieces": {t: cut(draw, t, 4) for t in texts},
        "characters": {t: list(t) for t in texts},
    }, texts


@pytest.mark.points(0.1, cell=CELL, role="value")
def test_row_for_each_tokenizer_and_text(student, draw):
    """One row for each tokenizer and text"""
    answers, texts = drawn(draw)
    rows_of(student, answers, texts, "tokens", "characters_per_token", "unknown")
    rows_of(student, {"words": answers["words"]}, texts[:1], "tokens")


@pytest.mark.points(0.1, cell=CELL, role="value")
def test_number_of_tokens(student, draw):
    """tokens is the number of tokens"""
    answers, texts = drawn(draw)
    symptom, cause = "tokens is not the number of tokens.", "Each tokenizer is a function from a text to its tokens."
    check(student, answers, texts, "tokens", lambda text, tokens: len(tokens), symptom, cause)


@pytest.mark.points(0.1, cell=CELL, role="value")
def test_characters_per_token(student, draw):
    """characters_per_token is the length of the text by the number of tokens"""
    answers, texts = drawn(draw)
    answers["bert"] = {t: ["[CLS]", *tokens, "[SEP]"] for t, tokens in answers["words"].items()}
    check(
        student,
        answers,
        texts,
        "characters_per_token",
        lambda text, tokens: len(text) / len(tokens),
        "characters_per_token is wrong.",
        "Divide the number of characters of the text, spaces included, by the number of tokens.",
    )


@pytest.mark.points(0.1, cell=CELL, role="property")
def test_text_without_tokens(student, draw):
    """A text without tokens gets 0 characters per token"""
    some = draw.words(3)
    texts = ["", "   ", some[0], " ".join(some)]
    answers = {"none": {t: [] for t in texts}, "words": {t: t.split() for t in texts}}
    check(
        student,
        answers,
        texts,
        "characters_per_token",
        lambda text, tokens: len(text) / len(tokens) if tokens else 0,
        "Where a tokenizer gives no tokens, characters_per_token is not 0.",
        "Nothing can be divided by no tokens: give 0 there, and the quotient everywhere else.",
    )
    symptom = "Where a tokenizer gives no tokens, tokens is not 0."
    check(student, answers, texts, "tokens", lambda text, tokens: len(tokens), symptom, "An empty list has no tokens.")


@pytest.mark.points(0.1, cell=CELL)
def test_unknown_tokens(student, draw):
    """unknown counts the tokens [UNK], <unk> and <UNK>"""
    texts = draw.words(6)
    answers = {name: {} for name in ("one", "two", "three")}
    for name in answers:
        for text in texts:
            tokens = [draw.choice((*UNKNOWN, *UNKNOWN, *NOT_UNKNOWN, *draw.words(4))) for _ in range(12)]
            answers[name][text] = [*tokens, *UNKNOWN]
    answers["none"] = {t: [*NOT_UNKNOWN, t] for t in texts}
    check(
        student,
        answers,
        texts,
        "unknown",
        lambda text, tokens: sum(t in UNKNOWN for t in tokens),
        "unknown is not the number of unknown tokens.",
        "Count the tokens that are exactly [UNK], <unk> or <UNK>.",
    )
