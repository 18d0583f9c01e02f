"""Migrations of a SQLite file, one program at a time."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from server.storage.migrating import MigrationError, pending, read_migrations
from server.storage.sqlite_thread import connect, in_transaction, translated


async def migrate_file(path: Path) -> list[str]:
    """Apply what the file still needs, making it first; return the names of what was applied."""

    def run() -> list[str]:
        with closing(connect(path)) as connection:
            return migrate(connection)

    return await asyncio.to_thread(translated, run)


def migrate(connection: sqlite3.Connection) -> list[str]:
    """Apply what the file still needs, in one transaction that other processes wait for."""
    return in_transaction(connection, lambda: _apply(connection), "BEGIN EXCLUSIVE")


def _apply(connection: sqlite3.Connection) -> list[str]:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT"
    )
    recorded = connection.execute("SELECT number, name, sha256 FROM migrations").fetchall()
    applied = {number: (name, sha256) for number, name, sha256 in recorded}
    due = pending(read_migrations("sqlite"), applied)
    for one in due:
        for statement in _statements(one.text):
            connection.execute(statement)
        values = (one.number, one.name, one.sha256)
        connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", values)
    return [one.name for one in due]


def _statements(text: str) -> list[str]:
    """Return the statements of a script: `executescript` would commit before it begins."""
    found, statement = [], ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    if statement.strip():
        raise MigrationError(f"a migration ends inside a statement: {statement.strip()[:80]}")
    return found
