"""The benchmark's outcome as a table for the README and as a picture."""

import io
import platform
from collections.abc import Sequence
from datetime import date
from html import escape

from autograder.bench.run import Row


def table(rows: Sequence[Row]) -> str:
    """Markdown: seconds a submission, submissions a minute, memory, and how many times the fastest peer's speed."""
    peers = min((r.seconds for r in rows if r.system.startswith(("nbgrader", "otter"))), default=0.0)
    lines = [
        f"{rows[0].count} submissions, every third with a mistake, the same checks everywhere, one thread a process; "
        f"{date.today().isoformat()}, {platform.machine()}, Python {platform.python_version()}.",
        "",
        "| system | seconds a submission | processor seconds | a minute | peak memory | times the faster peer |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        memory = f"{row.cost.memory / 2**20:.0f} MB" if row.cost.memory else ""
        lines.append(
            f"| {row.system} | {row.seconds:.2f} | {row.processor:.2f} | {60 / row.seconds:.1f} | {memory} | "
            f"{peers / row.seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


def chart(rows: Sequence[Row]) -> bytes:
    """SVG: seconds a submission, one bar a system."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasSVG(figure)
    axis = figure.subplots()
    names = [row.system for row in rows][::-1]
    values = [row.seconds for row in rows][::-1]
    colours = ["#9aa5b1" if "floor" in n else "#0b4f8a" if n.startswith("ours") else "#d98a1f" for n in names]
    bars = axis.barh(names, values, color=colours)
    axis.bar_label(bars, [f"{v:.1f} s" for v in values], padding=3)
    axis.set_xlabel("seconds on the clock, a submission")
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.12)
    data = io.BytesIO()
    figure.savefig(data, format="svg", metadata={"Title": escape("What grading a submission costs"), "Date": None})
    return data.getvalue()
