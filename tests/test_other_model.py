"""llm-internals assumes no particular model: with a small GPT-2 made on the spot it grades and runs all the same."""

import copy
from pathlib import Path

import nbformat
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from autograder.datasets.prepare import prepare
from autograder.grading.grade import grade_notebook
from autograder.notebooks.execute import run
from tests.this_course import LLM_INTERNALS as ASSIGNMENT

CONTEXT, END = 128, "<|endoftext|>"


@pytest.fixture(scope="module")
def tiny_gpt2(tmp_path_factory):
    """A random GPT-2 of three layers with a byte-level tokenizer of its own, and neither pad token nor chat template."""
    prepare([ASSIGNMENT], quiet=True)
    folder = tmp_path_factory.mktemp("tiny-gpt2")
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    pieces.train_from_iterator([Path(__file__).read_text(), ASSIGNMENT.source.with_suffix(".py").read_text()], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token=END)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=48, n_layer=3, n_head=4,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, initializer_range=0.2,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    folder.chmod(0o755)  # the sandbox's user reads it
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


@pytest.mark.usefixtures("tier")
def test_marks_do_not_depend_on_the_model(tiny_gpt2, monkeypatch):
    """The solved notebook has all points and the blank one none, on another model type."""
    monkeypatch.setenv("COURSE_MODEL", str(tiny_gpt2))
    solved, blank = (grade_notebook(path, ASSIGNMENT).result for path in (ASSIGNMENT.solution, ASSIGNMENT.release))
    assert solved.score == pytest.approx(4.0)
    assert blank.score == 0
    assert blank.max_score == pytest.approx(4.0)


def test_the_notebook_runs_from_top_to_bottom(tiny_gpt2, monkeypatch, tmp_path):
    """Every cell of the solved notebook runs offline, demonstrations and all."""
    monkeypatch.setenv("COURSE_MODEL", str(tiny_gpt2))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = copy.deepcopy(nbformat.read(ASSIGNMENT.solution, as_version=4))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    run(notebook, tmp_path, ASSIGNMENT.stem, quiet=True)
    figures = sum("image/png" in o.get("data", {}) for c in notebook.cells if c.cell_type == "code" for o in c.outputs)
    assert figures >= 30
