"""Expected against found as two small heat maps, on a public input."""

import io
from dataclasses import dataclass

import torch

from autograder.course.assignment import Assignment
from autograder.diagnosis.fingerprints import Observed
from autograder.diagnosis.replay import Recorded, recorded
from autograder.diagnosis.sketch import sketch, unlike


@dataclass(frozen=True)
class Picture:
    """A PNG that belongs to one test, and what it shows in words."""

    test: str
    png: bytes
    caption: str


def picture(assignment: Assignment, cell: str, observed: Observed) -> Picture | None:
    """The first answer to a request of a failed test that can be drawn and is wrong; None where there is none."""
    for number, parts in observed.drawable.items():
        request = recorded(assignment, cell)[number]
        if request.random:
            continue
        for part, right, found in parts:
            if unlike(sketch(found), sketch(right)):
                return _drawn(request, part, right, found)
    return None


def _drawn(request: Recorded, part: str, right: torch.Tensor, found: torch.Tensor) -> Picture:
    """The matrix, among those of the leading axes, in which most is wrong."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows, columns = right.shape[-2:]
    one, other = (t.double().reshape(-1, rows, columns) for t in (right, found))
    worst = int((one - other).abs().amax(dim=(1, 2)).argmax())
    one, other = one[worst], other[worst]
    low, high = float(min(one.min(), other.min())), float(max(one.max(), other.max()))
    figure = Figure(figsize=(6.4, 0.9 + 2.6 * min(1.0, max(0.35, rows / columns))), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, values, title in zip(axes, (one, other), ("expected", "yours"), strict=True):
        image = axis.imshow(values.numpy(), vmin=low, vmax=high, cmap="cividis", aspect="auto")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("last axis", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("axis before it", fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.9).ax.tick_params(labelsize=7)
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    name = request.fields.get("name") if request.do == "call" else None
    of = f" of {name}" if name else ""
    where = f" (index {worst} of the leading axes)" if right.dim() > 2 else ""
    caption = (
        f"Expected and found{of} on a public input: {part}, {rows} by {columns}{where}. "
        f"The largest difference is {float((one - other).abs().max()):.3g}."
    )
    return Picture(request.test, data.getvalue(), caption)
