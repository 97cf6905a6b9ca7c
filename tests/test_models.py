"""The prepared models: finished folders, made whole or not at all, checked, and right."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from autograder.datasets import models
from autograder.datasets.download import cache_folder
from autograder.datasets.models import (
    ANSWER,
    MINILM,
    PROMPT,
    SMOLLM2,
    SMOLLM2_PARAMETERS,
    SUMS,
    check_smollm2,
    prepare_model,
)
from autograder.faults import DataError

NAME = MINILM


@pytest.fixture
def made(monkeypatch, tmp_path):
    """A converter that writes two small files and notes each call, in place of a real one; no network."""
    calls = []

    def convert(source: Path, target: Path) -> None:
        calls.append(source)
        (target / "config.json").write_text("{}")
        (target / "model.safetensors").write_text("weights")

    monkeypatch.setattr(models, "fetch", lambda name, quiet: tmp_path)
    monkeypatch.setitem(models.CONVERTERS, NAME, convert)
    return calls


def test_model_is_made_once(made, tmp_path):
    """A finished folder is used again, and nothing else is left beside it."""
    folder = prepare_model(NAME, tmp_path)
    assert prepare_model(NAME, tmp_path) == folder == tmp_path / "models" / NAME
    assert len(made) == 1
    assert sorted(p.name for p in folder.iterdir()) == [SUMS, "config.json", "model.safetensors"]
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "no list"])
def test_damaged_folder_is_made_anew(made, tmp_path, damage):
    """A changed, lost or foreign file, or a lost list of sums, never passes for a model."""
    folder = prepare_model(NAME, tmp_path)
    match damage:
        case "changed":
            (folder / "model.safetensors").write_text("weighty")
        case "missing":
            (folder / "config.json").unlink()
        case "added":
            (folder / "extra.json").write_text("{}")
        case "no list":
            (folder / SUMS).unlink()
    assert not models.is_finished(folder)
    prepare_model(NAME, tmp_path)
    assert len(made) == 2
    assert models.is_finished(folder)
    assert (folder / "model.safetensors").read_text() == "weights"
    assert not (folder / "extra.json").exists()


def test_failed_conversion_leaves_nothing(made, monkeypatch, tmp_path):
    """When a conversion fails half way, no folder appears and no scratch stays."""

    def fail(source: Path, target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise DataError("no")

    monkeypatch.setitem(models.CONVERTERS, NAME, fail)
    with pytest.raises(DataError):
        prepare_model(NAME, tmp_path)
    assert list((tmp_path / "models").iterdir()) == []


def test_full_disk_is_one_line(made, monkeypatch, tmp_path):
    """A file system error says which folder and what to set."""

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(models.CONVERTERS, NAME, full)
    with pytest.raises(DataError, match=r"cannot write .*No space left on device.*COURSE_CACHE") as error:
        prepare_model(NAME, tmp_path)
    assert "\n" not in str(error.value)


def test_quicker_process_wins(made, tmp_path):
    """Where another process has finished the folder in the meantime, its folder stays."""
    folder = prepare_model(NAME, tmp_path)
    new = tmp_path / "new"
    new.mkdir()
    (new / "config.json").write_text("{}")
    models.put_in_place(new, folder, tmp_path / "old")
    assert models.is_finished(folder)
    assert (folder / "model.safetensors").exists()


def test_unknown_model_is_one_line(tmp_path):
    """An unknown name is refused with the known ones."""
    with pytest.raises(DataError, match=r"^gpt-9: no such model; known are smollm2-135m-instruct, all-minilm-l6-v2$"):
        prepare_model("gpt-9", tmp_path)


def test_missing_reader_is_named(monkeypatch, tmp_path):
    """Without the GGUF reader the message names the packages and the lock."""
    (tmp_path / "model.gguf").touch()
    monkeypatch.setattr(models, "find_spec", lambda package: None if package in ("gguf", "accelerate") else package)
    with pytest.raises(DataError, match=r"needs gguf and accelerate; install what requirements\.lock lists"):
        models.convert_smollm2(tmp_path, tmp_path / "target")


def test_wrong_model_is_refused(tmp_path):
    """A model of another size does not pass for SmolLM2."""
    prepare_model(SMOLLM2, cache_folder())
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=49_152, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(cache_folder() / "models" / SMOLLM2).save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"the converted model is wrong \(\d"):
        check_smollm2(tmp_path)


def test_smollm2_is_right():
    """The prepared SmolLM2 has its size, stores its tied matrix once in float32, and knows the capital of France."""
    folder = prepare_model(SMOLLM2, cache_folder())
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        names = list(weights.keys())
        assert "lm_head.weight" not in names
        sizes = [weights.get_slice(name) for name in names]
        assert {s.get_dtype() for s in sizes} == {"F32"}
        total = 0
        for s in sizes:
            count = 1
            for length in s.get_shape():
                count *= length
            total += count
    assert total == SMOLLM2_PARAMETERS
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert (PROMPT, ANSWER) == ("The capital of France is", " Paris")
    check_smollm2(folder)


def test_minilm_loads():
    """The prepared MiniLM is a BERT with six layers, and its tokenizer knows word pieces."""
    folder = prepare_model(MINILM, cache_folder())
    from transformers import AutoModel, AutoTokenizer

    assert AutoModel.from_pretrained(folder).config.num_hidden_layers == 6
    assert AutoTokenizer.from_pretrained(folder).tokenize("heteroscedastic")[1].startswith("##")
