"""SimpleTokenizer: cleaning, vocabulary, tokenizing, decoding.

Each test uses the student's own earlier steps (cleaned text, vocabulary), so that one mistake costs one test. What it
asks of them is that the words are there, each with an id of its own: from nothing, nothing follows.
"""

import re

import pytest

from autograder.testing import expect

CELL = "simple-tokenizer"
MARKS = '.,!?;:()"'
SPECIALS = {"<PAD>": 0, "<UNK>": 1, "<CLS>": 2}


def sentence(draw, words, n):
    return " ".join(draw.choice(words) for _ in range(n))


def vocabulary(tokenizer) -> dict[str, int]:
    vocab = tokenizer.attribute("vocab")
    expect.that(
        isinstance(vocab, dict) and all(type(k) is str and type(v) is int for k, v in vocab.items()),
        "vocab is not a dict from words to ids.",
        "Its keys are words (str), its values are ids (int).",
        f"It is {expect.described(vocab)}.",
    )
    return vocab


def built(student, texts, vocab_size=1000):
    tokenizer = student.build("SimpleTokenizer", vocab_size=vocab_size)
    tokenizer.method("build_vocab", texts)
    return tokenizer


def ids_of(tokenizer, words) -> dict[str, int]:
    """The student's own vocabulary, which must hold `words` (clean ones), each with an id of its own."""
    vocab = vocabulary(tokenizer)
    expect.that(
        len({vocab[word] for word in words if word in vocab}) == len(set(words)),
        "The words of the texts are not in the vocabulary, each with an id of its own.",
        "Look at what build_vocab leaves in vocab: what is tokenized or decoded goes by it.",
    )
    return vocab


def cleaned_words(tokenizer, text) -> list[str]:
    """The words of the text as the student cleans it; whatever happens to marks and case, its letters are there."""
    cleaned = tokenizer.method("clean_text", text)
    expect.that(
        isinstance(cleaned, str) and all(word in cleaned.lower() for word in re.findall("[a-z]+", text.lower())),
        "clean_text loses words of the text.",
        "Only marks, case and spaces may change.",
        f"It gives {expect.described(cleaned)}.",
    )
    return cleaned.split()


def check_vocabulary(tokenizer, reference, texts, vocab_size, symptom, cause):
    ours = reference.build("SimpleTokenizer", vocab_size=vocab_size)
    ours.method("build_vocab", texts)
    expect.equal(vocabulary(tokenizer), ours.attribute("vocab"), symptom, cause)
    expect.equal(
        tokenizer.attribute("inverse_vocab"),
        ours.attribute("inverse_vocab"),
        "inverse_vocab is not the inverse of vocab.",
        "It maps each id (int) back to its word (str).",
    )


@pytest.mark.points(1, cell=CELL)
def test_clean_text(student, reference, draw):
    """clean_text sets off punctuation, lowers the case and collapses white space"""
    theirs, ours = student.build("SimpleTokenizer"), reference.build("SimpleTokenizer")

    def check(text, symptom, cause):
        found = theirs.method("clean_text", text)
        expect.equal(
            found, ours.method("clean_text", text), symptom, cause, f"{text!r} became {expect.described(found)}."
        )

    one, two, three = draw.words(3)
    check(f"{one} {two}", "clean_text changes a text that is already clean.", "Only marks, case and spaces may change.")
    for text in (f"{one.upper()} {two.title()} {three}", f"{one} ÜBER Élan Ñu"):
        check(text, "clean_text does not return lower case.", "Look at the methods of str.")
    for text in (f"  {one}   {two}", f"{one}\t{two} \n", f"\n{one} \n\n {two}\r\n{three}  ", " \t\n"):
        check(
            text,
            "clean_text does not collapse white space.",
            "Tabs and line breaks are white space too; the ends are stripped.",
        )
    for mark in draw.shuffled(MARKS):
        for text in (f"{one}{mark} {two}", f"{mark}{one}{mark}", f"{one}{mark}{two}{mark}{mark} {three}", mark):
            check(
                text,
                "clean_text does not set off a punctuation mark as a word of its own.",
                'All nine marks . , ! ? ; : ( ) " count, also at either end, doubled, and between two words.',
            )
    for word in (f"{one}'s", "don't", f"{one}-{two}", f"{one[:-1]}90s", "10/10", f"{one}_{two}", "50%", "naïve", "c++"):
        check(
            f"{three} {word} {one}",
            "clean_text splits or strips a word that it should leave alone.",
            "Only the nine marks are set off: apostrophes, hyphens, digits and letters with accents belong to words.",
        )


@pytest.mark.points(1, cell=CELL, role="value")
def test_vocabulary(student, reference, draw):
    """The vocabulary holds the words by frequency, ties in order of first appearance"""
    words = draw.words(12)
    texts = [sentence(draw, words, 9) for _ in range(4)]
    tokenizer = built(student, texts)
    expect.that(
        SPECIALS.items() <= vocabulary(tokenizer).items(),
        "The special tokens do not have the ids that they should have.",
        "<PAD> is 0, <UNK> is 1 and <CLS> is 2.",
    )
    for n, length in ((12, 3), (30, 8)):
        words = draw.words(n)
        texts = [" ".join(draw.shuffled(words)), *(sentence(draw, words, length) for _ in range(8))]
        check_vocabulary(
            built(student, texts),
            reference,
            texts,
            1000,
            "The words do not have the ids that they should have.",
            "Ids go by frequency, the most frequent word first, after the three specials; words that are equally "
            "frequent keep the order in which they first appear in the texts.",
        )


@pytest.mark.points(1, cell=CELL)
def test_vocabulary_size_and_fresh_start(student, reference, draw):
    """The vocabulary keeps to vocab_size, and building twice starts afresh"""
    words = draw.words(40)
    texts = [" ".join(words), *(sentence(draw, words, 10) for _ in range(8))]
    too_large = "vocab_size is not kept."
    specials_count = "The three special tokens count as entries too, and the most frequent words stay."
    for size in (8, 13):
        check_vocabulary(built(student, texts, size), reference, texts, size, too_large, specials_count)
    tokenizer = student.build("SimpleTokenizer")
    tokenizer.method("build_vocab", [" ".join(f"word{i}" for i in range(5100))])
    expect.equal(len(vocabulary(tokenizer)), 5000, too_large, f"Without an argument it is 5000. {specials_count}")
    again = draw.shuffled(words[:15] + draw.words(5))
    texts_again = [" ".join(again), *(sentence(draw, again[:6], 5) for _ in range(3))]
    tokenizer = built(student, texts, 30)  # more entries than the second time
    tokenizer.method("build_vocab", texts_again)
    check_vocabulary(
        tokenizer,
        reference,
        texts_again,
        30,
        "Building a second vocabulary keeps something of the first.",
        "Make the dictionaries and the counts new in build_vocab.",
    )


@pytest.mark.points(1, cell=CELL, role="value")
def test_tokenize(student, draw):
    """tokenize gives <CLS>, then the id of each word of the cleaned text, then <PAD>"""
    words = draw.words(20)
    known, unknown = words[:14], words[14:]
    texts = [f"{a.title()}, ({b}) {c}!" for a, b, c in zip(known, known[3:] + known, known[7:] + known, strict=False)]
    tokenizer = built(student, texts)
    cleaned = {word for text in texts for word in cleaned_words(tokenizer, text)}
    expect.equal(
        sorted(set(vocabulary(tokenizer)) - set(SPECIALS)),
        sorted(cleaned),
        "The vocabulary is not made of the words of the cleaned texts.",
        "Clean each text before you split it into words.",
    )
    vocab = ids_of(tokenizer, cleaned)
    for text in (
        sentence(draw, known, 6),
        sentence(draw, words, 11),
        sentence(draw, unknown, 3),
        f"{known[4].upper()}!  {unknown[0]},{known[9]} ({known[2].title()})",
        "",
    ):
        ids = tokenizer.method("tokenize", text, max_length=24)
        expect.that(
            isinstance(ids, list) and all(type(i) is int for i in ids),
            "tokenize does not return a list of int.",
            "Look at the type of what is returned.",
            f"It is {expect.described(ids)}.",
        )
        own = [2] + [vocab.get(word, 1) for word in cleaned_words(tokenizer, text)]
        expect.equal(ids[:1], [2], "The first id is not that of <CLS>.", "<CLS> stands before the first word.")
        expect.equal(
            ids[: len(own)],
            own,
            "tokenize does not give the ids of the words of the cleaned text.",
            "Clean the text first; a word that the vocabulary lacks becomes <UNK>.",
            f"{text!r} became {expect.described(ids)}.",
        )
        expect.that(
            not any(ids[len(own) :]),
            "What follows the last word is not <PAD>.",
            "",
            f"It became {expect.described(ids)}.",
        )
    expect.equal(
        vocabulary(tokenizer),
        vocab,
        "Tokenizing changes the vocabulary.",
        "Only build_vocab adds words: looking up a word must not store it.",
    )


@pytest.mark.points(1, cell=CELL)
def test_tokenize_length(student, draw):
    """tokenize returns exactly max_length ids, and <CLS> survives a cut"""
    words = draw.words(9)
    tokenizer = built(student, [" ".join(words)])
    vocab = ids_of(tokenizer, words)
    for n, options in ((9, {"max_length": 5}), (9, {"max_length": 10}), (9, {"max_length": 9}), (9, {"max_length": 11}),
                       (3, {"max_length": 17}), (5, {}), (126, {}), (127, {}), (128, {}), (300, {})):  # fmt: skip
        text = sentence(draw, words, n)
        ids = tokenizer.method("tokenize", text, **options)
        length = options.get("max_length", 128)
        expect.that(
            isinstance(ids, list) and len(ids) == length,
            "tokenize does not return exactly max_length ids.",
            "Without an argument max_length is 128. <CLS> counts; long texts are cut, short ones filled up with <PAD>.",
            f"{n} words with max_length {length} became {expect.described(ids)}.",
        )
        whole = [2, *(vocab[word] for word in text.split())][:length]
        expect.equal(
            ids,
            whole + [0] * (length - len(whole)),
            "A text that is cut or filled up does not keep the right ids.",
            "<CLS> comes first and is never cut; words are cut at the end and <PAD> follows the last word.",
        )


@pytest.mark.points(1, cell=CELL)
def test_decode(student, draw):
    """decode joins the words again, without <PAD> and <CLS>"""
    words = draw.words(15)
    tokenizer = built(student, [" ".join(words)])
    vocab = ids_of(tokenizer, words)
    inverse = {i: word for word, i in vocab.items()}
    some = draw.shuffled(sorted({vocab[word] for word in words} - {0, 2}))
    for ids in ([2, *some[:5], 0, 0], [2, some[0], 1, some[1], 1, 0], some, [2, some[3], 0, some[4], 0], [2, 0, 0]):
        text = " ".join(inverse.get(i, "") for i in ids if i not in (0, 2))
        found = tokenizer.method("decode", ids)
        expect.equal(
            found,
            text,
            "decode does not give the words back.",
            "The words of all ids are joined by single spaces; <PAD> and <CLS> are dropped wherever they stand, "
            "<UNK> is not.",
            f"{ids} became {expect.described(found)}.",
        )
