"""What cells show: bounded for the submission as a whole, and nothing but outputs."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from autograder import limits
from autograder.grading.grade import grade_notebook
from autograder.grading.shown_outputs import LINE, ShownOutputs
from tests.toy_course import DOUBLE, QUADRUPLE, notebook, toy, toy_course, with_cell  # noqa: F401

pytestmark = pytest.mark.usefixtures("toy_course", "tier")

PICTURE = (
    "import os\nfrom IPython.display import Image, display\n"
    "head = b'\\x89PNG\\r\\n\\x1a\\n' + b'\\0\\0\\0\\rIHDR' + (64).to_bytes(4, 'big') * 2\n"
    "display(Image(head + os.urandom(60_000), format='png'))"
)


@pytest.fixture
def graded(tmp_path, toy):
    """Grade a notebook as a file called ada.ipynb."""

    def grade(given):
        path = tmp_path / "ada.ipynb"
        nbformat.write(given, path)
        return grade_notebook(path, toy)

    return grade


def shown(graded_notebook, kind):
    return sum(len(o.get("data", {}).get(kind, "")) for c in graded_notebook.cells for o in c.get("outputs", ()))


def test_pictures_of_all_cells_together_are_limited(graded, monkeypatch):
    """Each cell stays below its own limit; together they do not fill the disk. A line says what is not shown."""
    monkeypatch.setattr(limits, "SHOWN_PICTURE_BYTES", 150_000)
    given = notebook(double=DOUBLE, quadruple=QUADRUPLE)
    given.cells[1:1] = [new_code_cell(PICTURE) for _ in range(3)]  # before the tests, in one worker
    given.cells += [new_code_cell(PICTURE) for _ in range(3)]  # after them, in another
    found = graded(given)
    assert found.result.score == 6
    assert 100_000 < shown(found.notebook, "image/png") * 3 / 4 <= 150_000
    assert nbformat.writes(found.notebook).count(LINE) == 4


def test_text_of_all_cells_together_is_limited(graded, monkeypatch):
    """Printed text, the student's own outputs and the texts of errors count."""
    monkeypatch.setattr(limits, "SHOWN_CHARACTERS", 30_000)
    given = notebook(double=DOUBLE, quadruple=QUADRUPLE)
    given.cells[1:1] = [new_code_cell("print('x' * 19_000)") for _ in range(3)]
    given.cells[-3].outputs = [new_output("stream", text="y" * 19_000)]
    text = nbformat.writes(graded(given).notebook)
    assert text.count("x" * 19_000) == 1
    assert "y" * 19_000 not in text


def test_there_is_room_for_what_fits():
    """What is too large for the room that is left is skipped, and what comes after it may still fit."""
    room = ShownOutputs(pictures=0, characters=10)
    outputs = [new_output("stream", text=text) for text in ("12345678", "123", "12")]
    assert [o.text for o in room.fit(outputs)] == ["12345678", "12", LINE]
    assert room.fit([]) == [] and [o.text for o in room.fit([new_output("stream", text=LINE)])] == [LINE]
    assert [o.text for o in room.fit(outputs[2:])] == [LINE]


@pytest.mark.parametrize("outputs", ["5", "[5]", "{'a': 1}", "None"])
def test_a_reply_without_outputs_ends_the_worker(graded, outputs):
    """A cell that answers in the worker's place, with what are no outputs, is a cell that ended its process."""
    forge = (
        "import gc, socket, sys\n"
        "channel = max((o for o in gc.get_objects() if isinstance(o, socket.socket)), key=lambda s: s.fileno())\n"
        f"reply = {{'number': 2, 'value': {{'outputs': {outputs}, 'error': None}}}}\n"
        "sys.modules['worker.wire'].send_frame(channel, reply)"
    )
    found = graded(with_cell(1, forge))
    assert (found.result.status, found.result.score) == ("graded", 6)
    assert "ended its process" in str(found.notebook.cells[1].outputs)
