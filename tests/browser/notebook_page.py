"""What a student does in JupyterLab, as steps: open a notebook, run a cell, fill it in, read what it shows."""

from typing import Any

HERE = "const panel = window.jupyterapp.shell.currentWidget, notebook = panel.content;"
FIND = (
    HERE + "const index = notebook.widgets.findIndex(w => (w.model.getMetadata('nbgrader') || {}).grade_id === name);"
)
# how far anything in a text cell stands out to the right, as [index of the cell, pixels, what]
STANDS_OUT = (
    HERE
    + """
    const found = [];
    for (const [index, widget] of notebook.widgets.entries())
      for (const text of widget.node.querySelectorAll('.jp-RenderedMarkdown')) {
        const edge = text.getBoundingClientRect().right;
        if (text.scrollWidth > text.clientWidth + 1) found.push([index, text.scrollWidth - text.clientWidth, 'the cell scrolls']);
        for (const part of text.querySelectorAll(':not(mjx-assistive-mml, mjx-assistive-mml *)')) {
          const box = part.getBoundingClientRect();
          if (box.width && box.right > edge + 1) found.push([index, box.right - edge, part.tagName]);
        }
      }
    return found;"""
)
FIGURES = (
    HERE
    + """
    return [...notebook.node.querySelectorAll('.jp-OutputArea img')].map(i =>
      ({alt: i.alt, width: i.naturalWidth, shown: i.clientWidth, room: i.closest('.jp-OutputArea-output').clientWidth}));"""
)


class NotebookPage:
    """A notebook that is open in a browser."""

    def __init__(self, page: Any, address: str, path: str) -> None:
        self.page = page
        # a workspace for each notebook, so that no tab of another test is restored
        name = path.replace("/", "-").removesuffix(".ipynb")
        page.goto(f"{address}/lab/workspaces/{name}/tree/{path}?reset")
        page.wait_for_selector(".jp-Notebook .jp-RenderedMarkdown h1", timeout=60_000)

    def run(self, name: str, seconds: float = 60) -> str:
        """Run the cell with this grade id by Shift+Enter; what it shows, as text."""
        self._select(name)
        before = self._ask(name, "return notebook.widgets[index].model.executionCount;")
        self.page.keyboard.press("Shift+Enter")
        done = "model.executionState === 'idle' && model.executionCount !== null && model.executionCount !== before"
        self.page.wait_for_function(
            f"([name, before]) => {{ {FIND} const model = notebook.widgets[index].model; return {done}; }}",
            arg=[name, before], timeout=seconds * 1000,
        )  # fmt: skip
        return self.shown(name)

    def wait_for_kernel(self) -> None:
        ready = "return panel.sessionContext.session?.kernel?.status === 'idle';"
        self.page.wait_for_function(f"() => {{ {HERE} {ready} }}", timeout=60_000)

    def shown(self, name: str) -> str:
        return self._ask(name, "return notebook.widgets[index].outputArea.node.innerText;")

    def figures(self) -> list[dict[str, Any]]:
        """Alternative text and sizes of every picture in an output."""
        return self.page.evaluate(f"() => {{ {FIGURES} }}")

    def fill(self, name: str, source: str) -> None:
        """Replace what stands in a cell, as by pasting."""
        self._select(name)
        self.page.keyboard.press("Enter")
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)
        assert self._ask(name, "return notebook.widgets[index].model.sharedModel.getSource();") == source

    def zoom(self, factor: float) -> None:
        """What a browser's zoom does: fewer of the page's pixels across; the side bar is closed to make room."""
        self.page.set_viewport_size({"width": int(1280 / factor), "height": int(800 / factor)})
        self.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        self.page.wait_for_timeout(1000)  # JupyterLab lays itself out once the window has stood still

    def stands_out(self) -> list[Any]:
        return self.page.evaluate(f"() => {{ {STANDS_OUT} }}")

    def _select(self, name: str) -> None:
        self._ask(name, "notebook.activeCellIndex = index; notebook.mode = 'command'; notebook.activate();")
        self._ask(name, "notebook.scrollToItem(index);")

    def _ask(self, name: str, what: str) -> Any:
        return self.page.evaluate(
            f"name => {{ {FIND} if (index < 0) throw new Error('no cell ' + name); {what} }}", name
        )
