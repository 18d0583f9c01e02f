"""`manicule stats`: acceptance with its intervals, as tables and a trend, or as JSON."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.cli.charts import NONE, bar, sparkline
from server.cli.stores import DONE, USAGE, complain, run_on_store
from server.cli.text import one_line
from server.config.settings import Settings
from server.insights import service
from server.insights.results import Acceptance, Group, Point, Rate, Rating, Trend, TrendTest
from server.insights.trends import Every
from server.storage.store import Filter, GroupBy, Store

PLAIN_WIDTH: Final = 120
"""Characters of a line where the output is no terminal: tables in files need not be narrow."""
LABEL_CHARS: Final = 32
"""What stands beside a sparkline: its name, and its scale."""
KEY_CHARS: Final = 48
BAR_CHARS: Final = 24
RATE_CHARS: Final = 22
RATING_CHARS: Final = 12


@dataclass(frozen=True, slots=True)
class Query:
    """What `manicule stats` was asked: `every` None draws the trend by day without its rows."""

    where: Filter
    by: tuple[GroupBy, ...] = ()
    every: Every | None = None
    as_json: bool = False


def run_stats(settings: Settings, query: Query) -> int:
    """Print the statistics; return the exit code."""
    return run_on_store(settings, lambda store: _stats(store, query))


async def _stats(store: Store, query: Query) -> int:
    found = await service.acceptance(store, query.where, query.by)
    try:
        trend = await service.trends(
            store, query.where, now=int(time.time() * 1000), every=query.every or "day"
        )
    except ValueError as error:
        return complain(f"--since: {error}. Name another range.", USAGE)
    if query.as_json:
        shown = msgspec.json.encode({"acceptance": found, "trend": trend})
        sys.stdout.write(shown.decode() + "\n")
        return DONE
    view = StatsView(make_console())
    view.show_overall(found.overall)
    if query.by:
        view.show_groups(found)
    view.show_trend(trend, rows=query.every is not None)
    return DONE


def make_console() -> Console:
    """Return where tables are drawn: as wide as the terminal, or wide enough for a file."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PLAIN_WIDTH
    return console


def make_table() -> Table:
    """Return an empty table that leaves its columns most of the line."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)


class StatsView:
    """Draws results on a console."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._ascii = out.options.ascii_only

    def show_overall(self, group: Group) -> None:
        """Draw the figures of all judgements together."""
        counts = group.counts
        if not counts.decided + counts.dismissed + counts.rated:
            self._line("No judgements match.", "yellow")
        self._line(f"Decided {_count(counts.decided)}", "bold")
        figures = (
            ("accepted", counts.accepted),
            ("modified", counts.modified),
            ("rejected", counts.rejected),
        )
        for name, count in figures:
            drawn = bar(count, counts.decided, BAR_CHARS, ascii_only=self._ascii)
            self._line(f"  {name:<10} {_count(count):>8}  {drawn}")
        self._line(f"Dismissed {_count(counts.dismissed)} (decides nothing)")
        self._line(f"Acceptance  {_rate(group.acceptance_rate)}  accepted or modified")
        self._line(f"As it stood {_rate(group.accepted_only_rate)}  accepted only")
        self._line(f"Rating      {_rating(group.rating)}")

    def show_groups(self, found: Acceptance) -> None:
        """Draw a row for each group."""
        self._out.print()
        table = make_table()
        for name in found.by:
            table.add_column(name, overflow="fold")
        table.add_column("decided", justify="right", no_wrap=True)
        table.add_column("acc/mod/rej", justify="right", no_wrap=True)
        table.add_column("acceptance (95 %)", min_width=RATE_CHARS, no_wrap=True)
        table.add_column("rating", no_wrap=True, min_width=RATING_CHARS)
        for group in found.groups:
            counts = group.counts
            parts = (counts.accepted, counts.modified, counts.rejected)
            table.add_row(
                *(_key(group.key[name]) for name in found.by),
                _count(counts.decided),
                "/".join(map(_count, parts)),
                _rate_cell(group.acceptance_rate),
                _rating_cell(group.rating),
            )
        self._out.print(table)
        if found.left_off:
            self._line(f"{found.left_off} smaller groups are left off.", "yellow")

    def show_trend(self, trend: Trend, *, rows: bool) -> None:
        """Draw the trend as two lines of levels, and with `rows` each period."""
        points = trend.points[-max(10, self._out.width - LABEL_CHARS) :]
        first, last = points[0].start, points[-1].start
        self._line(f"\nBy {trend.every}, {first} to {last} (UTC)", "bold")
        most = max(point.counts.decided for point in points)
        decided = [point.counts.decided for point in points]
        rates = [point.acceptance_rate.value for point in points]
        drawn = sparkline(decided, most, ascii_only=self._ascii)
        self._line(f"decided     {drawn}  0 to {_count(most)}")
        drawn = sparkline(rates, 1.0, ascii_only=self._ascii)
        none = f", {NONE} too few" if None in rates and not self._ascii else ""
        self._line(f"acceptance  {drawn}  0 to 100 %{none}")
        self._line(_direction(trend.test, trend.every))
        if rows:
            self._show_points(points, most)

    def _show_points(self, points: Sequence[Point], most: float) -> None:
        self._out.print()
        table = make_table()
        table.add_column("from", no_wrap=True)
        table.add_column("days", justify="right")
        table.add_column("decided", justify="right")
        table.add_column("", no_wrap=True, min_width=BAR_CHARS // 2)
        table.add_column("acceptance (95 %)")
        for point in points:
            decided = point.counts.decided
            drawn = bar(decided, most, BAR_CHARS // 2, ascii_only=self._ascii)
            rate = _rate_cell(point.acceptance_rate) if decided else Text("")
            table.add_row(point.start, str(point.days), _count(decided), drawn, rate)
        self._out.print(table)

    def _line(self, text: str, style: str = "") -> None:
        self._out.print(Text(text, style=style), soft_wrap=True)


def _count(number: float) -> str:
    """Return a count, which is a sum of weights, with a fraction only where it has one."""
    return f"{number:,.1f}".removesuffix(".0")


def _rate(rate: Rate) -> str:
    if rate.value is None or rate.low is None or rate.high is None:
        return f"not known: {rate.reason}"
    return f"{rate.value:.1%} ({100 * rate.low:.1f} to {rate.high:.1%})"


def _rate_cell(rate: Rate) -> Text:
    if rate.value is None:
        # How many there are stands beside it.
        return Text((rate.reason or "").partition(":")[0], style="dim")
    return Text(_rate(rate))


def _rating(rating: Rating) -> str:
    if rating.mean is None or rating.low is None or rating.high is None:
        return f"not known: {rating.reason}"
    return f"{rating.mean:.2f} ({rating.low:.2f} to {rating.high:.2f}) of {rating.count}"


def _rating_cell(rating: Rating) -> Text:
    if rating.mean is None:
        return Text(f"{rating.count} rated" if rating.count else "", style="dim")
    return Text(f"{rating.mean:.2f} of {rating.count}")


def _key(value: str | None) -> Text:
    if value is None:
        return Text("(none)", style="dim")
    return Text(one_line(value, KEY_CHARS))


def _direction(test: TrendTest, every: Every) -> str:
    if test.direction is None or test.slope is None or test.p_value is None:
        return f"Direction   not known: {test.reason}"
    p_value = f"p {test.p_value:.3f}" if test.p_value >= 0.001 else "p < 0.001"
    if test.direction == "none":
        return f"Direction   none that chance does not explain ({p_value})"
    return f"Direction   {test.direction}, {100 * test.slope:+.2f} points a {every} ({p_value})"
