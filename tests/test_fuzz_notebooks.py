"""Two hundred randomly corrupted notebooks: each can be graded or is refused in one line, and none does harm."""

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import nbformat
import pytest

from autograder.course.assignment import Assignment
from autograder.feedback.page import feedback_page
from autograder.grading.grade import grade_notebook
from autograder.notebooks.read_submission import Unreadable, read_submission
from autograder.notebooks.rebuild import WrongNotebook, grade_id, rebuild
from autograder.results.result import Result
from tests.toy_course import DOUBLE, QUADRUPLE, notebook, toy, toy_course  # noqa: F401

NOTEBOOKS = 200
GRADED_FOR_REAL = 6
JUNK: list[Any] = [
    None, True, 0, -1, 10**25, 1.5, float("nan"), "", "x", "\0", "\ud800", "double", "def double(x): return 0", [], [[]],
    {}, {"cell_type": "code"}, {"nbgrader": {"grade_id": "double"}}, ["a\n", 1], {"a": {"b": {"c": []}}},
]  # fmt: skip


def solved() -> dict[str, Any]:
    """A solved toy notebook with some outputs, an attachment and an answer."""
    full = json.loads(nbformat.writes(notebook(double=DOUBLE, quadruple=QUADRUPLE)))
    full["cells"][3]["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": ["42\n"]},
        {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo=", "text/plain": ["1"]}, "metadata": {}},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mline"]},
    ]
    full["cells"].append(
        {"cell_type": "markdown", "id": "m", "source": "![a](attachment:a.png)", "metadata": {},
         "attachments": {"a.png": {"image/png": "iVBORw0KGgo="}}}
    )  # fmt: skip
    return full


def changed_tree(tree: Any, chance: random.Random, rate: float) -> Any:
    """The same JSON with values replaced, dropped, doubled and shuffled, and keys lost or renamed."""
    if chance.random() < rate:
        return chance.choice(JUNK)
    if isinstance(tree, list):
        grown = [changed_tree(v, chance, rate) for v in tree for _ in range(_times(chance, rate))]
        if chance.random() < rate:
            chance.shuffle(grown)
        return grown
    if isinstance(tree, dict):
        changed = {k: changed_tree(v, chance, rate) for k, v in tree.items() if _times(chance, rate)}
        if changed and chance.random() < rate:
            changed[chance.choice(("cells", "source", "metadata", "outputs", "x"))] = chance.choice(JUNK)
        return changed
    return tree


def _times(chance: random.Random, rate: float) -> int:
    return 1 if chance.random() > rate else chance.choice((0, 2))


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Bytes flipped, cut out, doubled, put in, or the end missing."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(changed) + 1)
        match chance.randint(0, 4):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randint(0, 7)
            case 1:
                del changed[at : at + chance.randint(1, 60)]
            case 2:
                changed[at:at] = changed[at : at + chance.randint(1, 60)]
            case 3:
                changed[at:at] = chance.choice((b"\0", b'"', b"{", b"]", b"\xff", b"\\u", b"\n", b"NaN"))
            case 4 if chance.random() < 0.1:
                del changed[at:]
    return bytes(changed)


def corrupted(number: int) -> bytes:
    chance = random.Random(number)
    if number % 2:
        return changed_bytes(json.dumps(solved()).encode(), chance)
    return json.dumps(changed_tree(solved(), chance, chance.choice((0.003, 0.01, 0.03, 0.1)))).encode()


def prepared(path: Path, assignment: Assignment) -> nbformat.NotebookNode | str:
    """The notebook that would be graded, or the reason why none would be."""
    try:
        return rebuild(notebook(), read_submission(path), assignment).notebook
    except (Unreadable, WrongNotebook) as refusal:
        return str(refusal)


def check(found: nbformat.NotebookNode | str) -> None:
    if isinstance(found, str):
        assert found.isprintable() and 10 < len(found) < 200
        return
    nbformat.validate(found)
    nbformat.writes(found).encode()
    released = {grade_id(c): c for c in notebook().cells}
    for cell in found.cells:
        original = released.pop(grade_id(cell), None)
        assert cell.metadata == (original.metadata if original else {"course": {"added": True}})
        if original and original.metadata.nbgrader.locked:
            assert cell.source == original.source
    assert not released
    page = feedback_page(found, Result("toy", "ada.ipynb", "graded", 0, 6, 0.1, {}))
    assert "Graded automatically" in page


def test_two_hundred_corrupted_notebooks_can_be_graded_or_are_refused(toy, tmp_path):
    """Nothing but a refusal is raised; locked cells are as released; page and file can be written; both ends occur."""
    path = tmp_path / "ada.ipynb"
    ends = []
    for number in range(NOTEBOOKS):
        path.write_bytes(corrupted(number))
        found = prepared(path, toy)
        check(found)
        ends.append(isinstance(found, str))
    assert NOTEBOOKS // 10 < sum(ends) < NOTEBOOKS * 9 // 10


def test_reading_corrupted_notebooks_leaves_no_memory_behind(toy, tmp_path):
    """A second round over the same files keeps less than a megabyte."""
    path = tmp_path / "ada.ipynb"
    kept = []
    for _ in range(2):
        for number in range(0, NOTEBOOKS, 2):
            path.write_bytes(corrupted(number))
            prepared(path, toy)
        if not tracemalloc.is_tracing():
            tracemalloc.start()
        kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert kept[1] - kept[0] < 2**20


@pytest.mark.usefixtures("tier")
def test_some_of_them_through_real_grading(toy, tmp_path):
    """From file to result, in the sandbox: graded or could-not-run, all cells there, the score within its bounds."""
    path = tmp_path / "ada.ipynb"
    left = GRADED_FOR_REAL
    for number in range(NOTEBOOKS):
        path.write_bytes(corrupted(number))
        if isinstance(prepared(path, toy), str):
            continue
        result = grade_notebook(path, toy).result
        assert set(result.cells) == {"double-tests", "quadruple-tests"}
        assert 0 <= result.score <= result.max_score == 6 and result.status == "graded"
        left -= 1
        if not left:
            break
    assert not left
