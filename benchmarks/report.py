"""The report: all results of a folder as one Markdown page with plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.conditions import Conditions
from benchmarks.results import Bars, Lines, Result, read
from benchmarks.suite import SUITE
from benchmarks.tables import MISSED, columns, lines, notes, summary

Draw = Callable[[Result, Bars | Lines, Path], None]

OUTCOMES = "run.json"
"""What became of each benchmark, beside the results that they wrote."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one benchmark: `problem` is empty when it wrote its result."""

    name: str
    problem: str = ""
    failed: bool = False


def read_outcomes(folder: Path) -> list[Outcome]:
    """Return what became of the benchmarks run so far."""
    try:
        return msgspec.json.decode((folder / OUTCOMES).read_bytes(), type=list[Outcome])
    except FileNotFoundError:
        return []


def write_outcomes(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Keep what became of these benchmarks, and what is known of others."""
    known = {one.name: one for one in (*read_outcomes(folder), *outcomes)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OUTCOMES).write_bytes(msgspec.json.encode(list(known.values())))


def read_results(folder: Path) -> list[Result]:
    """Return the results in the order of the suite, then by name."""
    order = [benchmark.name for benchmark in SUITE]
    results = [read(path) for path in sorted(folder.glob("*.json")) if path.name != OUTCOMES]
    known = [order.index(one.name) if one.name in order else len(order) for one in results]
    return [one for _, one in sorted(zip(known, results, strict=True), key=lambda pair: pair[0])]


def write_report(folder: Path, draw: Draw | None) -> Path:
    """Write `report.md` and, with `draw`, its plots; returns its path."""
    results = read_results(folder)
    parts = ["# Benchmarks", *machine(results), *summarised(results)]
    parts += problems(results, read_outcomes(folder))
    for result in results:
        parts += section(result, folder, draw)
    if draw is None:
        parts.append("Plots are missing here: matplotlib is not installed.")
    path = folder / "report.md"
    path.write_text("\n\n".join(parts) + "\n", "utf-8")
    return path


def machine(results: Sequence[Result]) -> list[str]:
    """Return the paragraphs on what was measured where."""
    if not results:
        return ["No results here yet."]
    dates = sorted(result.conditions.date for result in results)
    last = max(results, key=lambda result: result.conditions.started_at).conditions
    parts = [
        f"{len(results)} benchmarks, {dates[0]} to {dates[-1]}. Each figure is the median of the"
        " rounds, in brackets the least and the most; a ratio is that to the alternative of the"
        " same run.",
        f"{last.cores} cores of {last.cpu}, {last.memory_gib:g} GiB, {last.kernel}, {last.python};"
        f" commit {last.commit or 'unknown'}"
        + (" (a plus: with changes)" if last.commit.endswith("+") else "")
        + ".",
        ", ".join(f"{name} {version}" for name, version in last.versions.items()) + ".",
    ]
    if len({same_machine(result.conditions) for result in results}) > 1:
        parts.append("**Not all results are of one machine, commit and Python: see each section.**")
    if any(result.quick for result in results):
        parts.append("**Measured quickly, in small sizes: not to be quoted.**")
    return parts


def same_machine(conditions: Conditions) -> tuple[object, ...]:
    """Return what must be equal for results to be compared with each other."""
    return (conditions.cpu, conditions.cores, conditions.python, conditions.commit)


def summarised(results: Sequence[Result]) -> list[str]:
    """Return the summary: a line a figure."""
    found = [
        [f"[{result.name}](#{result.name})", figure.text, *emphasised(summary(result, figure))]
        for result in results
        for figure in result.figures
    ]
    heads = ["benchmark", "figure", "measured", "ratio", "goal", "held"]
    return ["## Summary", table(heads, found)] if found else []


def emphasised(line: Sequence[str]) -> list[str]:
    """Return a line of the summary in which a goal that was missed is bold."""
    *rest, verdict = line
    return [*rest, f"**{verdict}**" if verdict == MISSED else verdict]


def problems(results: Sequence[Result], outcomes: Sequence[Outcome]) -> list[str]:
    """Return what failed, and what was refused and why."""
    found = [f"* **{one.name}**: {one.problem}" for one in outcomes if one.problem]
    for result in results:
        for row in result.rows:
            reasons = dict.fromkeys(cell.refused for cell in row.cells.values() if cell.refused)
            place = " ".join(part for part in (row.group, row.label) if part)
            at = f" at {row.x:g} {result.x}" if row.x is not None else ""
            found += [f"* {result.name}, {place}{at}: {reason}" for reason in reasons]
    return ["## Failed and refused", "\n".join(found)] if found else []


def section(result: Result, folder: Path, draw: Draw | None) -> list[str]:
    """Return the section of one benchmark; draws its plots."""
    shown = []
    for row, (first, *rest) in lines(result):
        first = f"**{first}**" if row is None else f"*{first}*" if row.baseline else first
        shown.append([first, *rest])
    parts = [f"## {result.name}", f"{result.asks}", f"**{result.title}**"]
    parts.append(table(columns(result), shown))
    parts += [" ".join(notes(result))] if notes(result) else []
    for number, plot in enumerate(result.plots, 1):
        if draw is not None:
            path = folder / f"{result.name}-{number}.png"
            draw(result, plot, path)
            name = next(one.name for one in result.measures if one.key == plot.measure)
            parts.append(f"![{result.title}: {name}]({path.name})")
    told = result.conditions
    took = f"{result.seconds:,.0f} s from {told.date}, load average {told.load:g} at its start"
    parts.append(f"<sub>{took}, commit {told.commit or 'unknown'}.</sub>")
    return parts


def table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column and notes go left, figures right."""
    left = ("", "note", "benchmark", "figure", "goal", "held")
    rules = [":--" if head in left else "--:" for head in heads]
    rows = [heads, rules, *cells]
    return "\n".join(f"| {' | '.join(text.replace('|', '/') for text in row)} |" for row in rows)
