"""The port of the outbox: notices for outside endpoints, kept with the rows that they tell of.

A notice is written in the transaction of its row, is lent to one node at a time, and leaves when
it was delivered. A node that dies keeps its notices until the loan ends; then another delivers
them, perhaps a second time, under the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from server.storage.records import DeadLetter, FeedbackRow

State = Literal["waiting", "dead"]

MAX_ERROR_CHARS = 200
"""Of why a delivery failed: words of ours and a status, never what the other side said."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What an endpoint is to be told. `message_id` is the same whenever and wherever it is made.

    `endpoint` is a name, `body` what is sent byte for byte, `created_at` Unix ms. `user_id` is of
    the person it is about, so that erasing that person takes it along; it is never sent.
    """

    message_id: str
    endpoint: str
    event: str
    tenant: str
    body: bytes
    created_at: int
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice in the outbox. `number` is the store's, `next_at` (Unix ms) when it is due.

    While it is lent, `next_at` is when the loan ends. `attempts` counts loans; `error` says why the
    last one failed.
    """

    number: int
    message_id: str
    endpoint: str
    event: str
    tenant: str
    body: bytes
    created_at: int
    attempts: int
    next_at: int
    state: State
    error: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits for somebody to act."""

    dead_letters: int = 0
    waiting: int = 0
    dead: int = 0


BACKLOG = """
SELECT (SELECT COUNT(*) FROM dead_letters),
    (SELECT COUNT(*) FROM notices WHERE state = 'waiting'),
    (SELECT COUNT(*) FROM notices WHERE state = 'dead')
"""
"""What `Backlog` holds, for both databases."""


class Announcer(Protocol):
    """Says what is to be told of new rows. Pure: the store asks it within a transaction."""

    def of_rows(self, rows: Sequence[FeedbackRow]) -> list[Notice]:
        """Return the notices of judgements that were new."""
        ...

    def of_letter(self, letter: DeadLetter) -> list[Notice]:
        """Return the notices of a new dead letter."""
        ...


class Silent:
    """Tells nobody anything."""

    def of_rows(self, rows: Sequence[FeedbackRow]) -> list[Notice]:
        """Return nothing."""
        return []

    def of_letter(self, letter: DeadLetter) -> list[Notice]:
        """Return nothing."""
        return []


SILENT: Announcer = Silent()


class Outbox(Protocol):
    """What waits to be delivered. All methods may raise `StoreUnavailableError`; times are Unix ms.

    The order in which notices of one endpoint are lent is that of `next_at`, which is nearly that
    of their making; nothing is promised about it.
    """

    async def borrow(
        self, endpoint: str, *, limit: int, now: int, until: int, loan: str
    ) -> list[Delivery]:
        """Return notices of an endpoint that are due, lent under `loan` until `until`.

        Nobody else gets them before. Each counts one attempt more.
        """
        ...

    async def delivered(self, number: int, loan: str) -> bool:
        """Remove a notice; False when the loan had ended and another holds it."""
        ...

    async def failed(self, number: int, loan: str, *, next_at: int | None, error: str) -> bool:
        """Give a notice back, due at `next_at`, or dead when that is None; False as above."""
        ...

    async def deliveries(
        self, limit: int, after: int = 0, *, state: State | None = None, endpoint: str | None = None
    ) -> list[Delivery]:
        """Return notices with a number over `after`, by number."""
        ...

    async def revive(self, numbers: Sequence[int] | None, *, now: int) -> int:
        """Make dead notices due at once, as if never tried; None means all. Return how many."""
        ...

    async def forget(self, before: int) -> int:
        """Remove all notices made before a time, delivered or not; return how many."""
        ...
