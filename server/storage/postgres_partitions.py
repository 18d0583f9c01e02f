"""Monthly partitions of the judgements, made before they are needed."""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg  # type: ignore[import-untyped]
import structlog

from server.storage.months import Month, month_of_id
from server.storage.records import FeedbackRow

AHEAD_MONTHS = 2
"""Partitions made beyond the current month, so that no write waits for one."""

BEHIND_MONTHS = 24
"""How far back an id may still ask for a partition; what is older goes to the default one."""

PARTITION_LOCK = 0x6D616E69637502
"""Advisory lock of those who make or drop partitions."""

LOCK_WAIT_MS = 5000
"""Longest that making a partition waits for the writes of others, and holds up theirs."""

NAME_PREFIX = "feedback_"

log = structlog.get_logger()


class Partitions:
    """Knows which months have a partition, and makes those that lack one."""

    def __init__(self) -> None:
        self._known: set[Month] = set()

    async def prepare(
        self, connection: asyncpg.Connection, rows: Iterable[FeedbackRow], now_ms: float
    ) -> None:
        """Make the partitions of the coming months and of these rows, where there are none.

        Costs nothing when all are known. Raises asyncpg's errors. An id outside the months kept
        asks for none: no client can make tables by choosing ids.
        """
        this = Month.of(now_ms)
        first, last = this.plus(-BEHIND_MONTHS), this.plus(AHEAD_MONTHS)
        asked = {month_of_id(row.event_id) for row in rows}
        wanted = {month for month in asked if month is not None and first <= month <= last}
        wanted |= {this.plus(ahead) for ahead in range(AHEAD_MONTHS + 1)}
        missing = sorted(wanted - self._known)
        if missing:
            await self._make(connection, missing)

    def forget(self, month: Month) -> None:
        """Take note that the partition of a month is gone."""
        self._known.discard(month)

    async def _make(self, connection: asyncpg.Connection, missing: list[Month]) -> None:
        try:
            async with connection.transaction():
                await lock_partitions(connection)
                there = set(await partition_months(connection))
                for month in missing:
                    if month not in there:
                        await _make_one(connection, month)
        except asyncpg.InsufficientPrivilegeError as error:
            # The rows go to the default partition: kept, only slower to archive.
            months = [str(one) for one in missing]
            log.warning("partitions_denied", months=months, error=str(error))
        self._known.update(missing)


async def lock_partitions(connection: asyncpg.Connection) -> None:
    """Let nobody else make or drop partitions until the transaction ends."""
    await connection.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
    await connection.execute("SELECT pg_advisory_xact_lock($1)", PARTITION_LOCK)


async def partition_months(connection: asyncpg.Connection) -> list[Month]:
    """Return the months that have a partition, in order."""
    found = await connection.fetch(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'feedback'::regclass"
    )
    names = [row[0].removeprefix(NAME_PREFIX).replace("_", "-") for row in found]
    return sorted(Month.read(name) for name in names if name != "default")


def partition_name(month: Month) -> str:
    """Return the table of one month."""
    return NAME_PREFIX + str(month).replace("-", "_")


async def _make_one(connection: asyncpg.Connection, month: Month) -> None:
    """Make one partition; rows of the month that the default one holds move into it."""
    name = partition_name(month)
    first, end = month.id_range
    # Names are ours and bounds are computed; such statements take no arguments.
    await connection.execute(
        f"""
        LOCK TABLE feedback_default IN ACCESS EXCLUSIVE MODE;
        CREATE TABLE {name} (LIKE feedback INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
        WITH moved AS (
            DELETE FROM feedback_default
            WHERE event_id >= '{first}' AND event_id < '{end}' RETURNING *
        ) INSERT INTO {name} SELECT * FROM moved;
        ALTER TABLE feedback ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}');
        """  # noqa: S608 - see above
    )
    log.info("partition_made", month=str(month))
