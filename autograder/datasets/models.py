"""Language models as folders that transformers loads: fetched, converted, checked and kept in a cache.

SmolLM2 comes as a quantised GGUF file, which takes 20 s to read, and the model that transformers makes of it refuses to
be saved. It is therefore turned once into an unquantised float32 model: half precision would be half the file, but on a
CPU it is slower, and its squared norms overflow.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from pathlib import Path

from autograder.datasets.download import fetch, report
from autograder.faults import DataError

SMOLLM2 = "smollm2-135m-instruct"
MINILM = "all-minilm-l6-v2"
SMOLLM2_PARAMETERS = 134_515_008
PROMPT, ANSWER, ANSWER_PROBABILITY = "The capital of France is", " Paris", 0.7725
SUMS = "checked.json"  # SHA-256 of every file of a finished folder

Converter = Callable[[Path, Path], None]


def prepare_model(name: str, cache: Path, quiet: bool = True) -> Path:
    """The folder `cache/models/<name>` with the finished model; makes it if it is missing or damaged.

    It holds what `from_pretrained` needs (config, tokenizer, weights), and appears whole or not at all, whoever else is
    making it. `name` is a key of CONVERTERS and an entry of the manifest. Raises DataError.
    """
    if name not in CONVERTERS:
        raise DataError(f"{name}: no such model; known are {', '.join(CONVERTERS)}")
    folder = cache / "models" / name
    if is_finished(folder):
        report(f"{name}: ready in {folder}, checked", quiet)
        return folder
    source = fetch(name, quiet)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as scratch:
            new = Path(scratch, "new")
            new.mkdir()
            report(f"{name}: making {folder}, which may take a minute", quiet)
            CONVERTERS[name](source, new)
            (new / SUMS).write_text(json.dumps(sums(new), indent=1) + "\n", encoding="utf-8")
            put_in_place(new, folder, Path(scratch, "old"))
    except OSError as error:
        raise DataError(
            f"{name}: cannot write {folder} ({error.strerror or error}); make room or set COURSE_CACHE to another "
            "folder"
        ) from error
    report(f"{name}: checked and kept in {folder}", quiet)
    return folder


def convert_smollm2(source: Path, target: Path) -> None:
    """Write the model and tokenizer of the GGUF file in `source` to `target`, tied weights once; DataError if wrong."""
    gguf = next(source.glob("*.gguf"))
    missing = [package for package in ("gguf", "accelerate", "torch", "transformers") if find_spec(package) is None]
    if missing:
        raise DataError(f"{SMOLLM2}: converting it needs {' and '.join(missing)}; install what requirements.lock lists")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with silent_transformers():
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=gguf.name)
        quantised = AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf.name, dtype=torch.float32)
        config = quantised.config
        del config.quantization_config
        with torch.device("meta"):  # no need to draw weights that are replaced at once
            model = type(quantised)(config)
        model.load_state_dict(quantised.state_dict(), assign=True)
        model.tie_weights()  # so that they are stored once
        model.generation_config = quantised.generation_config
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        (target / "model.safetensors").chmod(0o644)
        check_smollm2(target)


def check_smollm2(folder: Path) -> None:
    """DataError unless the model has the right size and knows the capital of France as well as it should."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    size = sum(p.numel() for p in model.parameters())  # a tied weight is listed once
    with torch.no_grad():
        logits = model(**tokenizer(PROMPT, return_tensors="pt")).logits[0, -1]  # (V,)
    probability, token = logits.softmax(dim=-1).max(dim=-1)
    answer = tokenizer.decode([token.item()])
    if (size, answer) != (SMOLLM2_PARAMETERS, ANSWER) or abs(probability.item() - ANSWER_PROBABILITY) > 0.01:
        raise DataError(
            f"{SMOLLM2}: the converted model is wrong ({size:,} parameters; {PROMPT!r} -> {answer!r} with probability "
            f"{probability:.2f}); install the versions of requirements.lock and try again"
        )


def copy_minilm(source: Path, target: Path) -> None:
    """Copy the model, which comes ready to load."""
    for path in sorted(source.iterdir()):
        shutil.copyfile(path, target / path.name)


CONVERTERS: dict[str, Converter] = {SMOLLM2: convert_smollm2, MINILM: copy_minilm}


@contextmanager
def silent_transformers() -> Iterator[None]:
    """No progress bars and no warnings: set-up has its own lines."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):  # the GGUF reader has a bar of its own
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of `folder` by its name, without that of the list itself."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name != SUMS:
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def is_finished(folder: Path) -> bool:
    """Whether the folder is there and each of its files is as it was when it was made."""
    try:
        return json.loads((folder / SUMS).read_text(encoding="utf-8")) == sums(folder)
    except (OSError, ValueError):
        return False


def put_in_place(new: Path, folder: Path, old: Path) -> None:
    """Exchange a damaged folder for the new one; where another process was quicker, its folder stays."""
    if folder.exists() and not is_finished(folder):
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if not is_finished(folder):
            raise
