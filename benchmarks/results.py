"""What a benchmark found, in one form: rows of measures, their rounds, ratios, goals and plots.

    result = Result(
        "markers",
        "Marker parsing, answers of 4,000 characters",
        "What does a chunk cost, against scanning the whole buffer again?",
        [Measure("us", "time", "µs a chunk", ratio=True)],
    )
    result.add("scanning again", group="4 chars", baseline=True, us=[31.0, 30.2, 33.1])
    result.add("our parser", group="4 chars", us=[1.1, 1.2, 1.1])
    result.figure("parser against scanning again", "our parser", "us", group="4 chars",
                  ratio=True, at_most=0.2)
    result.plots.append(Bars("us"))
    publish(result)  # benchmarks.tables: prints the table and writes the file

The values of a row are one number or one for each round; `refused(reason)` stands for a value that
was measured but may not be believed, or could not be measured. A ratio is the row's value over that
of the baseline row of the same group and x, round by round where both have as many.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from benchmarks.conditions import Conditions, conditions

RESULTS = Path(__file__).parent / "results"

GENERATOR_LIMIT = 0.8
"""Share of its core above which a load generator may itself have been the bottleneck."""


class Refused(msgspec.Struct, frozen=True):
    """Why there is no value."""

    reason: str


def refused(reason: str) -> Refused:
    """Return what stands for a value that there is not, with the reason why."""
    return Refused(reason)


Given = float | Sequence[float] | Refused | None


def unless_busy(values: float | Sequence[float], generator_share: float) -> Given:
    """Return the values, or their refusal when the generator used too much of its core."""
    if generator_share <= GENERATOR_LIMIT:
        return values
    return Refused(f"the load generator was busy for {generator_share:.0%} of its core")


class Measure(msgspec.Struct, frozen=True):
    """A column: `key` names it in `Result.add`, `name` and `unit` are what people read.

    `ratio` asks for a column with the ratio to the baseline; `better` says which way is good.
    """

    key: str
    name: str
    unit: str = ""
    ratio: bool = False
    better: Literal["less", "more"] = "less"


class Spread(msgspec.Struct, frozen=True):
    """Median, least and most."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


class Cell(msgspec.Struct, frozen=True):
    """The rounds of one measure in one row; none and a reason when refused."""

    rounds: tuple[float, ...] = ()
    refused: str | None = None

    @property
    def spread(self) -> Spread | None:
        """Median, least and most of the rounds."""
        return Spread.of(self.rounds) if self.rounds else None


class Row(msgspec.Struct):
    """What was measured of one thing. `group` and `x` say under which conditions."""

    label: str
    cells: dict[str, Cell]
    group: str = ""
    x: float | None = None
    baseline: bool = False
    note: str = ""


class Bars(msgspec.Struct, frozen=True, tag=True):
    """A plot: one bar a row, by groups, with the ratio to the baseline at its end.

    `groups`: only of groups whose name begins so; `labels`: only of rows of these names.
    """

    measure: str
    log: bool = False
    groups: str = ""
    labels: tuple[str, ...] = ()
    limit: float | None = None
    """Where a line shows what may not be passed."""


class Lines(msgspec.Struct, frozen=True, tag=True):
    """A plot: one line a label, over the rows' x; the band is from the least to the most.

    `groups` and `labels` are as in `Bars`.
    """

    measure: str
    groups: str = ""
    labels: tuple[str, ...] = ()
    log_x: bool = False
    log_y: bool = False
    limit: float | None = None


class Figure(msgspec.Struct, frozen=True):
    """A figure for the summary and, where there is a goal, its limit.

    With `ratio` the limit is one of the ratio to the baseline, else of the median.
    """

    text: str
    label: str
    measure: str
    group: str = ""
    x: float | None = None
    ratio: bool = False
    at_most: float | None = None
    at_least: float | None = None

    def held(self, value: float) -> bool | None:
        """Return whether a value keeps the goal; None where there is no goal."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )


class Result(msgspec.Struct):
    """What one benchmark found. Make it before measuring: it notes when and where that began."""

    name: str
    title: str
    asks: str
    measures: list[Measure]
    x: str = ""
    """What the rows' x is, such as "streams"; empty where rows have none."""
    quick: bool = False
    """Measured in small sizes, to see that it works: not to be quoted."""
    rows: list[Row] = []
    plots: list[Bars | Lines] = []
    figures: list[Figure] = []
    notes: list[str] = []
    """Sentences for below the table: how it was measured, what else was seen."""
    conditions: Conditions = msgspec.field(default_factory=conditions)
    seconds: float = 0.0

    def add(
        self,
        label: str,
        *,
        group: str = "",
        x: float | None = None,
        baseline: bool = False,
        note: str = "",
        **values: Given,
    ) -> Row:
        """Add a row. Raises `ValueError` for an unknown measure, a value that is not finite, or
        a second row of the same place."""
        unknown = values.keys() - {measure.key for measure in self.measures}
        if unknown:
            raise ValueError(f"no such measure: {', '.join(sorted(unknown))}")
        if self.find(label, group, x) is not None:
            raise ValueError(f"a second row {label!r} of {group!r} at {x}")
        if baseline and self.baseline_of(group, x) is not None:
            raise ValueError(f"a second baseline of {group!r} at {x}")
        cells = {key: _cell(value) for key, value in values.items() if value is not None}
        row = Row(label, cells, group, x, baseline, note)
        self.rows.append(row)
        return row

    def figure(self, text: str, label: str, measure: str, **where: Any) -> None:
        """Add a line to the summary: see `Figure` for `where` and for goals."""
        self.figures.append(Figure(text, label, measure, **where))

    def find(self, label: str, group: str = "", x: float | None = None) -> Row | None:
        """Return the row of this place."""
        places = ((row.label, row.group, row.x) for row in self.rows)
        at = next((at for at, place in enumerate(places) if place == (label, group, x)), None)
        return None if at is None else self.rows[at]

    def baseline_of(self, group: str, x: float | None) -> Row | None:
        """Return the row that others of this group and x are compared with."""
        return next((r for r in self.rows if r.baseline and (r.group, r.x) == (group, x)), None)

    def ratio(self, row: Row, measure: str) -> Spread | None:
        """Return value over baseline; None for the baseline and where either is missing.

        Round by round where both have as many rounds, else of the medians.
        """
        against = self.baseline_of(row.group, row.x)
        if against is None or against is row:
            return None
        ours, theirs = (one.cells.get(measure, Cell()).rounds for one in (row, against))
        if not ours or not theirs or not all(theirs):
            return None
        if len(ours) == len(theirs):
            return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])
        return Spread.of([statistics.median(ours) / statistics.median(theirs)])


def write(result: Result, folder: Path = RESULTS) -> Path:
    """Write `NAME.json`, quick ones below `quick`; the medians and ratios go in for readers."""
    folder = folder / "quick" if result.quick else folder
    folder.mkdir(parents=True, exist_ok=True)
    whole = msgspec.to_builtins(result)
    for row, shown in zip(result.rows, whole["rows"], strict=True):
        for key, cell in row.cells.items():
            shown["cells"][key]["spread"] = msgspec.to_builtins(cell.spread)
            shown["cells"][key]["ratio"] = msgspec.to_builtins(result.ratio(row, key))
    path = folder / f"{result.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(whole)))
    return path


def read(path: Path) -> Result:
    """Read what `write` wrote. Raises `msgspec.DecodeError` for anything else."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def _cell(value: float | Sequence[float] | Refused) -> Cell:
    if isinstance(value, Refused):
        return Cell(refused=value.reason)
    rounds = tuple(map(float, value if isinstance(value, Sequence) else (value,)))
    if not rounds or not all(map(math.isfinite, rounds)):
        raise ValueError(f"not values: {value!r}")
    return Cell(rounds)
