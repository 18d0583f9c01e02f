"""The plots of a result as PNG files. The only module that needs matplotlib.

Colours are those of Okabe and Ito, which people with any colour vision tell apart; lines differ in
their marks too, and the alternative is grey and hatched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.results import Bars, Cell, Lines, Measure, Result, Row
from benchmarks.tables import show

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#000000")
MARKS = "osD^vPX*"
GREY = "#8C8C8C"
MAX_TICKS = 8
MAX_LINES_INSIDE = 6
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "hatch.linewidth": 0.6,
}


def draw(result: Result, plot: Bars | Lines, path: Path) -> None:
    """Draw one plot into a PNG file."""
    measure = next(one for one in result.measures if one.key == plot.measure)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        rows = [
            row
            for row in result.rows
            if row.group.startswith(plot.groups) and (not plot.labels or row.label in plot.labels)
        ]
        if isinstance(plot, Bars):
            count = draw_bars(axes, result, plot, rows, measure)
            figure.set_size_inches(8, 1.3 + 0.27 * count)
        else:
            lines = draw_lines(axes, result, plot, rows, measure)
            if lines > MAX_LINES_INSIDE:
                figure.set_size_inches(8, 4.5 + 0.1 * lines)
        title = ": ".join(part for part in (result.title, plot.groups) if part)
        axes.set_title(title, loc="left", wrap=True, fontsize=11)
        figure.savefig(path, dpi=120)
        plt.close(figure)


def axis_label(measure: Measure) -> str:
    """Return what an axis of the measure is called."""
    unit = f", {measure.unit}" if measure.unit else ""
    return f"{measure.name}{unit} ({measure.better} is better)"


def colours(rows: Sequence[Row]) -> dict[str, str]:
    """Return a colour for each label; alternatives are grey where others have colours."""
    apart = dict.fromkeys(row.label for row in rows if not row.baseline)
    named = {label: COLOURS[at % len(COLOURS)] for at, label in enumerate(apart)}
    return {row.label: named.get(row.label, GREY) for row in rows}


def draw_bars(
    axes: Axes, result: Result, plot: Bars, rows: Sequence[Row], measure: Measure
) -> float:
    """Draw a bar a row, groups under their names; returns how many bars' heights that takes."""
    shades, places = colours(rows), bar_places(axes, result, plot, rows)
    least, most = 0.0, 0.0
    for at, row in zip(places, rows, strict=True):
        cell = row.cells.get(measure.key, Cell())
        spread = cell.spread
        if spread is not None:
            most = max(most, spread.max)
            least = min(least or spread.min, spread.min)
            hatch = "///" if row.baseline else None
            error = [[spread.median - spread.min], [spread.max - spread.median]]
            axes.barh(
                at, spread.median, 0.8, color=shades[row.label], hatch=hatch, edgecolor="white",
                xerr=error if spread.min < spread.max else None, ecolor="#333333", capsize=2,
            )  # fmt: skip
        ratio = result.ratio(row, measure.key)
        text = show(spread.median) if spread else "refused" if cell.refused else "-"
        text += f"  ({show(ratio.median)}x)" if ratio else ""
        end, across = (spread.max, "data") if spread else (0.0, "axes fraction")
        axes.annotate(
            text, (end, at), (5, 0), (across, "data"), "offset points", va="center", fontsize=8.5
        )  # fmt: skip
    axes.set_yticks(places, [row.label for row in rows])
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(axis_label(measure))
    scale(axes, log_x=plot.log and most > 0)
    left = 10 ** math.floor(math.log10(least)) if plot.log and least else 0
    axes.set_xlim(left, most * (8 if plot.log else 1.3) or 1)  # room for the texts at the ends
    if plot.limit is not None:
        axes.axvline(plot.limit, color="#333333", linestyle="--", linewidth=1)
    return places[-1] + 1


def bar_places(axes: Axes, result: Result, plot: Bars, rows: Sequence[Row]) -> list[float]:
    """Return where each bar is; write the name of each group and x above its bars."""
    places: list[float] = []
    at, before = -1.0, ""
    for row in rows:
        where = f"{show(row.x)} {result.x}" if row.x is not None else ""
        group = row.group.removeprefix(plot.groups).lstrip(": ")
        name = ", ".join(part for part in (group, where) if part)
        at += 1
        if name != before:
            before = name
            at += 0.3 if places else 0
            style: Any = {"va": "center", "fontsize": 9, "fontweight": "bold"}
            axes.text(0.005, at, name, transform=axes.get_yaxis_transform(), **style)
            at += 1
        places.append(at)
    return places


def draw_lines(
    axes: Axes, result: Result, plot: Lines, found: Sequence[Row], measure: Measure
) -> int:
    """Draw a line a label, over x, with a band from the least to the most; returns how many."""
    names = list(dict.fromkeys((row.group, row.label) for row in found))
    grouped = len({group for group, _ in names}) > 1
    shades = colours(found)
    for at, (group, label) in enumerate(names):
        rows = [row for row in found if (row.group, row.label) == (group, label)]
        points = sorted(
            (row.x, cell.spread.median, cell.spread.min, cell.spread.max)
            for row in rows
            if row.x is not None and (cell := row.cells.get(measure.key)) and cell.spread
        )
        if not points:
            continue
        xs, medians, least, most = zip(*points, strict=True)
        colour = COLOURS[at % len(COLOURS)] if grouped else shades[label]
        style = "--" if rows[0].baseline else "-"
        last = result.find(label, group, xs[-1])
        ratio = result.ratio(last, measure.key) if last else None
        name = ", ".join(filter(None, (group if grouped else "", label)))
        name += f" ({show(ratio.median)}x at {show(xs[-1])})" if ratio else ""
        name += " (alternative)" if rows[0].baseline else ""
        axes.plot(xs, medians, style, marker=MARKS[at % len(MARKS)], color=colour, label=name)
        axes.fill_between(xs, least, most, color=colour, alpha=0.18, linewidth=0)
    scale(axes, log_x=plot.log_x, log_y=plot.log_y)
    measured = sorted({row.x for row in found if row.x is not None})
    if len(measured) <= MAX_TICKS:
        axes.set_xticks(measured)
    if not plot.log_y:
        axes.set_ylim(bottom=0)
    if plot.limit is not None:
        axes.axhline(plot.limit, color="#333333", linestyle=":", linewidth=1.2)
    axes.set_xlabel(result.x)
    axes.set_ylabel(axis_label(measure))
    return write_legend(axes)


def write_legend(axes: Axes) -> int:
    """Write which line is what, below the plot where there are many; returns how many."""
    lines = len(axes.get_legend_handles_labels()[0])
    if lines > MAX_LINES_INSIDE:
        place: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12), "ncols": 2}
        axes.legend(frameon=False, fontsize=8, **place)
    elif lines:
        axes.legend(frameon=False, fontsize=9)
    return lines


def scale(axes: Axes, *, log_x: bool = False, log_y: bool = False) -> None:
    """Set the scales, with numbers as tables have them."""
    for axis, wanted, log in ((axes.xaxis, True, log_x), (axes.yaxis, log_y, log_y)):
        if log:
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            crowded = axis is axes.xaxis  # numbers side by side, and wide ones
            axis.set_major_locator(LogLocator(subs=(1,) if crowded else (1, 2, 5), numticks=12))
            axis.set_minor_formatter(NullFormatter())
        if wanted:
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
