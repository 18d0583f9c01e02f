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
from typing import Any, get_args

import msgspec

from server.storage.columns import BINS, NO_BIN, Values, confidence_bin
from server.storage.columns import DAY_MS as DAY_MS
from server.storage.records import FeedbackRow
from server.storage.store import Filter, GroupBy, Tally

EPOCH = date(1970, 1, 1)

DIMENSIONS = ("item_type", "product_id", "scenario", "model", "prompt_version", "arm")
"""Text columns that roll-ups keep apart, where none is the empty text."""

_LEVELLED = (*DIMENSIONS, "confidence_bin")

_NOTHING = ("",) * len(DIMENSIONS) + (NO_BIN,)

TOGETHER = 0
"""Roll-up level with nothing kept apart but day, tenant and action."""

ALL_APART = len(_LEVELLED) + 1
"""Roll-up level with every dimension kept apart; level n between keeps the n-th one only."""

ROLL_UP_COLUMNS = (
    "level", "day", "key", "tenant", "action", *DIMENSIONS, "confidence_bin",
    "events", "weight", "score_sum",
)  # fmt: skip

_roll_up_fields = attrgetter("tenant", "action", *DIMENSIONS)


def roll_ups(rows: Iterable[FeedbackRow]) -> list[Values]:
    """Return what the rows add to the roll-ups: values of `ROLL_UP_COLUMNS`, ordered by key.

    The key stands for the dimensions, whose texts may be too long for an index. The order is the
    same for all writers, so that two of them never wait for each other in a circle.
    """
    sums: dict[Values, list[float]] = {}
    for row in rows:
        texts = tuple(value or "" for value in _roll_up_fields(row))
        key = (row.received_at // DAY_MS, *texts, confidence_bin(row.confidence))
        _add(sums, key, 1, row.weight, row.score or 0)
    coarse: dict[Values, list[float]] = {}
    for (day, tenant, action, *values), total in sums.items():
        _add(coarse, (TOGETHER, day, tenant, action, None), *total)
        for level, value in enumerate(values, TOGETHER + 1):
            _add(coarse, (level, day, tenant, action, value), *total)
    made = [_roll_up(ALL_APART, day, rest, total) for (day, *rest), total in sums.items()]
    for (level, day, tenant, action, value), total in coarse.items():
        kept = list(_NOTHING)
        if level != TOGETHER:
            kept[level - 1] = value
        made.append(_roll_up(level, day, [tenant, action, *kept], total))
    return sorted(made, key=lambda values: values[:3])


def _add(
    sums: dict[Values, list[float]], key: Values, events: float, weight: float, score: float
) -> None:
    total = sums.get(key)
    if total is None:
        sums[key] = [events, weight, score]
    else:
        total[0] += events
        total[1] += weight
        total[2] += score


def _roll_up(level: int, day: int, rest: Sequence[Any], total: Sequence[float]) -> Values:
    return (level, day, roll_up_key(rest), *rest, *total)


def level_of(names: Iterable[str]) -> int:
    """Return the coarsest level that keeps these columns apart."""
    used = [n for n, name in enumerate(_LEVELLED, 1) if name in set(names)]
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

    def give(self, value: object) -> str:
        """Take one argument; return its place holder."""
        self.args.append(value)
        return self.mark if self.mark == "?" else f"${len(self.args)}"


def tally_queries(by: Sequence[GroupBy], where: Filter, mark: str) -> list[Query]:
    """Return the queries whose results `merge` adds up, none of them counting a row twice.

    Raises `KeyError` for a group that there is not.
    """
    columns = [_COLUMN_OF[name] for name in by]
    since, until = where.since, where.until
    if "user_id" in by or where.user_id is not None:
        return [_from_rows(columns, where, (since, until), mark)]
    first = 0 if since is None else -(-since // DAY_MS)
    last = None if until is None else until // DAY_MS
    if last is not None and last <= first and (since is not None):
        return [_from_rows(columns, where, (since, until), mark)]
    queries = [_from_days(columns, where, (first, last), mark)]
    if since is not None and since % DAY_MS:
        queries.append(_from_rows(columns, where, (since, first * DAY_MS), mark))
    if until is not None and last is not None and until % DAY_MS:
        queries.append(_from_rows(columns, where, (last * DAY_MS, until), mark))
    return queries


def merge(by: Sequence[GroupBy], results: Iterable[Sequence[Any]]) -> list[Tally]:
    """Return one tally per group, by key, from rows of columns, action, weight, events, scores."""
    groups: dict[tuple[str, ...], dict[str, float]] = {}
    for *columns, action, weight, events, score_sum in results:
        key = tuple(_written(name, value) for name, value in zip(by, columns, strict=True))
        sums = groups.setdefault(key, {})
        name = _SUM_OF[action]
        sums[name] = sums.get(name, 0) + (events if action == "rate" else weight)
        if action == "rate":
            sums["score_sum"] = sums.get("score_sum", 0) + score_sum
    return [_tally(key, sums) for key, sums in sorted(groups.items())]


def _tally(key: tuple[str, ...], sums: dict[str, float]) -> Tally:
    return Tally(
        key,
        accepted=float(sums.get("accepted", 0)),
        rejected=float(sums.get("rejected", 0)),
        modified=float(sums.get("modified", 0)),
        dismissed=float(sums.get("dismissed", 0)),
        rated=int(sums.get("rated", 0)),
        score_sum=int(sums.get("score_sum", 0)),
    )


_COLUMN_OF: dict[str, str] = {name: name for name in get_args(GroupBy)} | {"week": "day"}

_SUM_OF = {
    "accept": "accepted",
    "reject": "rejected",
    "modify": "modified",
    "dismiss": "dismissed",
    "rate": "rated",
}


def _written(name: GroupBy, value: Any) -> str:  # noqa: ANN401 - a column of any type
    if name == "day":
        return (EPOCH + timedelta(days=value)).isoformat()
    if name == "week":
        year, week, _ = (EPOCH + timedelta(days=value)).isocalendar()
        return f"{year}-W{week:02}"
    if name == "confidence_bin":
        return "" if value == NO_BIN else f"{value / BINS:.1f}"
    return value or ""


def _from_days(
    columns: Sequence[str], where: Filter, days: tuple[int, int | None], mark: str
) -> Query:
    query = Query(mark)
    level = level_of([*columns, *_filtered(where)])
    tests = [f"tenant = {query.give(where.tenant)}", f"level = {query.give(level)}"]
    if days[0]:
        tests.append(f"day >= {query.give(days[0])}")
    if days[1] is not None:
        tests.append(f"day < {query.give(days[1])}")
    tests += _dimension_tests(where, query)
    groups = ", ".join([*columns, "action"])
    query.text = (
        f"SELECT {groups}, SUM(weight), SUM(events), SUM(score_sum) FROM feedback_days"  # noqa: S608 - our own names
        f" WHERE {' AND '.join(tests)} GROUP BY {groups}"
    )
    return query


def _from_rows(
    columns: Sequence[str], where: Filter, times: tuple[int | None, int | None], mark: str
) -> Query:
    query = Query(mark)
    tests = row_tests(where, query, "", times)
    if where.min_confidence is not None:
        floor = confidence_bin(where.min_confidence)
        tests.append(f"confidence_bin >= {query.give(floor)}")
    named = [f"received_at / {DAY_MS}" if name == "day" else name for name in columns]
    groups = ", ".join([*named, "action"])
    query.text = (
        f"SELECT {groups}, SUM(weight), COUNT(*), COALESCE(SUM(score), 0) FROM feedback"  # noqa: S608 - our own names
        f" WHERE {' AND '.join(tests)} GROUP BY {groups}"
    )
    return query


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


def _filtered(where: Filter) -> list[str]:
    """Return the dimensions that a filter asks about."""
    names = [name for name in DIMENSIONS if getattr(where, name) is not None]
    return [*names, "confidence_bin"] if where.min_confidence is not None else names


def _dimension_tests(where: Filter, query: Query) -> list[str]:
    tests = []
    for name in DIMENSIONS:
        value = getattr(where, name)
        if value is not None:
            tests.append(f"{name} = {query.give(value)}")
    if where.min_confidence is not None:
        tests.append(f"confidence_bin >= {query.give(confidence_bin(where.min_confidence))}")
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
