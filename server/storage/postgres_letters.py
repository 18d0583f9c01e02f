"""Dead letters of a PostgreSQL store, and the erasure of one person from all its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from server.storage.erasures import person_of
from server.storage.letters import is_about, plain
from server.storage.outbox import Announcer
from server.storage.postgres_outbox import add_notices
from server.storage.postgres_partitions import lock_partitions
from server.storage.postgres_upkeep import read_erased
from server.storage.records import DeadLetter

SELECT_LETTERS = (
    "SELECT id, received_at, original, reason, attempts FROM dead_letters"
    " WHERE id > $1 ORDER BY id LIMIT $2"
)


def letters_of(found: Sequence[Sequence[Any]]) -> list[DeadLetter]:
    """Return the letters that `SELECT_LETTERS` found."""
    names = ("id", "received_at", "original", "reason", "attempts")
    return [DeadLetter(**dict(zip(names, one, strict=True))) for one in found]


async def put_letter(
    connection: asyncpg.Connection,
    original: bytes,
    reason: str,
    received_at: int,
    announcer: Announcer,
) -> None:
    """Keep what was refused, and announce it."""
    async with connection.transaction():
        await connection.execute("LOCK TABLE dead_letters IN ROW EXCLUSIVE MODE")
        if (await read_erased(connection)).holds_letter(original):
            return
        letter_id = await connection.fetchval(
            "INSERT INTO dead_letters (original, reason, received_at) VALUES ($1, $2, $3)"
            " RETURNING id",
            original,
            plain(reason),
            received_at,
        )
        letter = DeadLetter(id=letter_id, received_at=received_at, original=original, reason=reason)
        await add_notices(connection, announcer.of_letter(letter))


async def drop_letters(connection: asyncpg.Connection, ids: Sequence[int]) -> int:
    """Remove dead letters; return how many there were."""
    statement = "DELETE FROM dead_letters WHERE id = ANY($1::bigint[])"
    return count_of(await connection.execute(statement, ids))


async def erase(
    connection: asyncpg.Connection, user_id: str, tenant: str, now: int
) -> dict[str, int]:
    """Remove one person's rows from every table in one transaction; return how many of each.

    Writes wait meanwhile: each has then either been seen here, or sees the erasure.
    """
    async with connection.transaction():
        await lock_partitions(connection)
        await connection.execute(
            "LOCK TABLE feedback, interactions, dead_letters IN SHARE ROW EXCLUSIVE MODE"
        )
        await connection.execute(
            "INSERT INTO erasures (person, erased_at) VALUES ($1, $2)"
            " ON CONFLICT (person) DO UPDATE SET erased_at = excluded.erased_at",
            person_of(user_id, tenant),
            now,
        )
        counts = {}
        for table in ("feedback", "interactions", "notices"):
            statement = f"DELETE FROM {table} WHERE user_id = $1 AND tenant = $2"  # noqa: S608 - our own names
            counts[table] = count_of(await connection.execute(statement, user_id, tenant))
        theirs = [
            one
            async for one, original in connection.cursor("SELECT id, original FROM dead_letters")
            if is_about(original, user_id, tenant)
        ]
        counts["dead_letters"] = await drop_letters(connection, theirs)
    return counts


def count_of(status: str) -> int:
    """Return the rows that a command tag such as `DELETE 3` names."""
    return int(status.rpartition(" ")[2])
