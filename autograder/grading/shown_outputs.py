"""How much the cells of one submission may show together."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from nbformat import NotebookNode

from autograder import limits
from autograder.feedback.outputs import new_output

LINE = (
    f"(More is not shown: all cells together may show {limits.SHOWN_PICTURE_BYTES // 2**20} MB of pictures and "
    f"{limits.SHOWN_CHARACTERS // 10**6} million characters.)"
)


@dataclass
class ShownOutputs:
    """The bytes of pictures and the characters of text that are left."""

    pictures: int = field(default_factory=lambda: limits.SHOWN_PICTURE_BYTES)
    characters: int = field(default_factory=lambda: limits.SHOWN_CHARACTERS)

    def fit(self, outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
        """Those of a cell's clean outputs for which there is room, and a line where there is none for others."""
        kept: list[NotebookNode] = []
        full = False
        for output in outputs:
            if output.get("text") == LINE:  # of an earlier fit
                full = True
                continue
            picture = len(output.get("data", {}).get("image/png", "")) * 3 // 4
            text = _characters(output)
            if picture > self.pictures or text > self.characters:
                full = True
            else:
                self.pictures -= picture
                self.characters -= text
                kept.append(output)
        return [*kept, new_output("stream", name="stdout", text=LINE)] if full else kept


def _characters(output: NotebookNode) -> int:
    own = [output.get("text", ""), output.get("ename", ""), output.get("evalue", ""), *output.get("traceback", ())]
    return sum(map(len, own)) + len(output.get("data", {}).get("text/plain", ""))
