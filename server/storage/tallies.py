"""Roll-ups: what a batch adds to them, and the queries that read them.

A roll-up row sums one day (UTC, of `received_at`), tenant, action, item type, product, scenario,
model, prompt version, arm and confidence bin. Because there are many such combinations, further
levels of the same table sum with only one of those dimensions kept apart, or none: most questions
ask for one, and need not read the rest. Roll-ups name no person, so erasing one leaves them. What
they cannot tell (persons, parts of days) is counted from the judgements themselves, in
terms of the same bins, and added up here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from operator import attrgetter
from typing import Any

import msgspec

from server.storage.columns import BINS, NO_BIN, Values, confidence_bin
from server.storage.columns import DAY_MS as DAY_MS
from server.storage.records import FeedbackRow
from server.storage.store import Filter, GroupBy, Tally

EPOCH = date(1970, 1, 1)

DIMENSIONS = ("item_type", "product_id", "scenario", "model", "prompt_version", "arm")
"""Text columns that roll-ups keep apart, where none is the empty text."""

LEVELLED = (*DIMENSIONS, "confidence_bin")
"""Columns that roll-ups keep apart, in the order of their levels."""

_NOTHING = ("",) * len(DIMENSIONS) + (NO_BIN,)

TOGETHER = 0
"""Roll-up level with nothing kept apart but day, tenant and action."""

ALL_APART = len(LEVELLED) + 1
"""Roll-up level with every dimension kept apart; level n between keeps the n-th one only."""

ROLL_UP_COLUMNS = (
    "level", "day", "key", "tenant", "action", *DIMENSIONS, "confidence_bin",
    "events", "weight", "score_sum",
)  # fmt: skip

_roll_up_fields = attrgetter("tenant", "action", *DIMENSIONS)


def roll_ups(rows: Iterable[FeedbackRow], withdrawn: Iterable[FeedbackRow] = ()) -> list[Values]:
    """Return what the rows add to the roll-ups: values of `ROLL_UP_COLUMNS`, ordered by key.

    What is `withdrawn` was added before, or is here, and takes its weight out again.
    The key stands for the dimensions, whose texts may be too long for an index. The order is the
    same for all writers, so that two of them never wait for each other in a circle.
    """
    sums: dict[Values, list[float]] = {}
    for row in rows:
        add(sums, _roll_up_of(row), 1, row.weight, row.score or 0)
    for row in withdrawn:
        add(sums, _roll_up_of(row), 0, -row.weight, 0)
    coarse: dict[Values, list[float]] = {}
    for (day, tenant, action, *values), total in sums.items():
        add(coarse, (TOGETHER, day, tenant, action, None), *total)
        for level, value in enumerate(values, TOGETHER + 1):
            add(coarse, (level, day, tenant, action, value), *total)
    made = [_roll_up(ALL_APART, day, rest, total) for (day, *rest), total in sums.items()]
    for (level, day, tenant, action, value), total in coarse.items():
        kept = list(_NOTHING)
        if level != TOGETHER:
            kept[level - 1] = value
        made.append(_roll_up(level, day, [tenant, action, *kept], total))
    return sorted(made, key=lambda values: values[:3])


def _roll_up_of(row: FeedbackRow) -> Values:
    texts = tuple(value or "" for value in _roll_up_fields(row))
    return (row.received_at // DAY_MS, *texts, confidence_bin(row.confidence))


def add(
    sums: dict[Values, list[float]], key: Values, events: float, weight: float, score: float
) -> None:
    """Add to the sums of a key."""
    total = sums.get(key)
    if total is None:
        sums[key] = [events, weight, score]
    else:
        total[0] += events
        total[1] += weight
        total[2] += score


def _roll_up(level: int, day: int, rest: Sequence[Any], total: Sequence[float]) -> Values:
    return (level, day, roll_up_key(rest), *rest, *total)


def days_changed(values: Iterable[Values]) -> list[tuple[str, int]]:
    """Return tenant and day of all days that these roll-ups add to, in one order for all."""
    return sorted({(tenant, day) for _, day, _, tenant, *_ in values})


def level_of(names: Iterable[str]) -> int:
    """Return the coarsest level that keeps these columns apart."""
    used = [n for n, name in enumerate(LEVELLED, 1) if name in set(names)]
    if len(used) > 1:
        return ALL_APART
    return used[0] if used else TOGETHER


def roll_up_key(dimensions: Sequence[Any]) -> bytes:
    """Return 16 bytes that stand for tenant, action, dimensions and bin of one roll-up row."""
    return hashlib.blake2b(msgspec.json.encode(dimensions), digest_size=16).digest()


@dataclass
class Query:
    """A statement and its arguments, in the order in which the statement names them."""

    mark: str
    """`?` for SQLite, `$` for PostgreSQL, which numbers its arguments."""
    text: str = ""
    args: list[Any] = field(default_factory=list)
    beside: bool = False
    """Whether the sums of all actions stand beside each other, as in spans."""

    def give(self, value: object) -> str:
        """Take one argument; return its place holder."""
        self.args.append(value)
        return self.mark if self.mark == "?" else f"${len(self.args)}"


Counted = tuple[list[Sequence[Any]], list[Sequence[Any]]]
"""What queries found: rows of columns, action, weight, events, scores; and rows in which the sums
of all actions stand beside each other, in the order of a tally's fields."""


def merge(by: Sequence[GroupBy], counted: Counted) -> list[Tally]:
    """Return one tally per group, by key."""
    found: dict[Values, list[float]] = {}
    below, beside = counted
    for *columns, action, weight, events, score_sum in below:
        sums = found.setdefault(tuple(columns), [0.0] * _WIDTH)
        sums[_PLACE_OF[action]] += float(events if action == "rate" else weight)
        if action == "rate":
            sums[-1] += float(score_sum)
    for row in beside:
        sums = found.setdefault(tuple(row[:-_WIDTH]), [0.0] * _WIDTH)
        for place, value in enumerate(row[-_WIDTH:]):
            sums[place] += float(value)
    groups: dict[tuple[str, ...], list[float]] = {}
    for values, sums in found.items():
        key = tuple(_written(name, value) for name, value in zip(by, values, strict=True))
        before = groups.get(key)
        groups[key] = [x + y for x, y in zip(before, sums, strict=True)] if before else sums
    return [
        Tally(key, accepted, rejected, modified, dismissed, int(rated), int(score_sum))
        for key, (accepted, rejected, modified, dismissed, rated, score_sum) in sorted(
            groups.items()
        )
    ]


_PLACE_OF = {"accept": 0, "reject": 1, "modify": 2, "dismiss": 3, "rate": 4}
_WIDTH = 6


def _written(name: GroupBy, value: Any) -> str:  # noqa: ANN401 - a column of any type
    if name == "day":
        return (EPOCH + timedelta(days=value)).isoformat()
    if name == "week":
        year, week, _ = (EPOCH + timedelta(days=value)).isocalendar()
        return f"{year}-W{week:02}"
    if name == "confidence_bin":
        return "" if value == NO_BIN else f"{value / BINS:.1f}"
    return value or ""


def row_tests(
    where: Filter, query: Query, prefix: str, times: tuple[int | None, int | None]
) -> list[str]:
    """Return the conditions of a filter on judgements, all but the confidence."""
    tests = [f"{prefix}tenant = {query.give(where.tenant)}"]
    if times[0] is not None:
        tests.append(f"{prefix}received_at >= {query.give(times[0])}")
    if times[1] is not None:
        tests.append(f"{prefix}received_at < {query.give(times[1])}")
    for name in (*DIMENSIONS, "user_id"):
        value = getattr(where, name)
        if value is not None:
            tests.append(f"{prefix}{name} = {query.give(value)}")
    return tests


def judged_query(where: Filter, after: str, limit: int, mark: str, columns: str) -> Query:
    """Return the query for one page of judgements with their interactions, by event id."""
    query = Query(mark)
    tests = row_tests(where, query, "f.", (where.since, where.until))
    if where.min_confidence is not None:
        tests.append(f"f.confidence >= {query.give(where.min_confidence)}")
    if mark == "?":
        # The plus keeps SQLite from another index than the key's: it would sort all rows anew for
        # each page.
        tests = [f"+{test}" for test in tests]
    if after:
        tests.append(f"f.event_id > {query.give(after)}")
    query.text = (
        f"SELECT {columns} FROM feedback f LEFT JOIN interactions i"  # noqa: S608 - our own names
        " ON i.response_id = f.response_id AND i.tenant = f.tenant"
        f" WHERE {' AND '.join(tests)} ORDER BY f.event_id LIMIT {limit}"
    )
    return query
