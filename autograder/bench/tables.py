"""The benchmark's outcome as a table for the README and as a picture."""

import io
import os
import platform
from collections.abc import Sequence
from datetime import date
from html import escape
from pathlib import Path

from autograder.bench.notebook import EPOCHS
from autograder.bench.systems import BigClass, Row, Where
from autograder.bench.waits import Wait

MODES = {"all": "everything run again", "definitions": "definitions"}
PEERS = ("nbgrader autograde", "otter run")


def table(rows: Sequence[Row], epochs: int = EPOCHS) -> str:
    """Markdown: seconds a submission, submissions a minute, memory, and how many times each peer's speed."""
    peers = [next((row.seconds for row in rows if row.system == name), 0.0) for name in PEERS]
    lines = [
        f"{rows[0].count} submissions with {epochs} epochs of training in their demonstrations, every third with a "
        "mistake, the same checks everywhere, one thread a process; "
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


def table_of_classes(found: Sequence[BigClass]) -> str:
    """Markdown: whole classes in one run each; what was left behind is told below."""
    alone = {(big.notebook, big.mode): big.row.seconds for big in found if big.cores == 1}
    lines = [
        "| a class of | what is run | cores | seconds a submission | times one core | processor seconds | peak memory "
        "| memory, last quarter by second |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for big in found:
        cost, row, one = big.row.cost, big.row, alone.get((big.notebook, big.mode))
        times = f"{one / row.seconds:.2f}" if one else ""
        lines.append(
            f"| {row.count}, {big.notebook} | {MODES[big.mode]} | {big.cores} | {row.seconds:.2f} | {times} "
            f"| {row.processor:.2f} | {cost.memory / 2**20:.0f} MB | {cost.growth():.2f} |"
        )
    left = sorted({what for big in found for what in big.left})
    return "\n".join([*lines, "", f"Left behind: {', '.join(left) or 'nothing'}."]) + "\n"


def table_of_phases(found: Sequence[Where]) -> str:
    """Markdown: where the time of one submission goes."""
    names = list(found[0].seconds)
    lines = [f"| seconds a submission | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {MODES[w.mode]} | {' | '.join(f'{w.seconds[n]:.2f}' for n in names)} |" for w in found]
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
    axis.bar_label(bars, [f"{v:.2f} s" for v in values], padding=3)
    axis.set_xlabel("seconds on the clock, a submission")
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.12)
    data = io.BytesIO()
    figure.savefig(data, format="svg", metadata={"Title": escape("What grading a submission costs"), "Date": None})
    return data.getvalue()
