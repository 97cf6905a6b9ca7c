"""token_ids_in_context: the ids of the tokens that overlap a word, wherever it stands."""

import pytest

from autograder.graders.llm_internals.real_model import real_model
from autograder.graders.llm_internals.tiny_tokenizers import TEXTS, WORDS, byte_level, word_piece
from autograder.testing import expect

CELL = "token-contexts"
NAME = "token_ids_in_context"


def overlapping(tokenizer, word, template):
    start = template.index("{}")
    encoded = tokenizer(template.replace("{}", word), return_offsets_mapping=True)
    pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    return [i for i, (a, b) in pairs if a < b and a < start + len(word) and b > start]


def check(student, handle, tokenizer, word, templates, symptom, cause):
    found = student.call(NAME, handle, word, templates)
    expect.that(isinstance(found, dict), "token_ids_in_context does not return a dict.", "Look at the return line.")
    expect.that(
        set(found) == set(templates),
        "The keys of the result are not the templates.",
        "The key is the template as it was given, with its {}.",
        f"The keys are {expect.described(list(found))}.",
    )
    for template in templates:
        ids = whole_numbers(found[template])
        expect.that(
            ids is not None,
            "The ids of a template are not a list of int.",
            "",
            f"They are {expect.described(found[template])}.",
        )
        expect.equal(
            ids,
            overlapping(tokenizer, word, template),
            symptom,
            cause,
            f"For {word!r} in {template!r}: {expect.described(ids)}.",
        )


def whole_numbers(value):
    """`value` as a list of int, if it is a list of whole numbers."""
    if not isinstance(value, list | tuple):
        return None
    plain = [v.item() if hasattr(v, "item") and getattr(v, "ndim", 1) == 0 else v for v in value]
    return plain if all(type(v) is int for v in plain) else None


def cases(draw, student):
    """A few tokenizers of different kinds, each here and beside the student's code."""
    texts = [" ".join(draw.shuffled(WORDS)), *TEXTS]
    for train, options in ((byte_level, {"trim": True}), (byte_level, {"trim": False}), (word_piece, {})):
        made = train(texts, draw.choice((320, 340, 360)), **options)
        yield made.tokenizer, made.in_worker(student)


@pytest.mark.points(0.2, cell=CELL, role="value")
def test_ids_by_position(student, draw):
    """The ids of the word at the start, in the middle, at the end and beside punctuation"""
    for tokenizer, handle in cases(draw, student):
        a, b, c, *words = draw.shuffled([w for w in WORDS if w.isascii() and len(w) > 2])
        templates = [
            f"{{}} {a} {b}", f"The {a} {{}} {b} {c}.", f"{a} {b} {{}}", f"{c}, ({{}}) {a}", f'"{{}}" {b}!',
            f"{a}: {{}}, {b}?", f"  {c}  {{}}  {a}", "{}",
        ]  # fmt: skip
        for word in (words[0], words[1].capitalize(), words[2], draw.words(1)[0]):
            check(
                student,
                handle,
                tokenizer,
                word,
                draw.shuffled(templates),
                "The ids are not those of the tokens that overlap the word.",
                "Tokenize the whole sentence and compare each token's offsets with the word's place in it: the same "
                "word gets other ids at the start of a text, after a space and after a mark.",
            )
    if (real := real_model()) and real.tokenizer.is_fast:  # others know no offsets
        word, other = draw.shuffled([w for w in WORDS if w.isascii() and len(w) > 3])[:2]
        check(
            student,
            real.tokenizer_in_worker(student),
            real.tokenizer,
            word,
            [f"I saw the {{}} near the {other}.", f"Each {other} has its {{}}, they said."],
            "With the tokenizer of the notebook's model the ids are not those of the tokens that overlap the word.",
            "Tokenize the whole sentence and compare each token's offsets with the word's place in it.",
        )


@pytest.mark.points(0.1, cell=CELL)
def test_word_elsewhere_in_template(student, draw):
    """Where the template itself contains the word, only the place of {} counts"""
    for tokenizer, handle in cases(draw, student):
        word, a, b = draw.shuffled([w for w in WORDS if w.isascii() and len(w) > 3])[:3]
        templates = [
            f"{word} {a} ({{}}) {b}", f"({{}}) {a} {word}", f"{a}{word} {word} {{}}s, {word}",
            f"{word.upper()} {{}} {a}", f"{word}. {{}}",
        ]  # fmt: skip
        check(
            student,
            handle,
            tokenizer,
            word,
            draw.shuffled(templates),
            "Where the rest of the template contains the word too, the ids are not those at the place of {}.",
            "The place of the word follows from the place of {} in the template, not from a search for the word.",
        )


@pytest.mark.points(0.1, cell=CELL)
def test_all_tokens_of_a_word(student, draw):
    """A word of several tokens gives all of them, in order, also where tokens reach beyond it"""
    for tokenizer, handle in cases(draw, student):
        a, b = draw.shuffled([w for w in WORDS if w.isascii() and len(w) > 3])[:2]
        syllable = draw.words(1)[0][:2]
        foreign = draw.choice(("Zoë", "café", "Straße", "naïve", "é"))
        for word in (syllable * 4, f"{a}{b}", foreign, draw.choice(("東京", "Ελλάδα", "日本")), "10-20", "3.14"):
            check(
                student,
                handle,
                tokenizer,
                word,
                [f"The {{}} {a}.", f"{b} {{}}", f"{{}}{a} {b}", f"{a}{{}}ing", f"un{{}}ed {b}"],
                "A word of several tokens does not get all its tokens, in order.",
                "Each token that shares a character with the word counts, as often as it occurs: also one of several "
                "tokens of the same character, and one that begins before the word or ends after it.",
            )
