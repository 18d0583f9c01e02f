"""Chores and remembered erasures of a SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from server.storage.chores import CLAIM, RELEASE, RENEW
from server.storage.erasures import Erased
from server.storage.sqlite_thread import SqliteThread

_CLAIM, _RENEW, _RELEASE = (text.format(*"?????") for text in (CLAIM, RENEW, RELEASE))


class SqliteChores:
    """Chores in the file of a store, on the store's own connection."""

    def __init__(self, writer: SqliteThread) -> None:
        self._writer = writer

    async def claim(self, name: str, token: str, *, now: int, until: int, every_ms: int) -> bool:
        """Take it."""
        return await self._changed(_CLAIM, (name, token, until, now, now - every_ms))

    async def renew(self, name: str, token: str, *, until: int) -> bool:
        """Keep it."""
        return await self._changed(_RENEW, (until, name, token))

    async def release(self, name: str, token: str, *, done_at: int | None) -> None:
        """Give it back."""
        await self._changed(_RELEASE, (done_at, name, token))

    async def _changed(self, statement: str, values: Sequence[object]) -> bool:
        return await self._writer.run(lambda one: bool(one.execute(statement, values).fetchall()))


def read_erased(connection: sqlite3.Connection) -> Erased:
    """Return who was erased, within the caller's transaction."""
    return Erased(dict(connection.execute("SELECT person, erased_at FROM erasures").fetchall()))


def forget_erasures(connection: sqlite3.Connection, before: int) -> int:
    """Remove what is remembered of erasures before a time; return how many."""
    return connection.execute("DELETE FROM erasures WHERE erased_at < ?", (before,)).rowcount
