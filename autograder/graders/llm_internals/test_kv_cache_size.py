"""kv_cache_bytes: keys and values of every layer."""

import pytest

from autograder.graders.llm_internals import seconds
from autograder.testing import expect

CELL = "kv-cache-size"
NAME = "kv_cache_bytes"
EVERY = "Count keys and values, of every layer, sequence, position and key-value head, in bytes."


@pytest.mark.points(0.1, cell=CELL, role="value")
def test_kv_cache_bytes(student, draw):
    """The bytes of the keys and values of all layers, with grouped heads counted as such"""
    layers, batch, length = draw.integer(3, 9), draw.integer(2, 7), draw.integer(11, 90)
    llama = {"hidden_size": 48, "num_hidden_layers": layers, "num_attention_heads": 6}
    grouped = "With grouped heads, keys and values are kept once a group."
    stated = "A head size that the configuration states wins over hidden size by heads."
    for config_class, settings, width, cause in (
        ("LlamaConfig", llama | {"num_key_value_heads": 2, "head_dim": 8}, 2 * 8, grouped),
        ("LlamaConfig", llama | {"num_key_value_heads": 3, "head_dim": draw.choice((10, 20))}, None, stated),
        ("LlamaConfig", llama, 6 * 8, ""),
        ("GPT2Config", {"n_embd": 60, "n_layer": layers, "n_head": 5}, 60, "GPT-2's configuration has other names."),
    ):
        width = width or 3 * settings["head_dim"]
        config = student.drive("configuration", config_class=config_class, settings=settings, seconds=seconds.MAKE)
        for size in ((batch, length), (1, 1, 4), (batch, length, 1), (1, 2048, 2), (batch, 1)):
            values = 2 * layers * size[0] * size[1] * width
            expected = values * (size[2] if len(size) > 2 else 2)
            found = student.call(NAME, config, *size)
            expect.that(
                isinstance(found, int) and not isinstance(found, bool),
                "kv_cache_bytes does not return an int.",
                "Bytes are whole numbers: a division with / gives a float.",
                f"It is {expect.described(found)}.",
            )
            expect.that(
                found == expected,
                "The number of bytes is wrong.",
                f"{EVERY} {cause}",
                f"Yours is {expect.described(found)}.",
            )
