"""Counting and summing up in PostgreSQL: each in one snapshot of the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from server.storage.counting import Counting
from server.storage.postgres_types import unnest
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
from server.storage.tallies import Counted, Query

SUMMING_LOCK = 0x6D616E69637503
"""Advisory lock of the one node that sums up."""

_INSERT = (
    f"INSERT INTO feedback_spans ({', '.join(SPAN_COLUMNS)})"  # noqa: S608 - our own names
    f" SELECT * FROM {unnest(SPAN_COLUMNS)}"
)
_KEY = "tenant = $1 AND span = $2 AND day = $3"
_DELETE = f"DELETE FROM feedback_spans WHERE {_KEY}"  # noqa: S608 - our own names
_FORGET = f"DELETE FROM feedback_built WHERE {_KEY}"  # noqa: S608 - our own names
_NOTE = (
    "INSERT INTO feedback_built (tenant, span, day, level, revision) VALUES ($1, $2, $3, $4, $5)"
)


async def count(connection: asyncpg.Connection, counting: Counting) -> Counted:
    """Return what the queries of a question find."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        asked = counting.days_queries()
        days = days_of(*[await _select(connection, one) for one in asked]) if asked else None
        below: list[Sequence[Any]] = []
        beside: list[Sequence[Any]] = []
        for query in counting.queries(days):
            (beside if query.beside else below).extend(await _select(connection, query))
    return below, beside


async def sum_up(connection: asyncpg.Connection, today: int) -> int:
    """Sum up all spans that are over and not summed up yet; return how many.

    Does nothing while another node is at it.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", SUMMING_LOCK):
        return 0
    try:
        done = 0
        for (tenant,) in await connection.fetch("SELECT DISTINCT tenant FROM feedback_changes"):
            for span in reversed(SPANS):
                days = await _days(connection, tenant)
                for first in days.due(span, today):
                    await _sum_up_one(connection, Span(tenant, span, first, DONE))
                    done += 1
        return done
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", SUMMING_LOCK)


async def _sum_up_one(connection: asyncpg.Connection, whole: Span) -> None:
    """Replace the sums of all levels of a span."""
    key = (whole.tenant, whole.days, whole.first)
    async with connection.transaction(isolation="repeatable_read"):
        await connection.execute(_DELETE, *key)
        await connection.execute(_FORGET, *key)
        days = await _days(connection, whole.tenant, whole.first, whole.last)
        revision = days.revision(whole.days, whole.first)
        [(events,)] = await _select(connection, whole.events("$"))
        for span in levels_of(whole) if events >= LEAST_EVENTS else ():
            found: list[Sequence[Any]] = []
            for query in span.queries(days, "$"):
                found += await _select(connection, query)
            if made := span.values(found):
                await connection.execute(_INSERT, *zip(*made, strict=True))
                await connection.execute(_NOTE, *key, span.level, revision)
        await connection.execute(_NOTE, *key, whole.level, revision)


async def _days(
    connection: asyncpg.Connection, tenant: str, first: int | None = None, last: int | None = None
) -> Days:
    revisions, built = days_queries(tenant, first, last, "$")
    return days_of(await _select(connection, revisions), await _select(connection, built))


async def _select(connection: asyncpg.Connection, query: Query) -> list[Sequence[Any]]:
    found: list[Sequence[Any]] = await connection.fetch(query.text, *query.args)
    return found
