"""The report's pictures, as SVG with an alternative text. No name of a student stands in one."""

import io
import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autograder.reporting.gather import KINDS, ClassResults, Kind

# Okabe and Ito (2008): told apart with every kind of colour vision, and dark to light in this order on paper, too
COLOURS: dict[Kind, str] = {
    "passed": "#0072B2",
    "through": "#A9D8F5",
    "wrong": "#E69F00",
    "error": "#B94700",
    "blank": "#C9CDD2",
}
INK, SOFT, BAR = "#1d2733", "#5a6673", COLOURS["passed"]
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, and readable aloud
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "axes.edgecolor": "#aab3bd",
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": INK,
    "svg.hashsalt": "report",
}
MISTAKES = 12  # in the picture; the list below it has all


@dataclass(frozen=True)
class Picture:
    """An SVG file and what it shows in words."""

    svg: bytes
    alt: str


def _drawn(width: float, height: float, draw: Callable[[Axes], str]) -> Picture:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        alt = draw(figure.subplots())
        data = io.BytesIO()
        figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
    # Verdana is as wide, so that a reader without the font sees the same layout
    return Picture(data.getvalue().replace(b"'DejaVu Sans'", b"'DejaVu Sans', Verdana, sans-serif"), alt)


def marks(results: ClassResults) -> Picture:
    """How the automatic points are distributed."""
    scores = np.array([r.score for r in results.graded.values()] or [0.0])
    most = results.max_score
    step = next((s for s in (0.5, 1, 2, 5, 10, 20, 50) if most / s <= 20), math.ceil(most / 20))
    edges = np.arange(0, most + step, step)

    def draw(axes: Axes) -> str:
        counts, _, _ = axes.hist(np.clip(scores, 0, most), bins=edges.tolist(), color=BAR, rwidth=0.92)
        middle = float(np.median(scores))
        halo = [patheffects.withStroke(linewidth=4, foreground="white")]  # so that it shows on a bar
        axes.axvline(middle, color=INK, linewidth=2, path_effects=halo)
        right = middle < 0.7 * most
        axes.annotate(
            f"median {middle:g}", (middle, 1), xycoords=("data", "axes fraction"), xytext=(6 if right else -6, -4),
            textcoords="offset points", ha="left" if right else "right", va="top", weight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
        )  # fmt: skip
        axes.set_ylim(0, float(max(counts)) * 1.18)
        axes.set_xlim(0, edges[-1])
        axes.set_xlabel(f"automatic points, of {most:g}")
        axes.set_ylabel("submissions")
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
        quarter, three = np.percentile(scores, [25, 75])
        return (
            f"Histogram of the automatic points of {len(scores)} submissions: median {middle:g} of {most:g}, the "
            f"middle half between {quarter:g} and {three:g}, lowest {scores.min():g}, highest {scores.max():g}."
        )

    return _drawn(6.4, _tall(results), draw)


def _tall(results: ClassResults) -> float:
    """Height of the two pictures that stand side by side."""
    return max(2.6, 0.9 + 0.26 * len(results.assignment.upstream))


def components(results: ClassResults) -> Picture:
    """The share of each component's points that the class earned."""
    shares: dict[str, float] = {}
    for cell in map(results.assignment.test_cell, results.assignment.upstream):
        found = [r.cells[cell] for r in results.graded.values() if cell in r.cells]
        if found:
            most = sum(c.max_score for c in found)
            shares[cell.removesuffix("-tests")] = sum(c.score for c in found) / max(1e-9, most)

    def draw(axes: Axes) -> str:
        places = range(len(shares))
        axes.barh(places, [100] * len(shares), color=COLOURS["blank"], alpha=0.45, height=0.66)
        axes.barh(places, [100 * s for s in shares.values()], color=BAR, height=0.66)
        for place, share in zip(places, shares.values(), strict=True):
            inside = share > 0.2
            axes.text(
                100 * share + (-1.5 if inside else 1.5), place, f"{100 * share:.0f} %", va="center",
                ha="right" if inside else "left", color="white" if inside else INK, fontsize=9,
            )  # fmt: skip
        axes.set_yticks(places, list(shares))
        axes.set_ylim(len(shares) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("points earned by the class, %")
        axes.tick_params(axis="y", length=0)
        told = ", ".join(f"{name} {100 * s:.0f} %" for name, s in sorted(shares.items(), key=lambda item: item[1]))
        return f"Share of each part's points that the class earned, lowest first: {told}."

    return _drawn(6.4, _tall(results), draw)


def pass_rates(results: ClassResults) -> Picture:
    """What each hidden test found, in the order of the notebook."""
    rows: list[tuple[float, int]] = []  # place on the axis, number of the test
    heads: list[tuple[float, str]] = []
    place, cell = 0.0, ""
    for number, test in enumerate(results.tests):
        if test.cell != cell:
            cell, place = test.cell, place + (0.5 if cell else 0)
            heads.append((place, cell))
            place += 1
        rows.append((place, number))
        place += 1
    tests = results.tests

    def draw(axes: Axes) -> str:
        left = np.zeros(len(tests))
        for kind, colour in COLOURS.items():
            widths = np.array([100 * t.kinds[kind] / max(1, t.kinds.total()) for t in tests])
            axes.barh([p for p, _ in rows], widths, left=left, color=colour, height=0.78, label=KINDS[kind])
            left += widths
        for at, number in rows:
            axes.text(101, at, f"{100 * tests[number].rate:.0f} %", va="center", fontsize=9, color=SOFT)
        labels = [textwrap.shorten(tests[n].title.replace("`", ""), 74, placeholder=" …") for _, n in rows]
        axes.set_yticks([p for p, _ in rows], labels, fontsize=9)
        axes.set_yticks([], minor=True)
        for at, name in heads:
            axes.text(-0.012, at, name, transform=axes.get_yaxis_transform(), ha="right", va="center", weight="bold")
        axes.set_ylim(place - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("submissions, %")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.figure.legend(loc="outside upper center", ncols=len(COLOURS), frameon=False, fontsize=9, handlelength=1.2,
                           columnspacing=1.4, handletextpad=0.5)  # fmt: skip
        low = sorted(tests, key=lambda t: t.rate)[:5]
        told = "; ".join(f"{t.cell}: {t.title} ({100 * t.rate:.0f} %)" for t in low)
        return f"Share of the submissions that passed each of {len(tests)} hidden tests. Lowest: {told}. All: below."

    return _drawn(11.2, 0.9 + 0.215 * place, draw)


def mistakes(results: ClassResults) -> Picture:
    """The commonest mistakes that could be named."""
    shown = results.mistakes[:MISTAKES]

    def draw(axes: Axes) -> str:
        counts = [len(m.students) for m in shown]
        labels = [f"{m.known.cell}: {m.known.mistake}" if m.known else m.id for m in shown]
        wrapped = [_in_two(textwrap.shorten(t, 132, placeholder=" …")) for t in labels]
        axes.barh(range(len(shown)), counts, color=COLOURS["wrong"], height=0.62)
        for place, count in enumerate(counts):
            axes.text(count + 0.01 * max(counts), place, f" {count}", va="center", weight="bold")
        axes.set_yticks(range(len(shown)), wrapped, fontsize=9)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, max(counts) * 1.08)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("students")
        return "Bars: students for each mistake. " + "; ".join(f"{n}: {t}" for n, t in zip(counts, labels, strict=True))

    return _drawn(11.2, 0.8 + 0.44 * len(shown), draw)


def _in_two(text: str) -> str:
    """Long text in two lines of about the same length."""
    return text if len(text) <= 66 else "\n".join(textwrap.wrap(text, max(34, len(text) // 2 + 6)))


def times(results: ClassResults) -> Picture:
    """How long grading took."""
    seconds = [r.seconds for r in results.graded.values()] or [0.0]

    def draw(axes: Axes) -> str:
        axes.hist(seconds, bins=min(30, max(8, len(seconds) // 2)), color=BAR, rwidth=0.92)
        axes.set_xlabel("seconds to grade one submission")
        axes.set_ylabel("submissions")
        axes.set_xlim(left=0)
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
        return (
            f"Histogram of grading times: median {median(seconds):.0f} s, longest {max(seconds):.0f} s, "
            f"{len(results.slow)} much longer than the others."
        )

    return _drawn(6.4, 2.6, draw)
