"""The outbox of a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import asyncpg  # type: ignore[import-untyped]

from server.storage.outbox import MAX_ERROR_CHARS, Delivery, Notice, State
from server.storage.postgres_pool import PostgresPool

NOTICE_COLUMNS = tuple(Notice.__dataclass_fields__)
DELIVERY_COLUMNS = ", ".join(Delivery.__dataclass_fields__)

_fields = attrgetter(*NOTICE_COLUMNS)
_TYPES = {"body": "bytea", "created_at": "bigint"}
_ARRAYS = ", ".join(f"${n}::{_TYPES.get(c, 'text')}[]" for n, c in enumerate(NOTICE_COLUMNS, 1))
_INSERT = (
    f"INSERT INTO notices ({', '.join(NOTICE_COLUMNS)}, next_at)"  # noqa: S608 - our own names
    f" SELECT u.*, u.created_at FROM unnest({_ARRAYS}) AS u ({', '.join(NOTICE_COLUMNS)})"
    " ON CONFLICT DO NOTHING"
)
_BORROW = (
    "UPDATE notices SET attempts = attempts + 1, next_at = $4, loan = $5 WHERE number IN"  # noqa: S608
    " (SELECT number FROM notices WHERE state = 'waiting' AND endpoint = $1 AND next_at <= $3"
    f" ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING {DELIVERY_COLUMNS}"
)


async def add_notices(connection: asyncpg.Connection, notices: Sequence[Notice]) -> None:
    """Put notices into the outbox, as part of the caller's transaction."""
    if notices:
        # In one order for all writers, so that two of them never wait for each other in a circle.
        ordered = sorted(notices, key=attrgetter("endpoint", "message_id"))
        await connection.execute(_INSERT, *zip(*map(_fields, ordered), strict=True))


class PostgresOutbox:
    """The outbox in the database of a store."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def borrow(
        self, endpoint: str, *, limit: int, now: int, until: int, loan: str
    ) -> list[Delivery]:
        """Lend what is due."""
        async with self._pool.writing() as connection:
            found = await connection.fetch(_BORROW, endpoint, limit, now, until, loan)
        return sorted((Delivery(*one) for one in found), key=attrgetter("number"))

    async def delivered(self, number: int, loan: str) -> bool:
        """Remove one."""
        return await self._change(
            "DELETE FROM notices WHERE number = $1 AND loan = $2", number, loan
        )

    async def failed(self, number: int, loan: str, *, next_at: int | None, error: str) -> bool:
        """Give one back."""
        return await self._change(
            "UPDATE notices SET loan = '', error = $3, next_at = coalesce($4, next_at), state = $5"
            " WHERE number = $1 AND loan = $2",
            number,
            loan,
            error[:MAX_ERROR_CHARS],
            next_at,
            "dead" if next_at is None else "waiting",
        )

    async def deliveries(
        self, limit: int, after: int = 0, *, state: State | None = None, endpoint: str | None = None
    ) -> list[Delivery]:
        """Return some."""
        found = await self._pool.select(
            f"SELECT {DELIVERY_COLUMNS} FROM notices WHERE number > $1"  # noqa: S608
            " AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR endpoint = $3)"
            " ORDER BY number LIMIT $4",
            (after, state, endpoint, limit),
        )
        return [Delivery(*one) for one in found]

    async def revive(self, numbers: Sequence[int] | None, *, now: int) -> int:
        """Try dead ones again."""
        return await self._count(
            "UPDATE notices SET state = 'waiting', attempts = 0, next_at = $1"
            " WHERE state = 'dead' AND ($2::bigint[] IS NULL OR number = ANY($2))",
            now,
            numbers,
        )

    async def forget(self, before: int) -> int:
        """Remove old ones."""
        return await self._count("DELETE FROM notices WHERE created_at < $1", before)

    async def _change(self, statement: str, *values: object) -> bool:
        return await self._count(statement, *values) > 0

    async def _count(self, statement: str, *values: object) -> int:
        async with self._pool.writing() as connection:
            status: str = await connection.execute(statement, *values)
        return int(status.rpartition(" ")[2])
