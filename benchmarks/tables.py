"""A result as cells of text, which the terminal and the report show alike, and its publishing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results import RESULTS, Cell, Figure, Measure, Result, Row, Spread, write

WIDTH = 190
"""Columns that a table takes if it has to, wider than the terminal or in a file."""

NOTE_WIDTH = 16
HELD, MISSED = "held", "NOT held"


def publish(result: Result, folder: Path = RESULTS) -> Path:
    """Print the table and write the file; the last thing that a benchmark does."""
    result.seconds = round(time.time() - result.conditions.started_at, 1)
    print_result(result)
    path = write(result, folder)
    print(f"written to {path}")
    return path


def show(value: float) -> str:
    """Return a number with about three digits that mean something."""
    size = abs(value)
    if size >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:#.3g}"


def show_spread(spread: Spread, unit: str = "") -> str:
    """Return the median and, where rounds differ, the least and the most."""
    median, least, most = (show(one) + unit for one in (spread.median, spread.min, spread.max))
    return median if least == most else f"{median} ({least}-{most})"


def columns(result: Result) -> list[str]:
    """Return the headings: what was measured, each measure and its ratio, notes."""
    heads = [""]
    if result.x:
        heads.append(result.x)
    for measure in result.measures:
        heads.append(f"{measure.name}, {measure.unit}" if measure.unit else measure.name)
        if measure.ratio:
            heads.append("ratio")
    return [*heads, "note"] if any(map(_note, result.rows)) else heads


def lines(result: Result) -> Iterator[tuple[Row | None, list[str]]]:
    """Yield the rows as texts in the order of `columns`; before each group, None and its name."""
    heads, group = columns(result), ""
    for row in result.rows:
        if row.group != group:
            group = row.group
            yield None, [group, *[""] * (len(heads) - 1)]
        line = [row.label]
        if result.x:
            line.append("" if row.x is None else show(row.x))
        for measure in result.measures:
            line += _measured(result, row, measure)
        yield row, [*line, _note(row)] if heads[-1] == "note" else line


def _measured(result: Result, row: Row, measure: Measure) -> list[str]:
    spread = row.cells.get(measure.key, Cell()).spread
    text = [show_spread(spread) if spread else "-" if measure.key in row.cells else ""]
    if measure.ratio:
        ratio = result.ratio(row, measure.key)
        text.append("1" if row.baseline and spread else show_spread(ratio, "x") if ratio else "")
    return text


def _note(row: Row) -> str:
    reasons = dict.fromkeys(cell.refused for cell in row.cells.values() if cell.refused)
    return "; ".join([*([row.note] if row.note else []), *map(str, reasons)])


def print_result(result: Result) -> None:
    """Print the one table of a benchmark, and its notes below."""
    heads = columns(result)
    table = Table(title=result.title, title_justify="left", title_style="bold")
    for index, head in enumerate(heads):
        left = index == 0 or head == "note"
        table.add_column(
            head,
            justify="left" if left else "right",
            no_wrap=index == 0,
            overflow="fold",
            min_width=NOTE_WIDTH if head == "note" else None,
        )
    before: Row | None = None
    for row, line in lines(result):
        if row is None or (before is not None and row.x != before.x):
            table.add_section()
        before = row
        table.add_row(*line, style="bold" if row is None else "dim" if row.baseline else None)
    natural = Console(width=10 * WIDTH).measure(table).maximum
    console = Console(width=max(Console().width, min(WIDTH, natural)))
    console.print(table)
    for note in notes(result):
        console.print(note, markup=False, highlight=False)


def notes(result: Result) -> Sequence[str]:
    """Return the sentences below the table."""
    lines = list(result.notes)
    if any(measure.ratio for measure in result.measures) and any(r.baseline for r in result.rows):
        names = dict.fromkeys(row.label for row in result.rows if row.baseline)
        lines.append(f"Ratios are to {', '.join(names)}, of the same run.")
    if any(len(cell.rounds) > 1 for row in result.rows for cell in row.cells.values()):
        lines.append("Medians of the rounds, in brackets the least and the most.")
    if result.quick:
        lines.append("Measured quickly, in small sizes: to see that it works, not to be quoted.")
    return lines


def summary(result: Result, figure: Figure) -> tuple[str, str, str, str]:
    """Return a line of the summary: the figure, its ratio, the goal, and whether it held."""
    row = result.find(figure.label, figure.group, figure.x)
    measure = next(one for one in result.measures if one.key == figure.measure)
    if row is None:
        return "-", "-", goal(figure, measure.unit), "not measured"
    cell = row.cells.get(figure.measure, Cell())
    ratio = result.ratio(row, figure.measure)
    value = f"{show_spread(cell.spread)} {measure.unit}".strip() if cell.spread else "-"
    judged = (ratio.median if ratio else None) if figure.ratio else None
    if not figure.ratio and cell.spread:
        judged = cell.spread.median
    held = None if judged is None else figure.held(judged)
    verdict = {True: HELD, False: MISSED, None: ""}[held]
    if judged is None:
        verdict = cell.refused or "not measured"
    against = result.baseline_of(row.group, row.x)
    named = f"{show_spread(ratio, 'x')} of {against.label}" if ratio and against else "-"
    return value, named, goal(figure, measure.unit), verdict


def goal(figure: Figure, unit: str) -> str:
    """Return the goal in words, empty where there is none."""
    unit = "x" if figure.ratio else f" {unit}" if unit else ""
    parts = []
    if figure.at_least is not None:
        parts.append(f"at least {show(figure.at_least)}{unit}")
    if figure.at_most is not None:
        parts.append(f"at most {show(figure.at_most)}{unit}")
    return " and ".join(parts)
