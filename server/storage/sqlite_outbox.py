"""The outbox of a SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from operator import attrgetter

from server.storage.outbox import MAX_ERROR_CHARS, Delivery, Notice, State
from server.storage.sqlite_thread import SqliteThread, in_transaction

NOTICE_COLUMNS = tuple(Notice.__dataclass_fields__)
DELIVERY_COLUMNS = ", ".join(Delivery.__dataclass_fields__)

_fields = attrgetter(*NOTICE_COLUMNS)
_INSERT = (
    f"INSERT INTO notices ({', '.join(NOTICE_COLUMNS)}, next_at)"  # noqa: S608 - our own names
    f" VALUES ({', '.join('?' * (len(NOTICE_COLUMNS) + 1))}) ON CONFLICT DO NOTHING"
)
_DUE = "SELECT 1 FROM notices WHERE state = 'waiting' AND endpoint = ? AND next_at <= ? LIMIT 1"
# RETURNING gives the rows in no order of ours.
_BORROW = (
    "UPDATE notices SET attempts = attempts + 1, next_at = :until, loan = :loan WHERE number IN"  # noqa: S608
    " (SELECT number FROM notices WHERE state = 'waiting' AND endpoint = :endpoint"
    f" AND next_at <= :now ORDER BY next_at LIMIT :limit) RETURNING {DELIVERY_COLUMNS}"
)


def add_notices(connection: sqlite3.Connection, notices: Iterable[Notice]) -> None:
    """Put notices into the outbox, as part of the caller's transaction."""
    connection.executemany(_INSERT, [(*_fields(one), one.created_at) for one in notices])


class SqliteOutbox:
    """The outbox in the file of a store, on the store's own connections."""

    def __init__(self, writer: SqliteThread, reader: SqliteThread) -> None:
        self._writer = writer
        self._reader = reader

    async def borrow(
        self, endpoint: str, *, limit: int, now: int, until: int, loan: str
    ) -> list[Delivery]:
        """Lend what is due."""
        # Looked for first by the reader: an empty outbox, the usual one, takes no lock for writing.
        is_due = await self._reader.run(lambda one: one.execute(_DUE, (endpoint, now)).fetchone())
        if is_due is None:
            return []
        named = {"endpoint": endpoint, "limit": limit, "now": now, "until": until, "loan": loan}

        def run(connection: sqlite3.Connection) -> list[Delivery]:
            found = in_transaction(
                connection, lambda: connection.execute(_BORROW, named).fetchall()
            )
            return sorted((Delivery(*one) for one in found), key=attrgetter("number"))

        return await self._writer.run(run)

    async def delivered(self, number: int, loan: str) -> bool:
        """Remove one."""
        return await self._change(
            "DELETE FROM notices WHERE number = ? AND loan = ?", (number, loan)
        )

    async def failed(self, number: int, loan: str, *, next_at: int | None, error: str) -> bool:
        """Give one back."""
        return await self._change(
            "UPDATE notices SET loan = '', error = ?, next_at = coalesce(?, next_at), state = ?"
            " WHERE number = ? AND loan = ?",
            (
                error[:MAX_ERROR_CHARS],
                next_at,
                "dead" if next_at is None else "waiting",
                number,
                loan,
            ),
        )

    async def deliveries(
        self, limit: int, after: int = 0, *, state: State | None = None, endpoint: str | None = None
    ) -> list[Delivery]:
        """Return some."""
        statement = (
            f"SELECT {DELIVERY_COLUMNS} FROM notices WHERE number > ?1"  # noqa: S608
            " AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR endpoint = ?3)"
            " ORDER BY number LIMIT ?4"
        )
        values = (after, state, endpoint, limit)
        found = await self._reader.run(lambda one: one.execute(statement, values).fetchall())
        return [Delivery(*one) for one in found]

    async def revive(self, numbers: Sequence[int] | None, *, now: int) -> int:
        """Try dead ones again."""
        statement = (
            "UPDATE notices SET state = 'waiting', attempts = 0, next_at = ? WHERE state = 'dead'"
        )
        if numbers is None:
            return await self._writer.run(lambda one: one.execute(statement, (now,)).rowcount)
        statement += " AND number = ?"

        def run(connection: sqlite3.Connection) -> int:
            return in_transaction(
                connection,
                lambda: sum(connection.execute(statement, (now, n)).rowcount for n in numbers),
            )

        return await self._writer.run(run)

    async def forget(self, before: int) -> int:
        """Remove old ones."""
        statement = "DELETE FROM notices WHERE created_at < ?"
        return await self._writer.run(lambda one: one.execute(statement, (before,)).rowcount)

    async def _change(self, statement: str, values: Sequence[object]) -> bool:
        return await self._writer.run(lambda one: one.execute(statement, values).rowcount > 0)
