"""autograder.graders.llm_internals.tiny_tokenizers: the same texts give the same tokenizer, of the kind that it says."""

import pytest

from autograder.graders.llm_internals.tiny_tokenizers import TEXTS, WORDS, byte_fallback, byte_level, word_piece

LEARNED = (*TEXTS, " ".join(WORDS))


@pytest.mark.parametrize("train", [byte_level, word_piece, byte_fallback])
def test_same_texts_same_tokenizer(train):
    """Trained again, a tokenizer is the same: hidden inputs and known mistakes hang on it."""
    assert len({train(LEARNED).text for _ in range(5)}) == 1


def test_word_piece_goes_on_with_hashes():
    """A word that is not a piece is taken apart; what goes on begins with ##; only BERT's own names are special."""
    made = word_piece(LEARNED).tokenizer
    pieces = made.tokenize("Gardens near Stones")
    assert pieces[0] == "garden"
    assert [piece for piece in pieces if not piece.startswith("##")] == ["garden", "near", "st"]
    assert made.decode(made("the Gardens").input_ids) == "[CLS] the gardens [SEP]"
    assert made.decode(made("the Gardens").input_ids, skip_special_tokens=True) == "the gardens"
    assert set(made.all_special_tokens) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]"}
