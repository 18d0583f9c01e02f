"""Chores and remembered erasures of a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeVar

import asyncpg  # type: ignore[import-untyped]

from server.storage.batches import key_of
from server.storage.chores import CLAIM, RELEASE, RENEW
from server.storage.erasures import Erased
from server.storage.postgres_pool import PostgresPool
from server.storage.records import FeedbackRow, InteractionRow

_NUMBERED = [f"${n}" for n in range(1, 6)]
_CLAIM, _RENEW, _RELEASE = (text.format(*_NUMBERED) for text in (CLAIM, RENEW, RELEASE))


Table = Literal["feedback", "interactions"]
_DROP: Final[Mapping[Table, str]] = {
    "feedback": "DELETE FROM feedback WHERE (event_id, tenant) IN"
    " (SELECT * FROM unnest($1::uuid[], $2::text[]))",
    "interactions": "DELETE FROM interactions WHERE (response_id, tenant) IN"
    " (SELECT * FROM unnest($1::text[], $2::text[]))",
}

OneRow = TypeVar("OneRow", FeedbackRow, InteractionRow)


class PostgresChores:
    """Chores in the database of a store."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def claim(self, name: str, token: str, *, now: int, until: int, every_ms: int) -> bool:
        """Take it."""
        return await self._changed(_CLAIM, name, token, until, now, now - every_ms)

    async def renew(self, name: str, token: str, *, until: int) -> bool:
        """Keep it."""
        return await self._changed(_RENEW, until, name, token)

    async def release(self, name: str, token: str, *, done_at: int | None) -> None:
        """Give it back."""
        await self._changed(_RELEASE, done_at, name, token)

    async def _changed(self, statement: str, *values: object) -> bool:
        async with self._pool.writing() as connection:
            return bool(await connection.fetch(statement, *values))


async def read_erased(connection: asyncpg.Connection) -> Erased:
    """Return who was erased, as the caller's transaction sees it."""
    return Erased(dict(await connection.fetch("SELECT person, erased_at FROM erasures")))


async def drop_erased(
    connection: asyncpg.Connection, table: Table, new: Sequence[OneRow]
) -> list[OneRow]:
    """Remove those of the rows just inserted that are about persons erased; return the others."""
    erased = await read_erased(connection)
    doomed = [key_of(row) for row in new if erased.holds(row)]
    if doomed:
        await connection.execute(_DROP[table], *zip(*doomed, strict=True))
    return [row for row in new if key_of(row) not in doomed]


async def forget_erasures(connection: asyncpg.Connection, before: int) -> None:
    """Remove what is remembered of erasures before a time."""
    await connection.execute("DELETE FROM erasures WHERE erased_at < $1", before)
