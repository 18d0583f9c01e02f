"""Connections to PostgreSQL: a few for writing, a few for reading, so that neither waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from server.storage.postgres_errors import translating
from server.storage.store import StoreUnavailableError

CONNECT_S = 5.0
STATEMENT_S = 30.0
"""Longest that one statement may take; a group commit takes milliseconds."""

WRITERS = 2
READERS = 3


class PostgresPool:
    """Two pools on one URL. Connections are made when needed and made again when lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._writers: asyncpg.Pool | None = None
        self._readers: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Make both pools; connects to nothing yet. Raises `StoreUnavailableError`."""
        async with translating():
            self._writers = await self._make(WRITERS)
            self._readers = await self._make(READERS)

    async def _make(self, size: int) -> asyncpg.Pool:
        return await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=size,
            timeout=CONNECT_S,
            command_timeout=STATEMENT_S,
            reset=_no_reset,
            # An acknowledged row is on the disk, whatever the server does by default.
            server_settings={"synchronous_commit": "on", "application_name": "manicule"},
        )

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection to a writer; errors of the block become those of the port."""
        async with self._lend(self._writers) as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection to a reader."""
        async with self._lend(self._readers) as connection:
            yield connection

    async def select(self, statement: str, args: Sequence[object] = ()) -> list[Sequence[Any]]:
        """Return all rows of a query."""
        async with self._lend(self._readers) as connection:
            rows: list[Sequence[Any]] = await connection.fetch(statement, *args)
            return rows

    @asynccontextmanager
    async def _lend(self, pool: asyncpg.Pool | None) -> AsyncIterator[asyncpg.Connection]:
        if pool is None:
            raise StoreUnavailableError("the store is not open", code="CLOSED")
        try:
            async with translating(), pool.acquire(timeout=CONNECT_S) as connection:
                yield connection
        except StoreUnavailableError as error:
            if error.code == "25006":
                # A server that was demoted: the next connection may find the new primary.
                await pool.expire_connections()
            raise

    async def aclose(self) -> None:
        """Close all connections; those still lent are cut."""
        for pool in (self._writers, self._readers):
            if pool is not None:
                pool.terminate()
        self._writers = self._readers = None


async def _no_reset(connection: asyncpg.Connection) -> None:
    """Keep the session: nothing here sets anything beyond a transaction."""
