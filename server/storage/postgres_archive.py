"""Old months of a PostgreSQL store: which there are, and how one is written out and dropped."""

from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]

from server.storage.columns import DAY_MS, FEEDBACK_SELECT, feedback_row
from server.storage.months import Month
from server.storage.postgres_partitions import lock_partitions, partition_months, partition_name
from server.storage.records import encode_row
from server.storage.store import Archive

READ_ROWS = 500

EXPIRE_INTERACTIONS = """
DELETE FROM interactions WHERE (response_id, tenant) IN
    (SELECT response_id, tenant FROM interactions WHERE started_at < $1 LIMIT 2000)
"""
"""Removes some interactions that began before a time: short locks, small commits."""

# Ids below tell no time, or one that had no partition when they arrived.
_DEFAULT_DAYS = f"SELECT DISTINCT received_at / {DAY_MS} FROM feedback_default"  # noqa: S608
_REMOVE_DEFAULT = (
    "DELETE FROM feedback_default WHERE received_at >= $1 AND received_at < $2"  # noqa: S608 - our own names
    f" RETURNING {FEEDBACK_SELECT}"
)


async def months_stored(connection: asyncpg.Connection) -> list[str]:
    """Return the months that hold judgements, by the id's own time, else by arrival."""
    found = set()
    for month in await partition_months(connection):
        statement = f"SELECT EXISTS (SELECT FROM {partition_name(month)})"  # noqa: S608
        if await connection.fetchval(statement):
            found.add(month)
    found.update(Month.of(day * DAY_MS) for (day,) in await connection.fetch(_DEFAULT_DAYS))
    return [str(month) for month in sorted(found)]


async def archive_month(connection: asyncpg.Connection, month: Month, archive: Archive) -> int:
    """Write out and drop one month; see the port. Writes of that month wait meanwhile."""
    async with connection.transaction():
        await lock_partitions(connection)
        count = 0
        there = month in await partition_months(connection)
        if there:
            name = partition_name(month)
            await connection.execute(f"LOCK TABLE {name} IN SHARE MODE")
            statement = f"SELECT {FEEDBACK_SELECT} FROM {name} ORDER BY event_id"  # noqa: S608
            count += await _write_out(connection, archive, statement)
        times = (month.start_ms, month.plus(1).start_ms)
        count += await _write_out(connection, archive, _REMOVE_DEFAULT, *times)
        await archive.seal()
        if there:
            await connection.execute(f"DROP TABLE {partition_name(month)}")
    return count


async def _write_out(
    connection: asyncpg.Connection, archive: Archive, statement: str, *args: object
) -> int:
    count = 0
    lines: list[bytes] = []
    async for values in connection.cursor(statement, *args, prefetch=READ_ROWS):
        lines.append(encode_row(feedback_row(tuple(values))) + b"\n")
        count += 1
        if len(lines) == READ_ROWS:
            await archive.write(b"".join(lines))
            lines.clear()
    if lines:
        await archive.write(b"".join(lines))
    return count
