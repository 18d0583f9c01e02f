"""Migrations of a PostgreSQL database, one program at a time."""

from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]

from server.storage.migrating import pending, read_migrations
from server.storage.postgres_errors import translating

CONNECT_S = 5.0

MIGRATION_LOCK = 0x6D616E69637501
"""Advisory lock that the one who migrates holds."""

_RECORD = """
CREATE TABLE manicule_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


async def migrate_database(url: str) -> list[str]:
    """Apply what the database still needs; return the names of what was applied.

    Raises `MigrationError`, and `StoreUnavailableError` when the server is away.
    """
    async with translating():
        connection = await asyncpg.connect(url, timeout=CONNECT_S)
        try:
            return await apply_migrations(connection)
        finally:
            await connection.close(timeout=CONNECT_S)


async def apply_migrations(connection: asyncpg.Connection) -> list[str]:
    """Apply what is pending in one transaction, under a lock that other nodes wait for."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        if await connection.fetchval("SELECT to_regclass('manicule_migrations')") is None:
            # Asked first: IF NOT EXISTS wants the right to make tables even where nothing is made.
            await connection.execute(_RECORD)
        recorded = await connection.fetch("SELECT number, name, sha256 FROM manicule_migrations")
        applied = {number: (name, sha256) for number, name, sha256 in recorded}
        due = pending(read_migrations("postgres"), applied)
        for one in due:
            await connection.execute(one.text)
            await connection.execute(
                "INSERT INTO manicule_migrations (number, name, sha256) VALUES ($1, $2, $3)",
                one.number,
                one.name,
                one.sha256,
            )
    return [one.name for one in due]
