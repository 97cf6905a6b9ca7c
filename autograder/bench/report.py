"""The benchmark's outcome as a table for the README and as a picture."""

import io
import os
import platform
from collections.abc import Sequence
from datetime import date
from html import escape
from pathlib import Path

from autograder.bench.commands import Wait
from autograder.bench.run import BigClass, Row, Where

PEERS = ("nbgrader autograde", "otter run")


def table(rows: Sequence[Row]) -> str:
    """Markdown: seconds a submission, submissions a minute, memory, and how many times each peer's speed."""
    peers = [next((row.seconds for row in rows if row.system == name), 0.0) for name in PEERS]
    lines = [
        f"{rows[0].count} submissions, every third with a mistake, the same checks everywhere, one thread a process; "
        f"{date.today().isoformat()}, {_machine()}, Python {platform.python_version()}.",
        "",
        "| system | seconds a submission | processor seconds | a minute | peak memory | times nbgrader | times otter |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        memory = f"{row.cost.memory / 2**20:.0f} MB" if row.cost.memory else ""
        lines.append(
            f"| {row.system} | {row.seconds:.2f} | {row.processor:.2f} | {60 / row.seconds:.1f} | {memory} | "
            + " | ".join(f"{peer / row.seconds:.1f}" for peer in peers)
            + " |"
        )
    return "\n".join(lines) + "\n"


def told_of(big: BigClass) -> str:
    """One sentence on a whole class in one run."""
    cost, row = big.row.cost, big.row
    memory = f"private memory of all processes at most {cost.memory / 2**20:.0f} MB"
    return (
        f"{row.count} submissions in one run: {row.seconds:.2f} seconds each, {row.processor:.2f} of processors; "
        f"{memory}, in the last quarter {cost.growth():.2f} times that of the second; "
        f"left behind: {', '.join(big.left) or 'nothing'}.\n"
    )


def table_of_phases(found: Sequence[Where]) -> str:
    """Markdown: where the time of one submission goes."""
    names = list(found[0].seconds)
    lines = [f"| seconds a submission | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    told = {"all": "everything run again", "definitions": "definitions"}
    lines += [f"| {told[w.mode]} | {' | '.join(f'{w.seconds[n]:.2f}' for n in names)} |" for w in found]
    return "\n".join(lines) + "\n"


def table_of_waits(found: Sequence[Wait]) -> str:
    """Markdown: what else people wait for."""
    lines = ["| what | seconds |", "|---|---|", *(f"| {wait.what} | {wait.seconds:.2f} |" for wait in found)]
    return "\n".join(lines) + "\n"


def _machine() -> str:
    """The processor and how many of it."""
    known = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in known if line.startswith("model name")]
    return f"{os.cpu_count()} cores ({names[0] if names else platform.machine()})"


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
