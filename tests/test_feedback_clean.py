"""What is left of a notebook that a student had a hand in."""

import base64
import struct

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.feedback.clean import clean_attachments, clean_notebook, clean_outputs, clean_text
from autograder.feedback.clean_before_rendering import CleanNotebook
from autograder.feedback.outputs import new_output

EVIL = "<script>alert(1)</script>"


def jpeg(width: int = 3, height: int = 2, *before: tuple[int, bytes]) -> str:
    """A baseline picture with these segments, by marker and content, before the one that has its size."""
    segments = [(0xE0, b"JFIF\0"), *before, (0xC0, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")]
    packed = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return base64.b64encode(b"\xff\xd8" + packed + b"\xff\xda\xff\xd9").decode()


JPEG = jpeg()


def png(width: int = 3, height: int = 2) -> str:
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\0\0\0"
    return base64.b64encode(data).decode()


def display(**data: object) -> NotebookNode:
    bundle = {key.replace("_", "/"): value for key, value in data.items()}
    return nbformat.from_dict({"output_type": "display_data", "data": bundle, "metadata": {}})


@pytest.mark.parametrize(
    "kind",
    ["text/html", "image/svg+xml", "application/javascript", "text/markdown", "text/latex", "application/pdf",
     "application/vnd.jupyter.widget-view+json", "text/vnd.mermaid", "image/jpeg"],
)  # fmt: skip
def test_only_png_and_plain_text_of_a_display_remain(kind):
    """Every other kind of data can run, fetch or restyle."""
    output = display(image_png=png(), text_plain="4")
    output.data[kind] = EVIL
    assert [dict(o.data) for o in clean_outputs([output])] == [{"image/png": png(), "text/plain": "4"}]


def test_output_metadata_goes():
    """nbconvert prints a picture's width unquoted and takes its file name as an address."""
    output = display(image_png=png())
    output.metadata = {"image/png": {"width": "1 onload=alert(1)"}, "filenames": {"image/png": "https://x/y.png"}}
    assert clean_outputs([output])[0].metadata == {}


@pytest.mark.parametrize(
    "picture",
    ["not base64!", base64.b64encode(b"<svg onload=alert(1)>").decode(), JPEG, png(100_000, 100_000), png(0, 1),
     png()[:-12], 7, [EVIL], 'x"onload="alert(1)'],
)  # fmt: skip
def test_what_is_no_bearable_png_goes(picture):
    """Neither other data under the name of a picture, nor a small file that unpacks to gigabytes."""
    assert clean_outputs([display(image_png=picture)]) == []


def test_large_pictures_and_long_texts_are_cut():
    """A page stays of a size that a browser opens."""
    large = base64.b64encode(base64.b64decode(png()) + b"\0" * 5_000_000).decode()
    assert clean_outputs([display(image_png=large)]) == []
    text = clean_outputs([nbformat.v4.new_output("stream", text="x" * 1_000_000)])[0].text
    assert len(text) < 21_000 and text.endswith("more characters)")
    assert len(clean_outputs([display(text_plain="x")] * 1000)) == 60


def test_cleaning_twice_changes_nothing():
    """Outputs are cleaned when read, graded and shown; what was cut first says how much was."""
    once = clean_outputs(
        [nbformat.v4.new_output("stream", text="x" * 100_000), display(image_png=[png()[:9], png()[9:]])]
    )
    assert once[0].text.endswith("(80000 more characters)") and once[1].data["image/png"] == png()
    assert clean_outputs(once) == once


def test_text_loses_escapes_and_overwritten_lines():
    """As on a terminal, where a progress bar overwrites itself."""
    assert clean_text("\x1b[31mred\x1b[0m \x1b]0;title\x07a\x00b\nstep 1\rstep 2\r\nend") == "red ab\nstep 2\nend"
    assert clean_text(["a", "b"]) == "ab" and clean_text(None) == ""


def test_streams_and_errors_keep_their_text_only():
    """An error is shown as its text, and a stream has one of two names."""
    error = {"output_type": "error", "ename": EVIL, "evalue": "\x1b[1mbad", "traceback": ["line", 3], "x": EVIL}
    stream = {"output_type": "stream", "name": EVIL, "text": ["a", "b"], "metadata": {"x": 1}}
    cleaned = clean_outputs([nbformat.from_dict(error), nbformat.from_dict(stream)])
    assert cleaned[0] == {"output_type": "error", "ename": EVIL, "evalue": "bad", "traceback": ["line", ""]}
    assert cleaned[1] == {"output_type": "stream", "name": "stdout", "text": "ab"}


@pytest.mark.parametrize(
    "outputs",
    [None, "x", [None], [{}], [{"output_type": "display_data"}], [{"output_type": "display_data", "data": []}]],
)
def test_damaged_outputs_give_none(outputs):
    """A notebook need not have been written by Jupyter."""
    assert clean_outputs(outputs) == []


def test_a_claimed_score_is_no_execute_result_any_more():
    """nbgrader takes the first execute_result of a test cell as its score."""
    claimed = nbformat.v4.new_output("execute_result", {"text/plain": "12"}, execution_count=1)
    assert clean_outputs([claimed])[0].output_type == "display_data"


def test_attachments_are_png_and_jpeg_only():
    """SVG can hold scripts; what is named a PNG must be one."""
    assert list(clean_attachments({"a\ud800\x1b[31m": {"image/png": png()}})) == ["a?"]
    kept = clean_attachments({"a.png": {"image/png": png()}, "b.jpg": {"image/jpeg": JPEG}})
    assert kept == {"a.png": {"image/png": png()}, "b.jpg": {"image/jpeg": JPEG}}
    assert (
        clean_attachments(
            {"a": {"image/svg+xml": EVIL}, "b": {"image/png": EVIL}, "c": EVIL, "d": {}, "e": {"image/jpeg": png()}}
        )
        == {}
    )


@pytest.mark.parametrize(
    "segments",
    [[], [(0xE1, b"Exif\0\0" + bytes(60_000)), *[(0xE2, b"ICC")] * 255, (0xDB, bytes(65)), (0xC4, bytes(30)), (0xFE, b"by")]],
)  # fmt: skip
def test_the_size_of_an_attached_photograph_is_looked_at(segments):
    """A JPEG of a few bytes can claim gigabytes of pixels; photographs of ordinary size stay, whatever is before it."""
    attached = lambda picture: clean_attachments({"a.jpg": {"image/jpeg": picture}})  # noqa: E731
    assert attached(jpeg(8_000, 5_000, *segments))
    for width, height in ((65_500, 65_500), (8_001, 5_000), (0, 5), (5, 0)):
        assert not attached(jpeg(width, height, *segments))


@pytest.mark.parametrize(
    "data", [b"", b"\xe0", b"\xe0 a picture", b"\xd9", b"\xda" + bytes(40), b"\xff" * 4000, b"\xe0\0\0" * 4000]
)
def test_a_jpeg_without_its_size_goes(data):
    """Whatever a browser would make of it."""
    picture = base64.b64encode(b"\xff\xd8\xff" + data).decode()
    assert clean_attachments({"a.jpg": {"image/jpeg": picture}}) == {}


def large_png(characters: int) -> str:
    return base64.b64encode(base64.b64decode(png()) + bytes(characters * 3 // 4)).decode()


def test_attachments_of_a_cell_are_limited():
    """Their number and their sum."""
    assert len(clean_attachments({str(n): {"image/png": png()} for n in range(1_000)})) == 20
    kept = clean_attachments({str(n): {"image/png": large_png(5_000_000)} for n in range(10)})
    assert list(kept) == ["0", "1", "2"]


def shown(*cells: NotebookNode) -> list[NotebookNode]:
    """These cells as they go into a page."""
    notebook, _ = CleanNotebook().preprocess(nbformat.v4.new_notebook(cells=list(cells)), {})
    return notebook.cells


@pytest.mark.parametrize(
    ("picture", "fit"),
    [(png(8_000, 5_000), 10), (large_png(5_000_000), 6), (png(), 20)],
    ids=["wide", "long", "small"],
)
def test_the_pictures_of_a_page_are_limited(picture, fit):
    """All outputs and attachments together, by what they unpack to and by their length; the graders' own stay."""
    mark = {"grade": True, "solution": False, "locked": True, "task": False, "grade_id": "a-tests", "points": 1}
    cells = [nbformat.v4.new_code_cell("", outputs=[display(image_png=picture)] * 10) for _ in range(2)]
    cells.append(nbformat.v4.new_markdown_cell("", attachments={"a": {"image/png": picture}}))
    cells.append(nbformat.v4.new_code_cell("", outputs=[display(image_png=picture)], metadata={"nbgrader": mark}))
    *students, attached, ours = shown(*cells)
    outputs = [output.data for cell in students for output in cell.outputs]
    kept = [data for data in outputs if "image/png" in data]
    assert len(outputs) == 20 and kept == outputs[:fit] and "image/png" in ours.outputs[0].data
    assert all("not shown" in data["text/plain"] for data in outputs[fit:])
    assert bool(attached.attachments) == (fit == 20)


def test_figures_of_the_students_cells_have_alternative_text():
    """Plain words of ours, with the cell's name."""
    answer = {"grade": False, "solution": True, "locked": False, "task": False, "grade_id": "sdpa"}
    figure = display(image_png=png())
    figure.metadata = {"image/png": {"alt": EVIL}}
    cells = [nbformat.v4.new_code_cell("", outputs=[figure], metadata={"nbgrader": answer}),
             nbformat.v4.new_code_cell("", outputs=[figure], id="added-2")]  # fmt: skip
    alts = [cell.outputs[0].metadata["image/png"] for cell in shown(*cells)]
    assert alts == [{"alt": "figure of the student's cell sdpa"}, {"alt": "figure of the student's cell added-2"}]


def test_metadata_of_cells_and_notebook_is_reduced_to_what_is_known():
    """Titles, widgets, lexer names, tags and marks of nbgrader all reach the templates."""
    mark = {"grade_id": "sdpa", "solution": True, "comment": EVIL, "score": 99, "locked": [EVIL]}
    cells = [
        nbformat.v4.new_code_cell("1", metadata={"nbgrader": mark, "tags": ["demo", EVIL], "magics_language": EVIL}),
        nbformat.v4.new_code_cell("2", metadata={"nbgrader": {"grade_id": f"a{EVIL}", "grade": True}, "alt": EVIL}),
        nbformat.v4.new_markdown_cell("3", metadata={"nbgrader": EVIL, "course": {"added": True, "x": EVIL}}),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.update(
        title=EVIL, widgets={"x": EVIL}, kernelspec={"display_name": EVIL, "name": EVIL},
        language_info={"name": EVIL, "pygments_lexer": EVIL}, course={"submission": "abc", "x": EVIL},
    )  # fmt: skip
    clean_notebook(notebook)
    assert EVIL not in str(notebook.metadata) and "course" not in notebook.metadata
    assert [dict(c.metadata) for c in notebook.cells] == [
        {"nbgrader": {"grade_id": "sdpa", "solution": True}, "tags": ["demo"]},
        {},
        {"course": {"added": True}},
    ]
    nbformat.validate(notebook)


def test_odd_missing_and_repeated_cell_ids_are_replaced():
    """Ids become HTML ids, and must be unique for a notebook to be valid."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("") for _ in range(4)])
    for cell, name in zip(notebook.cells, ["fine", f'"{EVIL}', "fine", 7], strict=True):
        cell["id"] = name
    clean_notebook(notebook)
    assert [c.id for c in notebook.cells] == ["fine", "cell-1", "cell-2", "cell-3"]


def test_rendering_keeps_the_graders_html_and_no_other():
    """Only test cells were written by the graders. Raw cells, which nbconvert prints as HTML, are shown as code."""
    mark = {"grade": True, "solution": False, "locked": True, "task": False, "grade_id": "a-tests", "points": 1}
    html = display(text_html="<b>1 of 1</b>", text_plain="1")
    cells = [
        nbformat.v4.new_code_cell("", outputs=[html], metadata={"nbgrader": mark}),
        nbformat.v4.new_code_cell("", outputs=[html], metadata={"nbgrader": mark | {"solution": True}}),
        nbformat.v4.new_raw_cell(EVIL, metadata={"raw_mimetype": "text/html"}),
        nbformat.v4.new_code_cell("x" * 200_000),
        nbformat.v4.new_code_cell("x" * 200_000),
        nbformat.v4.new_code_cell("x" * 200_000),
    ]
    notebook, _ = CleanNotebook().preprocess(nbformat.v4.new_notebook(cells=cells), {})
    assert "text/html" in notebook.cells[0].outputs[0].data
    assert "text/html" not in notebook.cells[1].outputs[0].data
    assert notebook.cells[2].cell_type == "code" and notebook.cells[2].source == EVIL
    assert 300_000 < sum(len(cell.source) for cell in notebook.cells) < 301_000


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("stream", {"name": "stderr", "text": "x"}),
        ("error", {"ename": "E", "evalue": "why", "traceback": ["line"]}),
        ("display_data", {"data": {"text/plain": "x"}}),
        ("display_data", {"data": {"image/png": "x"}, "metadata": {"image/png": {"alt": "what it shows"}}}),
        ("execute_result", {"data": {"text/plain": "1"}, "execution_count": None}),
    ],
)
def test_outputs_are_those_of_nbformat(kind, fields):
    """What we put together without the format's own check is the same, and would pass it."""
    made = new_output(kind, **fields)
    assert made == nbformat.v4.new_output(kind, **fields)
    assert all(type(part) is NotebookNode for part in (made, *(v for v in made.values() if isinstance(v, dict))))
