"""Run a solved notebook from top to bottom in a kernel of its own, and clean what it printed."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode, from_dict
from nbgrader.preprocessors import NbGraderPreprocessor
from tqdm import tqdm

from autograder.faults import Fault
from autograder.notebooks.machine_paths import scrub
from autograder.notebooks.tidy import tidy

SECONDS_A_CELL = 600
# one thread, as in grading: with more, small models get slower by up to twenty times
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


class CellFailed(Fault):
    """A cell of a notebook that should run did not; one line that names it."""


def fingerprint(notebook: NotebookNode, folder: Path) -> str:
    """SHA-256 of what a run depends on: the cells' text and metadata, and the data in `folder`."""
    digest = hashlib.sha256()
    for cell in notebook.cells:
        digest.update(json.dumps([cell.cell_type, cell.source, cell.metadata], sort_keys=True).encode())
    for path in sorted((folder / "data").rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def solved(notebook: NotebookNode, folder: Path, name: str, root: Path, quiet: bool = False) -> NotebookNode:
    """The notebook, changed in place: run in `folder`, marked with the fingerprint of its sources.

    Its outputs show no path of the course in `root`.
    """
    source = fingerprint(notebook, folder)
    run(notebook, folder, name, quiet)
    tidy(notebook)
    notebook.metadata.course = from_dict({"source_sha256": source})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [from_dict(_scrubbed(output, folder, root)) for output in cell.outputs]
    return notebook


def run(notebook: NotebookNode, folder: Path, name: str, quiet: bool = False) -> None:
    """Execute every code cell in `folder`, outputs into the notebook, with a progress bar that names the cell.

    Raises CellFailed for an error, for a cell that takes longer than SECONDS_A_CELL, and for a kernel that died.
    """
    client = NotebookClient(
        notebook,
        timeout=SECONDS_A_CELL,
        kernel_name="python3",
        # no history file, and no word on every start about transport encryption
        extra_arguments=["--HistoryManager.hist_file=:memory:", "--log-level=ERROR"],
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    cell_now = "the first"
    code_cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    with tqdm(total=code_cells, desc=name, unit="cell", disable=quiet, dynamic_ncols=True) as bar:

        def starts(cell: NotebookNode, cell_index: int) -> None:
            nonlocal cell_now
            cell_now = cell.metadata.get("nbgrader", {}).get("grade_id") or f"{cell_index + 1} ({cell.get('id')})"
            if cell.cell_type == "code":
                bar.set_postfix_str(cell_now)

        client.on_cell_start = starts
        client.on_cell_executed = lambda **_: bar.update()
        try:
            client.execute(env={**os.environ, **ENVIRONMENT})
        except CellExecutionError as error:
            raise CellFailed(f"{name}, cell {cell_now}: {error.ename}: {error.evalue}") from None
        except CellTimeoutError:
            raise CellFailed(f"{name}, cell {cell_now}: not finished after {SECONDS_A_CELL} seconds") from None
        except DeadKernelError:
            raise CellFailed(f"{name}, cell {cell_now}: the kernel died (out of memory, or interrupted)") from None


def _scrubbed(value: Any, here: Path, root: Path) -> Any:
    if isinstance(value, str):
        return scrub(value, here, root)
    if isinstance(value, dict):
        # pictures are not text, and base64 may look like a path
        return {
            key: item if key.startswith("image/png") else _scrubbed(item, here, root) for key, item in value.items()
        }
    return [_scrubbed(item, here, root) for item in value] if isinstance(value, list) else value


class ExecuteSolution(NbGraderPreprocessor):
    """`solved` as a step of nbgrader's generate_solution; a cell that fails stops it."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        folder, root = Path(resources["metadata"]["path"]), Path(self.parent.parent.coursedir.root)
        return solved(nb, folder, resources["unique_key"], root), resources
