"""The store of record in one SQLite file: nothing to install, durable after each commit."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from server.storage.batches import Batch, key_of, mark
from server.storage.columns import (
    FEEDBACK_COLUMNS,
    FEEDBACK_SELECT,
    INTERACTION_COLUMNS,
    JUDGED_SELECT,
    feedback_row,
    feedback_values,
    interaction_row,
    interaction_values,
    judged_row,
)
from server.storage.counting import Counting
from server.storage.months import Month
from server.storage.outbox import BACKLOG, SILENT, Announcer, Backlog
from server.storage.records import AnyRow, DeadLetter, FeedbackRow, InteractionRow, Written
from server.storage.sqlite_archive import archive_month, expire_interactions, months_stored
from server.storage.sqlite_letters import drop_letters, erase, letters, put_letter
from server.storage.sqlite_migrating import migrate
from server.storage.sqlite_outbox import SqliteOutbox, add_notices
from server.storage.sqlite_rows import Insert
from server.storage.sqlite_spans import count, sum_up
from server.storage.sqlite_superseding import withdraw
from server.storage.sqlite_thread import BUSY_S, SqliteThread, in_transaction
from server.storage.sqlite_upkeep import SqliteChores, forget_erasures, read_erased
from server.storage.store import PAGE_ROWS, Archive, Filter, GroupBy, Judged, Tally
from server.storage.tallies import ROLL_UP_COLUMNS, days_changed, judged_query, merge, roll_ups

_FEEDBACK = Insert("feedback", FEEDBACK_COLUMNS)
_INTERACTIONS = Insert("interactions", INTERACTION_COLUMNS)
_ROLL_UPS = Insert(
    "feedback_days",
    ROLL_UP_COLUMNS,
    "(tenant, level, day, key) DO UPDATE SET events = events + excluded.events,"
    " weight = weight + excluded.weight, score_sum = score_sum + excluded.score_sum",
)
_NOTE_CHANGE = (
    "INSERT INTO feedback_changes (tenant, day, revision) VALUES (?, ?, 1)"
    " ON CONFLICT (tenant, day) DO UPDATE SET revision = revision + 1"
)


class SqliteStore:
    """The store in the file `path`. Writes, reads and sums have a connection and a thread each.

    Several processes may share the file; each write waits up to `busy_s` for another's. `announcer`
    says what goes to the outbox.
    """

    def __init__(
        self, path: Path, *, busy_s: float = BUSY_S, announcer: Announcer = SILENT
    ) -> None:
        self._writer = SqliteThread(path, "store-writer", busy_s)
        self._reader = SqliteThread(path, "store-reader", busy_s)
        self._announcer = announcer
        self.chores = SqliteChores(self._writer)
        self.outbox = SqliteOutbox(self._writer, self._reader)
        self._summer = SqliteThread(path, "store-summer", busy_s)

    async def open(self) -> None:
        """Open or make the file and apply migrations; raises `MigrationError` too."""
        await self._writer.open()
        await self._writer.run(migrate)
        await self._reader.open()
        await self._summer.open()

    async def write(self, rows: Sequence[AnyRow]) -> list[Written]:
        """Store all rows in one durable transaction."""
        return await self._writer.run(lambda one: _write(one, rows, self._announcer))

    async def put_dead_letter(self, original: bytes, reason: str, received_at: int) -> None:
        """Keep what was refused."""
        values = (original, reason, received_at)
        await self._writer.run(lambda one: put_letter(one, values, self._announcer))

    async def dead_letters(self, limit: int, after: int = 0) -> list[DeadLetter]:
        """Return dead letters with an id over `after`, by id."""
        return await self._reader.run(lambda connection: letters(connection, limit, after))

    async def drop_dead_letters(self, ids: Sequence[int]) -> int:
        """Remove dead letters."""
        return await self._writer.run(
            lambda connection: in_transaction(connection, lambda: drop_letters(connection, ids))
        )

    async def interaction(self, response_id: str, tenant: str = "") -> InteractionRow | None:
        """Return one interaction."""
        columns = ", ".join(INTERACTION_COLUMNS)
        statement = f"SELECT {columns} FROM interactions WHERE response_id = ? AND tenant = ?"  # noqa: S608
        found = await self._select(statement, (response_id, tenant))
        return interaction_row(found[0]) if found else None

    async def asked(self, user_id: str, tenant: str = "", *, since: int) -> list[str]:
        """Return the ids of what one person asked since a time."""
        statement = (
            "SELECT response_id FROM interactions"
            " WHERE user_id = ? AND tenant = ? AND started_at >= ?"
        )
        return [str(one[0]) for one in await self._select(statement, (user_id, tenant, since))]

    async def feedback_of(self, response_id: str, tenant: str = "") -> list[FeedbackRow]:
        """Return the judgements of one answer, oldest first."""
        statement = (
            f"SELECT {FEEDBACK_SELECT} FROM feedback WHERE response_id = ? AND tenant = ?"  # noqa: S608
            " ORDER BY received_at, event_id"
        )
        return [feedback_row(one) for one in await self._select(statement, (response_id, tenant))]

    async def tally(self, by: Sequence[GroupBy], where: Filter) -> list[Tally]:
        """Count judgements by groups."""
        counting = Counting(by, where, "?")
        return merge(by, await self._reader.run(lambda connection: count(connection, counting)))

    async def sum_up(self, today: int) -> int:
        """Sum up the spans of days that are over."""
        return await sum_up(self._summer, self._writer, today)

    async def judged(self, where: Filter, after: str = "") -> AsyncIterator[Judged]:
        """Stream judgements, a page at a time."""
        while True:
            query = judged_query(where, after, PAGE_ROWS, "?", JUDGED_SELECT)
            page = await self._select(query.text, query.args)
            for one in page:
                feedback, interaction = judged_row(one)
                yield Judged(feedback, interaction)
            if len(page) < PAGE_ROWS:
                return
            after = feedback.event_id

    async def erase_user(self, user_id: str, tenant: str = "", *, now: int) -> dict[str, int]:
        """Remove one person's judgements, interactions and dead letters in one transaction.

        Their bytes leave the file too, and its log unless another process is reading just then.
        """
        return await self._writer.run(lambda one: erase(one, user_id, tenant, now))

    async def months(self) -> list[str]:
        """Return the months that hold judgements."""
        return await self._reader.run(months_stored)

    async def archive_month(self, month: str, archive: Archive) -> int:
        """Write out a month, then remove it in small commits."""
        return await archive_month(self._writer, self._reader, Month.read(month), archive)

    async def expire_interactions(self, before: int) -> int:
        """Remove old interactions in small commits."""
        removed = 0
        while some := await self._writer.run(lambda one: expire_interactions(one, before)):
            removed += some
        return removed

    async def forget_erasures(self, before: int) -> None:
        """Forget old erasures."""
        await self._writer.run(lambda connection: forget_erasures(connection, before))

    async def backlog(self) -> Backlog:
        """Count what waits for somebody to act."""
        [(letters, waiting, dead)] = await self._select(BACKLOG, ())
        return Backlog(letters, waiting, dead)

    async def check(self) -> None:
        """Return when a read works."""
        await self._select("SELECT 1 FROM feedback LIMIT 1", ())

    async def aclose(self) -> None:
        """Close all connections and end their threads."""
        await self._summer.aclose()
        await self._reader.aclose()
        await self._writer.aclose()

    async def _select(self, statement: str, args: Sequence[object]) -> list[tuple[Any, ...]]:
        def select(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(statement, args).fetchall()

        return await self._reader.run(select)


def _write(
    connection: sqlite3.Connection, rows: Sequence[AnyRow], announcer: Announcer
) -> list[Written]:
    batch = Batch(rows)
    judgements = [(row, feedback_values(row)) for row in batch.feedback.values()]
    answers = [(row, interaction_values(row)) for row in batch.interactions.values()]

    def insert() -> list[Written]:
        erased = read_erased(connection)
        wanted = [(row, values) for row, values in judgements if not erased.holds(row)]
        told = _FEEDBACK.new(connection, [values for _, values in wanted])
        new = [row for (row, _), is_new in zip(wanted, told, strict=True) if is_new]
        old = [row for (row, _), is_new in zip(wanted, told, strict=True) if not is_new]
        kept = {key_of(row): _payload_hash(connection, row) for row in old}
        asked = [(answer, values) for answer, values in answers if not erased.holds(answer)]
        told = _INTERACTIONS.new(connection, [values for _, values in asked])
        inserted = {mark(row) for row in new}
        inserted |= {mark(row) for (row, _), is_new in zip(asked, told, strict=True) if is_new}
        added = roll_ups(new, withdraw(connection, new))
        _ROLL_UPS.merge(connection, added)
        connection.executemany(_NOTE_CHANGE, days_changed(added))
        add_notices(connection, announcer.of_rows(new))
        return batch.results(inserted, kept)

    return in_transaction(connection, insert)


def _payload_hash(connection: sqlite3.Connection, row: FeedbackRow) -> str:
    statement = "SELECT payload_sha256 FROM feedback WHERE event_id = ? AND tenant = ?"
    [(found,)] = connection.execute(statement, key_of(row)).fetchall()
    return str(found)
