"""The picture of a feedback page that the README shows."""

import struct

from autograder.demo.screenshot import CELLS, take

PAGE = """<!DOCTYPE html><main><div id="notebook-container" style="width: 300px">{}</div></main>"""
CELL = """<div class="cell" id="cell-id={}" style="height: 100px">
<div class="panel-body" style="height: 100px"></div><div style="height: {}px"></div></div>"""


def test_the_picture_has_the_chosen_cells_and_no_sources_of_test_cells(browser, tmp_path):
    """A page that is otherwise empty, by the height of the picture."""
    page = PAGE.format("".join(CELL.format(name, 0) for name in ("other", *CELLS, "mha")))
    take(browser, page.replace("height: 100px", "min-height: 10px"), tmp_path / "page.png")
    width, height = struct.unpack(">II", (tmp_path / "page.png").read_bytes()[16:24])
    assert (width, height) == (300, 30)
