"""A feedback page in a real browser, as if cleaning had failed: what was smuggled into it neither runs nor calls home."""

import base64
import struct
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import nbformat
import pytest
from test_feedback_markdown import VECTORS

from autograder.feedback import formulas, markdown
from autograder.feedback.cells import picture_output
from autograder.feedback.page import POLICY, feedback_page
from autograder.results.result import CellOutcome, Result

# each marks the page or asks the listener for something of its own name
SMUGGLED = """
<script>document.body.dataset.ran += ' inline'</script>
<script src="HOME/script"></script>
<img src="/missing" onerror="document.body.dataset.ran += ' handler'">
<svg onload="document.body.dataset.ran += ' svg'"></svg>
<img src="HOME/picture">
<link rel="stylesheet" href="HOME/sheet">
<style>@import url(HOME/import); #smuggled { background: url(HOME/background) }</style>
<div id="smuggled">x</div>
<iframe src="HOME/frame"></iframe>
<iframe srcdoc="<script>parent.document.body.dataset.ran += ' framed'</script>"></iframe>
<object data="HOME/object"></object>
<video src="HOME/video" autoplay></video>
<a id="link" href="javascript:void(document.body.dataset.ran += ' link')">x</a>
"""
RUNS = {"inline", "handler", "svg", "framed", "link"}
ASKED = {"/script", "/missing", "/picture", "/sheet", "/import", "/background", "/frame", "/object", "/video"}
TEST = {"grade": True, "solution": False, "locked": True, "task": False, "grade_id": "a-tests", "points": 3}


class Listener(ThreadingHTTPServer):
    """Serves one page on this machine, and remembers what else it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.address, self.page, self.asked = f"http://127.0.0.1:{self.server_port}", "", set[str]()


class Answer(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        if self.path != "/page":
            self.server.asked.add(self.path)
        self.send_response(200 if self.path == "/page" else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.server.page.encode() if self.path == "/page" else b"")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def png(width: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header, rows = struct.pack(">IIBBBBB", width, 1, 8, 0, 0, 0, 0), zlib.compress(bytes(width + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def a_page() -> str:
    """With a figure of the student's, one that is attached to an answer, and one of the graders'."""
    encoded = {width: base64.b64encode(png(width)).decode() for width in (3, 4)}
    figure = nbformat.v4.new_output("display_data", {"image/png": encoded[3]})
    attached = {"a": {"image/png": encoded[4]}}
    cells = [
        nbformat.v4.new_code_cell("plot()", outputs=[figure], id="added-1"),
        nbformat.v4.new_markdown_cell("![mine](attachment:a) so $a_b$", attachments=attached),
        nbformat.v4.new_code_cell("test()", outputs=[picture_output(png(5), "ours")], metadata={"nbgrader": TEST}),
    ]
    result = Result("x", "a.ipynb", "graded", 0, 3, 1.0, {"a-tests": CellOutcome(0, 3)})
    return feedback_page(nbformat.v4.new_notebook(cells=cells), result)


def look(browser: Any, listener: Listener, page: str) -> tuple[set[str], set[str], dict[str, int]]:
    """What ran in this page, the addresses it asked for, and the widths of its pictures by their text."""
    listener.page = page.replace("HOME", listener.address)
    asked: set[str] = set()
    refused: set[str] = set()  # by the policy, before anything was sent
    context = browser.new_context()
    try:
        # the listener is all that could be reached; what would have gone elsewhere is in `asked`, too
        own = lambda url: url.startswith((f"{listener.address}/", "data:", "about:"))  # noqa: E731
        context.route("**/*", lambda route: route.continue_() if own(route.request.url) else route.abort())
        view = context.new_page()
        view.on("request", lambda request: asked.add(request.url))
        view.on("requestfailed", lambda request: refused.add(request.url) if request.failure == "csp" else None)
        view.goto(f"{listener.address}/page", wait_until="load")
        if view.query_selector("#link"):
            view.click("#link")
        view.wait_for_timeout(500)
        ran = set((view.get_attribute("body", "data-ran") or "").replace("undefined", "").split())
        shown = view.eval_on_selector_all("img[alt]", "all => all.map(one => [one.alt, one.naturalWidth])")
    finally:
        context.close()
    kept = {url.removeprefix(listener.address) for url in asked - refused if not url.startswith(("data:", "about:"))}
    return ran, (kept | listener.asked) - {"/page", "/favicon.ico"}, dict(shown)


PICTURES = {"figure of the student's cell added-1": 3, "mine": 4, "ours": 5}


def test_a_page_asks_for_nothing_and_shows_its_pictures(browser, listener):
    """As it is made: pictures are within it, and formulas are drawn by the browser itself."""
    assert look(browser, listener, a_page()) == (set(), set(), PICTURES)


def test_what_was_smuggled_into_a_page_neither_runs_nor_asks(browser, listener):
    """Scripts, handlers, frames, pictures and style sheets; the page's own pictures are still shown."""
    page = a_page().replace("</body>", f"{SMUGGLED}</body>")
    assert "document.body.dataset.ran" in page
    assert look(browser, listener, page) == (set(), set(), PICTURES)


def test_without_the_policy_all_of_it_would_run(browser, listener):
    """So the test above sees something."""
    page = a_page().replace("</body>", f"{SMUGGLED}</body>").replace(POLICY, "")
    assert look(browser, listener, page) == (RUNS, ASKED, PICTURES)


# name and attributes of each element in the student's cells, as this browser has read them
ELEMENTS = """() => [...document.querySelectorAll(".text_cell_render *")].map(
    element => [element.localName, element.namespaceURI, [...element.attributes].map(one => [one.name, one.value])]
)"""


def test_what_cleaning_leaves_of_an_attack_does_nothing_without_the_policy(browser, listener):
    """By the browser's own reading of it: nothing runs or is asked for, and each element is one that may stand."""
    cells = [nbformat.v4.new_markdown_cell(text) for v in VECTORS for text in (v, f"Answer: {v} so.", f"- {v}")]
    result = Result("x", "a.ipynb", "graded", 0, 3, 1.0, {})
    listener.page = feedback_page(nbformat.v4.new_notebook(cells=cells), result).replace(POLICY, "")
    asked: list[str] = []
    said: list[str] = []
    view = browser.new_page()
    view.on("request", lambda request: asked.append(request.url))
    view.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    view.route(
        "**/*", lambda route: route.continue_() if route.request.url.startswith(listener.address) else route.abort()
    )
    view.goto(f"{listener.address}/page", wait_until="load")
    view.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    view.wait_for_timeout(300)
    elements = view.evaluate(ELEMENTS)
    view.close()
    assert not said
    assert {url for url in asked if not url.startswith("data:")} <= {
        f"{listener.address}{path}" for path in ("/page", "/favicon.ico")
    }
    assert len(elements) > 1_000
    for name, space, attributes in elements:
        if space.endswith("MathML"):
            assert name in formulas.TAGS and {name for name, _ in attributes} <= formulas.ATTRIBUTES.keys() | {"xmlns"}
        else:
            assert space.endswith("xhtml") and name in markdown.TAGS
            assert {name for name, _ in attributes} <= markdown.ATTRIBUTES[name]
            for attribute, value in attributes:
                assert attribute != "href" or value.startswith(("https://", "mailto:", "#")), value
                assert attribute != "src" or value.startswith("data:image/"), value


FORMULAS = r"""Inline $\frac{a}{b}$, wide $WIDE$, and

$$\begin{aligned} a + b + c &= d \\ e &= \begin{pmatrix} 1 \\ 2 \\ 3 \end{pmatrix} \end{aligned}$$
""".replace("WIDE", "a_1 + b_2 = " * 40)
PLACES = """() => {
    const box = element => element.getBoundingClientRect();
    const [fraction, wide, equations] = document.querySelectorAll("math");
    const last = cell => box(cell.lastElementChild || cell).right;
    const [first, second] = [...equations.querySelectorAll("mtd[columnalign=right]")].map(last);
    const [above, below] = [...fraction.querySelectorAll("mi")].map(box);
    return {
        stacked: above.bottom <= below.top,
        aligned: Math.abs(first - second) < 1,
        within: document.documentElement.scrollWidth <= innerWidth,
        wide: box(wide).width > innerWidth,
    };
}"""


def test_formulas_are_drawn_in_two_dimensions_and_within_the_page(browser):
    """By the browser itself, without a script: fractions stand, equations align, and a wide formula scrolls."""
    result = Result("x", "a.ipynb", "graded", 0, 3, 1.0, {})
    view = browser.new_page()
    view.set_content(feedback_page(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(FORMULAS)]), result))
    places = view.evaluate(PLACES)
    view.close()
    assert all(places.values()), places
