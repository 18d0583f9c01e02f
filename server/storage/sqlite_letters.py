"""Dead letters of a SQLite store, and the erasure of one person from all its tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from server.storage.erasures import person_of
from server.storage.letters import is_about, plain
from server.storage.outbox import Announcer
from server.storage.records import DeadLetter
from server.storage.sqlite_outbox import add_notices
from server.storage.sqlite_thread import in_transaction
from server.storage.sqlite_upkeep import read_erased


def put_letter(
    connection: sqlite3.Connection, values: tuple[bytes, str, int], announcer: Announcer
) -> None:
    """Keep original, reason and time of what was refused, and announce it."""
    original, reason, received_at = values

    def insert() -> None:
        if read_erased(connection).holds_letter(original):
            return
        cursor = connection.execute(
            "INSERT INTO dead_letters (original, reason, received_at) VALUES (?, ?, ?)",
            (original, plain(reason), received_at),
        )
        letter = DeadLetter(
            id=cursor.lastrowid or 0, received_at=received_at, original=original, reason=reason
        )
        add_notices(connection, announcer.of_letter(letter))

    in_transaction(connection, insert)


def letters(connection: sqlite3.Connection, limit: int, after: int) -> list[DeadLetter]:
    """Return dead letters with an id over `after`, by id."""
    statement = (
        "SELECT id, received_at, original, reason, attempts FROM dead_letters"
        " WHERE id > ? ORDER BY id LIMIT ?"
    )
    names = ("id", "received_at", "original", "reason", "attempts")
    found = connection.execute(statement, (after, limit)).fetchall()
    return [DeadLetter(**dict(zip(names, one, strict=True))) for one in found]


def drop_letters(connection: sqlite3.Connection, ids: Sequence[int]) -> int:
    """Remove dead letters, as part of the caller's transaction; return how many there were."""
    statement = "DELETE FROM dead_letters WHERE id = ?"
    return sum(connection.execute(statement, (one,)).rowcount for one in ids)


def erase(connection: sqlite3.Connection, user_id: str, tenant: str, now: int) -> dict[str, int]:
    """Remove one person's rows; their bytes leave the write-ahead log too if nobody reads it."""
    counts = in_transaction(connection, lambda: _erase(connection, user_id, tenant, now))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return counts


def _erase(connection: sqlite3.Connection, user_id: str, tenant: str, now: int) -> dict[str, int]:
    connection.execute(
        "INSERT INTO erasures (person, erased_at) VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET erased_at = excluded.erased_at",
        (person_of(user_id, tenant), now),
    )
    counts = {}
    for table in ("feedback", "interactions", "notices"):
        statement = f"DELETE FROM {table} WHERE user_id = ? AND tenant = ?"  # noqa: S608 - our own names
        counts[table] = connection.execute(statement, (user_id, tenant)).rowcount
    stored = connection.execute("SELECT id, original FROM dead_letters")
    theirs = [one for one, original in stored if is_about(original, user_id, tenant)]
    counts["dead_letters"] = drop_letters(connection, theirs)
    return counts
