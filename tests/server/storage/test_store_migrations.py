"""Migrations of both stores: once each, in order, by one program at a time, or not at all."""

from __future__ import annotations

import asyncio
import sqlite3

import asyncpg
import pytest

from server.storage import migrating
from server.storage.columns import FEEDBACK_COLUMNS, INTERACTION_COLUMNS
from server.storage.migrating import Migration, MigrationError, migrate, pending, read_migrations
from server.storage.opening import open_store, sqlite_path
from server.storage.store import StoreUnavailableError
from server.storage.tallies import ROLL_UP_COLUMNS

KINDS = ["sqlite", "postgres"]


async def run(url, statement, *args):
    """Rows of one statement, beside the store."""
    path = sqlite_path(url)
    if path is None:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(statement, *args)
        finally:
            await connection.close()
    connection = sqlite3.connect(path)
    with connection:
        found = connection.execute(
            statement.replace("manicule_migrations", "migrations")
        ).fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_numbered_from_one(kind):
    assert [one.number for one in read_migrations(kind)][:1] == [1]


def test_both_stores_have_the_same_steps():
    assert [one.name for one in read_migrations("sqlite")] == [
        one.name for one in read_migrations("postgres")
    ]


async def test_applies_each_once(store_url):
    names = [one.name for one in read_migrations("sqlite")]
    assert await migrate(store_url) == names
    assert await migrate(store_url) == []
    store = open_store(store_url, now=lambda: 0.0)
    await store.open()
    await store.check()
    await store.aclose()


async def test_many_programs_apply_each_once(store_url):
    done = await asyncio.gather(*(migrate(store_url) for _ in range(6)))
    assert sorted(map(len, done)) == [0] * 5 + [len(read_migrations("sqlite"))]


async def test_refuses_a_database_whose_migration_was_another(store_url):
    await migrate(store_url)
    await run(store_url, "UPDATE manicule_migrations SET sha256 = 'other' WHERE number = 1")
    with pytest.raises(MigrationError, match=r"0001_feedback\.sql was applied with another text"):
        await migrate(store_url)
    store = open_store(store_url, now=lambda: 0.0)
    with pytest.raises(MigrationError):
        await store.open()
    await store.aclose()


async def test_refuses_a_database_that_is_newer(store_url):
    await migrate(store_url)
    statement = (
        "INSERT INTO manicule_migrations (number, name, sha256) VALUES (999, '0999_x.sql', 'x')"
    )
    await run(store_url, statement)
    with pytest.raises(MigrationError, match="newer than this program"):
        await migrate(store_url)


async def test_a_migration_that_fails_leaves_nothing(store_url, monkeypatch):
    await migrate(store_url)
    number = len(read_migrations("sqlite")) + 1
    broken = "CREATE TABLE half (a integer);\nCREATE TABLE half (a integer);\n"

    def with_broken(kind):
        return [*read_migrations(kind), Migration(number, "broken.sql", broken, "x")]

    module = "sqlite_migrating" if sqlite_path(store_url) else "postgres_migrating"
    monkeypatch.setattr(f"server.storage.{module}.read_migrations", with_broken)
    with pytest.raises(StoreUnavailableError):
        await migrate(store_url)
    monkeypatch.undo()
    assert await migrate(store_url) == []
    await run(store_url, "CREATE TABLE half (a integer)")


async def test_every_field_of_a_row_is_a_column(store_url):
    await migrate(store_url)
    tables = {
        "feedback": FEEDBACK_COLUMNS,
        "interactions": INTERACTION_COLUMNS,
        "feedback_days": ROLL_UP_COLUMNS,
        "dead_letters": ("id", "received_at", "original", "reason", "attempts"),
    }
    for table, columns in tables.items():
        if sqlite_path(store_url):
            found = {row[1] for row in await run(store_url, f"PRAGMA table_info({table})")}
        else:
            statement = "SELECT column_name FROM information_schema.columns WHERE table_name = $1"
            found = {row[0] for row in await run(store_url, statement, table)}
        assert found - {"shard"} == set(columns), table


def test_pending_goes_on_where_the_database_is():
    known = [Migration(n, f"{n}.sql", "", str(n)) for n in (1, 2, 3)]
    assert pending(known, {}) == known
    assert pending(known, {1: ("1.sql", "1")}) == known[1:]
    assert pending(known, {n: (f"{n}.sql", str(n)) for n in (1, 2, 3)}) == []


def test_refuses_gaps_between_files(monkeypatch, tmp_path):
    folder = tmp_path / "migrations" / "sqlite"
    folder.mkdir(parents=True)
    for name in ("0001_a.sql", "0003_b.sql"):
        (folder / name).write_text("SELECT 1;")
    monkeypatch.setattr(migrating, "files", lambda package: tmp_path)
    with pytest.raises(MigrationError, match="not numbered"):
        read_migrations("sqlite")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x.db",
        "mysql://host/db",
        "redis://host",
        "sqlite://x.db",
        "sqlite:///",
        "sqlite:///:memory:",
    ],
)
async def test_refuses_a_url_of_no_store(url):
    with pytest.raises(ValueError, match="Write sqlite:///FILE"):
        open_store(url, now=lambda: 0.0)
    with pytest.raises(ValueError, match="postgresql://"):
        await migrate(url)


def test_reads_paths_of_urls():
    assert str(sqlite_path("sqlite:///data/a%20b.db")) == "data/a b.db"
    assert str(sqlite_path("sqlite:////var/lib/manicule.db")) == "/var/lib/manicule.db"
    assert sqlite_path("postgresql://host/db") is None
