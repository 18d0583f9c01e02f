"""The store of record in PostgreSQL, for many nodes and many rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import asyncpg  # type: ignore[import-untyped]

from server.storage.batches import Batch, Key, mark
from server.storage.columns import (
    FEEDBACK_COLUMNS,
    FEEDBACK_SELECT,
    INTERACTION_COLUMNS,
    JUDGED_SELECT,
    Values,
    feedback_row,
    feedback_values,
    interaction_row,
    interaction_values,
    judged_row,
)
from server.storage.counting import Counting
from server.storage.months import Month
from server.storage.outbox import BACKLOG, SILENT, Announcer, Backlog
from server.storage.postgres_archive import EXPIRE_INTERACTIONS, archive_month, months_stored
from server.storage.postgres_letters import (
    SELECT_LETTERS,
    count_of,
    drop_letters,
    erase,
    letters_of,
    put_letter,
)
from server.storage.postgres_migrating import apply_migrations
from server.storage.postgres_outbox import PostgresOutbox, add_notices
from server.storage.postgres_partitions import Partitions
from server.storage.postgres_pool import PostgresPool
from server.storage.postgres_spans import count, sum_up
from server.storage.postgres_superseding import withdraw
from server.storage.postgres_types import SHARDS, unnest
from server.storage.postgres_upkeep import PostgresChores, drop_erased, forget_erasures
from server.storage.records import AnyRow, DeadLetter, FeedbackRow, InteractionRow, Written
from server.storage.store import PAGE_ROWS, Archive, Filter, GroupBy, Judged, Tally
from server.storage.tallies import ROLL_UP_COLUMNS, days_changed, judged_query, merge, roll_ups


def _insert(table: str, columns: Sequence[str], key: str) -> str:
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM {unnest(columns)}"  # noqa: S608 - our own names
        # Asked in this statement, whose snapshot is taken when it holds the table's lock: an
        # erasure that went before is seen, and one that comes after sees these rows.
        f" ON CONFLICT DO NOTHING RETURNING {key}, tenant, EXISTS (SELECT FROM erasures)"
    )


_INSERT_FEEDBACK = _insert("feedback", FEEDBACK_COLUMNS, "event_id")
_INSERT_INTERACTIONS = _insert("interactions", INTERACTION_COLUMNS, "response_id")
_ADDED = len(ROLL_UP_COLUMNS)
_ADD_ROLL_UPS = (
    "WITH changed AS (INSERT INTO feedback_changes AS c (shard, tenant, day, revision)"  # noqa: S608 - our own names
    f" SELECT pg_backend_pid() % {SHARDS}, *, 1"
    f" FROM unnest(${_ADDED + 1}::text[], ${_ADDED + 2}::integer[])"
    " ON CONFLICT (tenant, day, shard) DO UPDATE SET revision = c.revision + 1)"
    f" INSERT INTO feedback_days AS d (shard, {', '.join(ROLL_UP_COLUMNS)})"
    f" SELECT pg_backend_pid() % {SHARDS}, u.* FROM {unnest(ROLL_UP_COLUMNS)} u"
    " ON CONFLICT (tenant, level, day, key, shard) DO UPDATE SET"
    " events = d.events + excluded.events, weight = d.weight + excluded.weight,"
    " score_sum = d.score_sum + excluded.score_sum"
)
_PAYLOAD_HASHES = (
    "SELECT f.event_id, f.tenant, f.payload_sha256 FROM feedback f"
    " JOIN unnest($1::uuid[], $2::text[]) AS k (event_id, tenant) USING (event_id, tenant)"
)


class PostgresStore:
    """The store in the database at `url`; `now` is Unix time in seconds.

    `announcer` says what goes to the outbox.
    """

    def __init__(
        self, url: str, *, now: Callable[[], float], announcer: Announcer = SILENT
    ) -> None:
        self._now = now
        self._pool = PostgresPool(url)
        self._partitions = Partitions()
        self._announcer = announcer
        self.chores = PostgresChores(self._pool)
        self.outbox = PostgresOutbox(self._pool)

    async def open(self) -> None:
        """Connect, migrate and make partitions ahead; raises `MigrationError` too."""
        await self._pool.open()
        async with self._pool.writing() as connection:
            await apply_migrations(connection)
            await self._partitions.prepare(connection, (), self._now() * 1000)

    async def write(self, rows: Sequence[AnyRow]) -> list[Written]:
        """Store all rows in one durable transaction."""
        batch = Batch(rows)
        judgements = [feedback_values(row) for row in batch.feedback.values()]
        answers = [interaction_values(row) for row in batch.interactions.values()]
        async with self._pool.writing() as connection:
            await self._partitions.prepare(connection, batch.feedback.values(), self._now() * 1000)
            async with connection.transaction():
                inserted = await _insert_interactions(connection, batch, answers)
                new, kept = await _insert_feedback(connection, batch, judgements)
                await add_notices(connection, self._announcer.of_rows(new))
        return batch.results(inserted | {mark(row) for row in new}, kept)

    async def put_dead_letter(self, original: bytes, reason: str, received_at: int) -> None:
        """Keep what was refused."""
        async with self._pool.writing() as connection:
            await put_letter(connection, original, reason, received_at, self._announcer)

    async def dead_letters(self, limit: int, after: int = 0) -> list[DeadLetter]:
        """Return dead letters with an id over `after`, by id."""
        return letters_of(await self._pool.select(SELECT_LETTERS, (after, limit)))

    async def drop_dead_letters(self, ids: Sequence[int]) -> int:
        """Remove dead letters."""
        async with self._pool.writing() as connection:
            return await drop_letters(connection, ids)

    async def interaction(self, response_id: str, tenant: str = "") -> InteractionRow | None:
        """Return one interaction."""
        columns = ", ".join(INTERACTION_COLUMNS)
        statement = f"SELECT {columns} FROM interactions WHERE response_id = $1 AND tenant = $2"  # noqa: S608
        found = await self._pool.select(statement, (response_id, tenant))
        return interaction_row(found[0]) if found else None

    async def asked(self, user_id: str, tenant: str = "", *, since: int) -> list[str]:
        """Return the ids of what one person asked since a time."""
        found = await self._pool.select(
            "SELECT response_id FROM interactions"
            " WHERE user_id = $1 AND tenant = $2 AND started_at >= $3",
            (user_id, tenant, since),
        )
        return [str(one[0]) for one in found]

    async def feedback_of(self, response_id: str, tenant: str = "") -> list[FeedbackRow]:
        """Return the judgements of one answer, oldest first."""
        found = await self._pool.select(
            f"SELECT {FEEDBACK_SELECT} FROM feedback WHERE response_id = $1 AND tenant = $2"  # noqa: S608
            " ORDER BY received_at, event_id",
            (response_id, tenant),
        )
        return [feedback_row(one) for one in found]

    async def tally(self, by: Sequence[GroupBy], where: Filter) -> list[Tally]:
        """Count judgements by groups."""
        async with self._pool.reading() as connection:
            return merge(by, await count(connection, Counting(by, where, "$")))

    async def sum_up(self, today: int) -> int:
        """Sum up the spans of days that are over, unless another node is at it."""
        async with self._pool.reading() as connection:
            return await sum_up(connection, today)

    async def judged(self, where: Filter, after: str = "") -> AsyncIterator[Judged]:
        """Stream judgements, a page at a time."""
        while True:
            query = judged_query(where, after, PAGE_ROWS, "$", JUDGED_SELECT)
            page = await self._pool.select(query.text, query.args)
            for one in page:
                feedback, interaction = judged_row(tuple(one))
                yield Judged(feedback, interaction)
            if len(page) < PAGE_ROWS:
                return
            after = feedback.event_id

    async def erase_user(self, user_id: str, tenant: str = "", *, now: int) -> dict[str, int]:
        """Remove one person's judgements, interactions and dead letters in one transaction."""
        async with self._pool.writing() as connection:
            return await erase(connection, user_id, tenant, now)

    async def months(self) -> list[str]:
        """Return the months that hold judgements."""
        async with self._pool.reading() as connection:
            return await months_stored(connection)

    async def archive_month(self, month: str, archive: Archive) -> int:
        """Write out a month, then drop its partition, all in one transaction."""
        async with self._pool.writing() as connection:
            count = await archive_month(connection, Month.read(month), archive)
        self._partitions.forget(Month.read(month))
        return count

    async def expire_interactions(self, before: int) -> int:
        """Remove old interactions in small commits."""
        removed = 0
        while some := await self._expire_some(before):
            removed += some
        return removed

    async def _expire_some(self, before: int) -> int:
        async with self._pool.writing() as connection:
            return count_of(await connection.execute(EXPIRE_INTERACTIONS, before))

    async def forget_erasures(self, before: int) -> None:
        """Forget old erasures."""
        async with self._pool.writing() as connection:
            await forget_erasures(connection, before)

    async def backlog(self) -> Backlog:
        """Count what waits for somebody to act."""
        [(letters, waiting, dead)] = await self._pool.select(BACKLOG)
        return Backlog(letters, waiting, dead)

    async def check(self) -> None:
        """Return when a read works."""
        await self._pool.select("SELECT 1 FROM feedback LIMIT 1")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


async def _insert_feedback(
    connection: asyncpg.Connection, batch: Batch, judgements: Sequence[Values]
) -> tuple[list[FeedbackRow], dict[Key, str]]:
    """Insert judgements and add the new ones to the roll-ups; return these, and the payload hashes
    of those that were there."""
    if not judgements:
        return [], {}
    found = await connection.fetch(_INSERT_FEEDBACK, *zip(*judgements, strict=True))
    keys = {(str(event_id), tenant) for event_id, tenant, _ in found}
    new = [row for key, row in batch.feedback.items() if key in keys]
    if any(somebody_was_erased for *_, somebody_was_erased in found):
        new = await drop_erased(connection, "feedback", new)
    old = [key for key in batch.feedback if key not in keys]
    kept = {}
    if old:
        ids, tenants = zip(*old, strict=True)
        hashes = await connection.fetch(_PAYLOAD_HASHES, ids, tenants)
        kept = {(str(event_id), tenant): sha256 for event_id, tenant, sha256 in hashes}
    if new:
        added = roll_ups(new, await withdraw(connection, new))
        days = zip(*days_changed(added), strict=True)
        await connection.execute(_ADD_ROLL_UPS, *zip(*added, strict=True), *days)
    return new, kept


async def _insert_interactions(
    connection: asyncpg.Connection, batch: Batch, answers: Sequence[Values]
) -> set[tuple[bool, str, str]]:
    """Insert interactions; return the keys of those that were new."""
    if not answers:
        return set()
    found = await connection.fetch(_INSERT_INTERACTIONS, *zip(*answers, strict=True))
    new = [batch.interactions[response_id, tenant] for response_id, tenant, _ in found]
    if any(somebody_was_erased for *_, somebody_was_erased in found):
        new = await drop_erased(connection, "interactions", new)
    return {mark(row) for row in new}
