"""tokenization_table: rows, ids, pieces, and a text column that joins to the decoded text.

Each test looks at its own columns only, so that one mistake costs one test.
"""

import pytest

from autograder.graders.llm_internals.real_model import real_model
from autograder.graders.llm_internals.tiny_tokenizers import TEXTS, WORDS, byte_fallback, byte_level, word_piece
from autograder.testing import expect

CELL = "tokenization-table"
NAME = "tokenization_table"
SCRIPTS = ("東京は大きい", "😀👍🏽", "Привет, мир", "naïve café", "नमस्ते", "½ € ™", "Ünïcödé")


def table(student, handle, text, tokenizer, *columns):
    """The values of `columns`, each with one entry for each id."""
    found = student.drive("frame", name=NAME, arguments=[handle, text])
    expect.that(isinstance(found, dict), "tokenization_table does not return a pandas DataFrame.", "", str(found))
    ids = tokenizer(text)["input_ids"]
    for column in columns if ids else ():
        expect.that(
            column in found,
            f"The column {column} is missing.",
            "The columns are position, token_id, token and text.",
            f"Yours are {expect.described(list(found))}.",
        )
    for values in found.values():
        expect.that(
            len(values) == len(ids),
            "The table does not have one row for each id.",
            "Take the ids that tokenizer(text) gives: special tokens get rows too.",
            f"For {text!r} it has {len(values)} rows.",
        )
    return ids, *(found.get(column, []) for column in columns)


def check_text(student, handle, text, tokenizer, cause):
    ids, texts = table(student, handle, text, tokenizer, "text")
    expect.that(
        all(isinstance(t, str) for t in texts),
        "The text column does not hold text.",
        "Each entry is a str, if need be an empty one.",
    )
    expect.equal(
        "".join(texts),
        tokenizer.decode(ids),
        "The entries of the text column, joined, are not the decoded text.",
        cause,
        f"For {text!r} they are {expect.described(texts, 600)}.",
    )
    return ids, texts


def sentences(draw, count=3, words=WORDS):
    return [" ".join(draw.choice(words) for _ in range(6)).capitalize() + draw.choice(".?!") for _ in range(count)]


@pytest.mark.points(0.2, cell=CELL, role="value")
def test_table_rows(student, draw):
    """One row for each id, special tokens included, with position, token_id and token"""
    tokenizers = [train((*TEXTS, *sentences(draw))) for train in (byte_level, word_piece, byte_fallback)]
    cases = [(t.tokenizer, t.in_worker(student)) for t in tokenizers]
    if real := real_model():
        cases.append((real.tokenizer, real.tokenizer_in_worker(student)))
    for tokenizer, handle in cases:
        for text in (*sentences(draw, 2), draw.choice(SCRIPTS), draw.choice(TEXTS), ""):
            ids, positions, token_ids, tokens = table(student, handle, text, tokenizer, "position", "token_id", "token")
            expect.equal(token_ids, ids, "token_id does not hold the ids that tokenizer(text) gives.")
            expect.equal(positions, list(range(len(ids))), "position does not count the rows from 0.")
            expect.equal(
                tokens,
                tokenizer.convert_ids_to_tokens(ids),
                "token does not hold the vocabulary's own pieces.",
                "They are what the tokenizer stores (with marks for spaces and continuations), not decoded text.",
                f"For {text!r} it holds {expect.described(tokens)}.",
            )


@pytest.mark.points(0.1, cell=CELL)
def test_text_column(student, draw):
    """The text column joins to the decoded text, special tokens included"""
    made = byte_level([*TEXTS, *sentences(draw)])
    handle = made.in_worker(student)
    one, two, three = sentences(draw, words=[w for w in WORDS if w.isascii()])
    for text in (one, f"{two} {three}", f"  {one}  ({two})", f"{one}<|end|>{two}", TEXTS[0]):
        ids, texts = check_text(
            student, handle, text, made.tokenizer, "The special tokens of the text are kept, and so is every space."
        )
        expect.that(
            all(t.strip() == made.tokenizer.decode([i]).strip() for i, t in zip(ids, texts, strict=True)),
            "An entry of the text column is not the text of its own token.",
            "In English text, each token of a byte-level tokenizer stands for its own characters.",
            f"For {text!r} they are {expect.described(texts, 600)}.",
        )


@pytest.mark.points(0.1, cell=CELL)
def test_text_of_split_characters(student, draw):
    """The text column joins to the decoded text where a character is spread over several tokens"""
    for train in (byte_level, byte_fallback):
        made = train([draw.choice(TEXTS), *(s.encode("ascii", "ignore").decode() for s in sentences(draw))])
        handle = made.in_worker(student)
        some = draw.shuffled(SCRIPTS)
        for text in (*some[:4], f"{sentences(draw, 1)[0]} {some[4]}, {some[5]}!"):
            check_text(
                student,
                handle,
                text,
                made.tokenizer,
                "A token may hold only some bytes of a character. Decoding it alone gives a replacement character; the "
                "character appears where its last byte is there.",
            )


@pytest.mark.points(0.1, cell=CELL)
def test_text_of_word_pieces(student, draw):
    """The text column joins to the decoded text where decoding sets spaces or takes them away"""
    words = sentences(draw)
    made = word_piece([*TEXTS, *words])
    start = byte_fallback([*TEXTS, *words])
    cases = [made, made.with_options(clean_up_tokenization_spaces=True), start]
    for case in cases:
        handle = case.in_worker(student)
        for text in (*sentences(draw, 2), draw.choice(TEXTS[:3]), TEXTS[2], "don't we're I'm it's , well"):
            check_text(
                student,
                handle,
                text,
                case.tokenizer,
                "What a token adds to the decoded text depends on those before it: pieces that continue a word take "
                "no space, and some tokenizers remove the space before a mark. Compare the decoded text of the first "
                "n ids with that of all ids.",
            )
    if real := real_model():
        handle = real.tokenizer_in_worker(student)
        for text in (*sentences(draw, 1), draw.choice(SCRIPTS)):
            check_text(student, handle, text, real.tokenizer, "This is the tokenizer of the notebook's model.")
