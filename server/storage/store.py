"""The port of the store of record: what SQLite and PostgreSQL both do, under one suite of tests.

Errors say whose turn it is: `StoreUnavailableError` (try again, nothing was decided or it does not
matter: rows are idempotent) and `RowRefusedError` (this batch holds a row that can never be
stored: cut it in two and try the halves).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from server.storage.chores import Chores
from server.storage.outbox import Backlog, Outbox
from server.storage.records import AnyRow, DeadLetter, FeedbackRow, InteractionRow, Written


class StoreUnavailableError(Exception):
    """The store did not take the batch: away, slow, locked, full or read-only. Retry later.

    `code` is the SQLSTATE or SQLite's name for it, `permanent` true for what time alone does not
    mend (disk full, read-only).
    """

    def __init__(self, message: str, *, code: str = "", permanent: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.permanent = permanent


class RowRefusedError(Exception):
    """A row of the batch can never be stored; nothing of the batch was."""


PAGE_ROWS = 200
"""Judgements that `judged` reads at a time: the memory that a stream needs, whatever its length."""


GroupBy = Literal[
    "day", "week", "action", "item_type", "product_id", "scenario", "prompt_version", "model",
    "arm", "confidence_bin", "user_id",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """What to count or export; None takes all. Times are Unix milliseconds, `until` exclusive.

    Times are those of arrival (`received_at`). `min_confidence` is exact where judgements are
    streamed; where they are counted it is lowered to the floor of its bin: 0.75 counts from 0.7.
    """

    tenant: str = ""
    since: int | None = None
    until: int | None = None
    product_id: str | None = None
    scenario: str | None = None
    prompt_version: str | None = None
    model: str | None = None
    arm: str | None = None
    item_type: str | None = None
    user_id: str | None = None
    min_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one group: weighted sums of actions, the number of rates and their sum."""

    key: tuple[str, ...]
    accepted: float = 0
    rejected: float = 0
    modified: float = 0
    dismissed: float = 0
    rated: int = 0
    score_sum: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement with the interaction it is about (None when that was never stored)."""

    feedback: FeedbackRow
    interaction: InteractionRow | None


class Archive(Protocol):
    """Where an old month goes before it is removed."""

    async def write(self, chunk: bytes) -> None:
        """Take whole lines of JSON, one row each as `encode_row` makes it."""
        ...

    async def seal(self) -> None:
        """Return when all that was written is durable; what the store removes comes after."""
        ...


class Store(Protocol):
    """The store of record. All methods may raise `StoreUnavailableError`.

    What its announcer says of new rows and dead letters goes to the outbox in their transaction.
    """

    @property
    def outbox(self) -> Outbox:
        """What waits to be told to others; open and closed with the store."""
        ...

    @property
    def chores(self) -> Chores:
        """Who does what only one node should; open and closed with the store."""
        ...

    async def open(self) -> None:
        """Connect, apply migrations under a lock, make partitions ahead."""
        ...

    async def write(self, rows: Sequence[AnyRow]) -> list[Written]:
        """Store all rows in one durable transaction, roll-ups with them; one result per row.

        Of the decisions of one person on the same answer or item the last one received counts; the
        others get the weight 0, which takes them out of the roll-ups too.

        A row about a person who was erased after it was received is not stored; it counts as a
        duplicate of one that is gone.

        Raises `RowRefusedError` when one row can never be stored.
        """
        ...

    async def put_dead_letter(self, original: bytes, reason: str, received_at: int) -> None:
        """Keep what was refused, byte for byte, unless it is about a person erased meanwhile."""
        ...

    async def dead_letters(self, limit: int, after: int = 0) -> list[DeadLetter]:
        """Return dead letters by id, oldest first."""
        ...

    async def drop_dead_letters(self, ids: Sequence[int]) -> int:
        """Remove dead letters; return how many there were."""
        ...

    async def interaction(self, response_id: str, tenant: str = "") -> InteractionRow | None:
        """Return one interaction."""
        ...

    async def asked(self, user_id: str, tenant: str = "", *, since: int) -> list[str]:
        """Return the ids of what one person asked since a time (Unix ms)."""
        ...

    async def feedback_of(self, response_id: str, tenant: str = "") -> list[FeedbackRow]:
        """Return the judgements of one answer, oldest first."""
        ...

    async def tally(self, by: Sequence[GroupBy], where: Filter) -> list[Tally]:
        """Count judgements by groups, from the roll-ups wherever they can tell."""
        ...

    async def sum_up(self, today: int) -> int:
        """Make later counts quick: sum up what is over of the days before `today` (since 1970).

        Call it now and then; counts are the same with and without. Returns how many spans of days
        were summed up, 0 when all are or when another node is at it.
        """
        ...

    def judged(self, where: Filter, after: str = "") -> AsyncIterator[Judged]:
        """Stream judgements with their interactions in event id order, after an event id."""
        ...

    async def erase_user(self, user_id: str, tenant: str = "", *, now: int) -> dict[str, int]:
        """Remove one person's data; return how many rows of each table went.

        A hash of the person is kept with the time `now` (Unix ms), for rows that come late.
        """
        ...

    async def months(self) -> list[str]:
        """Return the months (`2026-11`, UTC) that hold judgements, oldest first.

        The time in a UUIDv7 decides; any other id belongs to the month in which it arrived.
        """
        ...

    async def archive_month(self, month: str, archive: Archive) -> int:
        """Write all judgements of a month to `archive`, seal it, then remove them; return how many.

        Roll-ups stay. When anything fails, nothing was removed (the archive is then of no use):
        call it again. Raises `ValueError` for what is no month.
        """
        ...

    async def expire_interactions(self, before: int) -> int:
        """Remove interactions that began before a time (Unix ms); return how many."""
        ...

    async def forget_erasures(self, before: int) -> None:
        """Remove what is remembered of erasures before a time (Unix ms)."""
        ...

    async def backlog(self) -> Backlog:
        """Count what waits for somebody to act."""
        ...

    async def check(self) -> None:
        """Return when a read works."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
