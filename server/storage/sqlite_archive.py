"""Old months of a SQLite store: which there are, and how one is written out and removed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from server.storage.columns import DAY_MS, FEEDBACK_SELECT, feedback_row
from server.storage.months import Month, month_of_id
from server.storage.records import encode_row
from server.storage.sqlite_thread import SqliteThread, in_transaction
from server.storage.store import Archive, StoreUnavailableError

READ_ROWS = 500
REMOVED_ROWS = 2000
"""Rows removed by one commit, so that writes between two of them wait for milliseconds only."""

_OF_ID = "event_id >= :first AND event_id < :end"
_TIMELESS = (
    "substr(event_id, 15, 1) <> '7' AND received_at >= :start_ms AND received_at < :end_ms"
    f" AND NOT ({_OF_ID})"
)
_PARTS = (_OF_ID, _TIMELESS)


def months_stored(connection: sqlite3.Connection) -> list[str]:
    """Return the months that hold judgements, by the id's own time, else by arrival."""
    found: set[Month] = set()
    at = ""
    while True:
        # One step per month, whatever the number of rows.
        least = connection.execute(
            "SELECT event_id FROM feedback WHERE event_id >= ? AND substr(event_id, 15, 1) = '7'"
            " ORDER BY event_id LIMIT 1",
            (at,),
        ).fetchone()
        month = least and month_of_id(least[0])
        if month is None:
            break
        found.add(month)
        at = month.id_range[1]
    days = connection.execute(
        "SELECT DISTINCT received_at / 86400000 FROM feedback WHERE substr(event_id, 15, 1) <> '7'"
    )
    found.update(Month.of(day * DAY_MS) for (day,) in days)
    return [str(month) for month in sorted(found)]


async def archive_month(
    writer: SqliteThread, reader: SqliteThread, month: Month, archive: Archive
) -> int:
    """Write out and remove one month; see the port."""
    first, end = month.id_range
    scope = {
        "first": first,
        "end": end,
        "start_ms": month.start_ms,
        "end_ms": month.plus(1).start_ms,
    }
    written = 0
    for part in _PARTS:
        at = {"at": "", "at_tenant": ""}
        while page := await reader.run(_reading(part, scope | at)):
            rows = [feedback_row(one) for one in page]
            await archive.write(b"".join(encode_row(row) + b"\n" for row in rows))
            written += len(rows)
            at = {"at": rows[-1].event_id, "at_tenant": rows[-1].tenant}
    await archive.seal()
    await writer.run(_checking(scope, written))
    while await writer.run(_removing(scope)):
        pass
    return written


def _reading(
    part: str, scope: dict[str, Any]
) -> Callable[[sqlite3.Connection], list[tuple[Any, ...]]]:
    # Parts and columns are ours; all values are arguments.
    statement = (
        f"SELECT {FEEDBACK_SELECT} FROM feedback"  # noqa: S608
        f" WHERE {part} AND (event_id, tenant) > (:at, :at_tenant)"
        f" ORDER BY event_id, tenant LIMIT {READ_ROWS}"
    )
    return lambda connection: connection.execute(statement, scope).fetchall()


def _checking(scope: dict[str, Any], written: int) -> Callable[[sqlite3.Connection], None]:
    statement = " + ".join(f"(SELECT COUNT(*) FROM feedback WHERE {part})" for part in _PARTS)  # noqa: S608

    def check(connection: sqlite3.Connection) -> None:
        [(stored,)] = connection.execute(f"SELECT {statement}", scope)
        if stored != written:
            raise StoreUnavailableError("the month changed while it was archived", code="CHANGED")

    return check


def _removing(scope: dict[str, Any]) -> Callable[[sqlite3.Connection], int]:
    statements = [
        "DELETE FROM feedback WHERE rowid IN"  # noqa: S608 - see above
        f" (SELECT rowid FROM feedback WHERE {part} LIMIT {REMOVED_ROWS})"
        for part in _PARTS
    ]

    def remove(connection: sqlite3.Connection) -> int:
        return in_transaction(
            connection,
            lambda: sum(connection.execute(one, scope).rowcount for one in statements),
        )

    return remove


def expire_interactions(connection: sqlite3.Connection, before: int) -> int:
    """Remove some interactions that began before a time; return how many, 0 when none are left."""
    statement = (
        "DELETE FROM interactions WHERE rowid IN"  # noqa: S608 - a number
        f" (SELECT rowid FROM interactions WHERE started_at < ? LIMIT {REMOVED_ROWS})"
    )
    return connection.execute(statement, (before,)).rowcount
