"""Counting and summing up in SQLite: what is read is one snapshot, what is written one commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from server.storage.columns import Values
from server.storage.counting import Counting
from server.storage.spans import (
    DONE,
    LEAST_EVENTS,
    SPAN_COLUMNS,
    SPANS,
    Days,
    Span,
    days_of,
    days_queries,
    levels_of,
)
from server.storage.sqlite_thread import SqliteThread, in_transaction
from server.storage.tallies import Counted, Query

_INSERT = (
    f"INSERT INTO feedback_spans ({', '.join(SPAN_COLUMNS)})"  # noqa: S608 - our own names
    f" VALUES ({', '.join('?' * len(SPAN_COLUMNS))})"
)
_DELETE = "DELETE FROM feedback_spans WHERE tenant = ? AND level = ? AND span = ? AND day = ?"
_FORGET = "DELETE FROM feedback_built WHERE tenant = ? AND level = ? AND span = ? AND day = ?"
_NOTE = "INSERT INTO feedback_built (tenant, level, span, day, revision) VALUES (?, ?, ?, ?, ?)"


COMMIT_ROWS = 5000
"""Sums written by one commit at least, unless there are no more: some 10 ms."""


def count(connection: sqlite3.Connection, counting: Counting) -> Counted:
    """Return what the queries of a question find."""

    def read() -> Counted:
        asked = counting.days_queries()
        days = days_of(*(_select(connection, one) for one in asked)) if asked else None
        below: list[Sequence[Any]] = []
        beside: list[Sequence[Any]] = []
        for query in counting.queries(days):
            (beside if query.beside else below).extend(_select(connection, query))
        return below, beside

    return in_transaction(connection, read, "BEGIN")


async def sum_up(reader: SqliteThread, writer: SqliteThread, today: int) -> int:
    """Sum up all spans that are over and not summed up yet; return how many.

    Commits are small, so that the writer waits for some milliseconds only.
    """
    done = 0
    for tenant in await reader.run(_tenants):
        for length in reversed(SPANS):
            days = await reader.run(partial(_days, tenant=tenant))
            for first in days.due(length, today):
                whole = Span(tenant, length, first, DONE)
                for some in _commits(await reader.run(partial(_read, whole))):
                    await writer.run(partial(_write, some))
                done += 1
    return done


@dataclass(frozen=True, slots=True)
class _Summed:
    """The sums of a span and the revision of its days that they are of."""

    span: Span
    revision: int
    sums: list[Values]


def _read(whole: Span, connection: sqlite3.Connection) -> list[_Summed]:
    """Return all levels of a span that are worth it, `whole` last."""

    def read() -> list[_Summed]:
        days = _days(connection, whole.tenant, whole.first, whole.last)
        revision = days.revision(whole.days, whole.first)
        [(events,)] = _select(connection, whole.events("?"))
        made = []
        for span in levels_of(whole) if events >= LEAST_EVENTS else ():
            found: list[Values] = []
            for query in span.queries(days, "?"):
                found += _select(connection, query)
            made.append(_Summed(span, revision, span.values(found)))
        return [*made, _Summed(whole, revision, [])]

    return in_transaction(connection, read, "BEGIN")


def _commits(summed: Sequence[_Summed]) -> Iterator[list[_Summed]]:
    """Yield what to write together, in order."""
    held: list[_Summed] = []
    for one in summed:
        held.append(one)
        if sum(len(each.sums) for each in held) >= COMMIT_ROWS:
            yield held
            held = []
    if held:
        yield held


def _write(summed: Sequence[_Summed], connection: sqlite3.Connection) -> None:
    """Replace the sums of spans."""

    def replace() -> None:
        for one in summed:
            key = (one.span.tenant, one.span.level, one.span.days, one.span.first)
            connection.execute(_DELETE, key)
            connection.execute(_FORGET, key)
            connection.executemany(_INSERT, one.sums)
            if one.sums or one.span.level == DONE:
                connection.execute(_NOTE, (*key, one.revision))

    in_transaction(connection, replace)


def _tenants(connection: sqlite3.Connection) -> list[str]:
    return [one for (one,) in connection.execute("SELECT DISTINCT tenant FROM feedback_changes")]


def _days(
    connection: sqlite3.Connection, tenant: str, first: int | None = None, last: int | None = None
) -> Days:
    revisions, built = days_queries(tenant, first, last, "?")
    return days_of(_select(connection, revisions), _select(connection, built))


def _select(connection: sqlite3.Connection, query: Query) -> Sequence[Any]:
    return connection.execute(query.text, query.args).fetchall()
