"""The durable journal: where feedback waits while the store of record is away.

Entries leave it only by acknowledgement after they were stored; it is never trimmed. It is bounded
by count, and refuses beyond.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

MAX_ENTRIES = 120_000
"""A minute at 2,000 events a second: about 100 MB of a Redis that also holds the answer logs."""


class JournalError(Exception):
    """The journal did not take the entries for certain; the message says why."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry as it is delivered to a drainer; `id` grows in order of arrival."""

    id: str
    data: bytes


class Journal(Protocol):
    """What the writer appends to and the drainers empty. All methods may raise `JournalError`."""

    async def unfit(self) -> str | None:
        """Return why nothing may be acknowledged into it now, or None."""
        ...

    async def append(self, entries: Sequence[bytes]) -> None:
        """Make all entries durable, or raise; after an error some may be there all the same."""
        ...

    async def own(self, consumer: str, limit: int) -> list[JournalEntry]:
        """Return entries delivered to `consumer` before and not acknowledged."""
        ...

    async def claim(self, consumer: str, limit: int, *, idle_ms: int) -> list[JournalEntry]:
        """Take over entries that another consumer got `idle_ms` ago and did not acknowledge."""
        ...

    async def fresh(self, consumer: str, limit: int) -> list[JournalEntry]:
        """Return entries that nobody got before, oldest first."""
        ...

    async def done(self, ids: Sequence[str]) -> None:
        """Acknowledge and delete entries that were stored; ids already gone do no harm."""
        ...

    async def size(self) -> int:
        """Return how many entries there are."""
        ...

    async def oldest_ms(self) -> int | None:
        """Return when the oldest entry came in, if there is one: Unix ms by its own clock."""
        ...


@dataclass
class _Pending:
    entry: JournalEntry
    arrived_ms: int
    consumer: str | None = None
    since: float = field(default=0.0)


class MemoryJournal:
    """The twin for tests: no longer-lived than the process, so never to be acknowledged into.

    `clock` is a monotonic clock and `wall_clock` Unix time, in seconds. `failing` makes every call
    fail.
    """

    def __init__(
        self,
        *,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._wall_clock = wall_clock
        self._ids = itertools.count(1)
        self._entries: dict[str, _Pending] = {}
        self.failing: str | None = None

    async def unfit(self) -> str | None:
        """Return `failing`."""
        return self.failing

    async def append(self, entries: Sequence[bytes]) -> None:
        """Keep the entries."""
        self._raise()
        if len(self._entries) + len(entries) > self._max_entries:
            raise JournalError("the journal is full")
        for data in entries:
            entry = JournalEntry(f"{next(self._ids):020}-0", data)
            self._entries[entry.id] = _Pending(entry, int(self._wall_clock() * 1000))

    async def own(self, consumer: str, limit: int) -> list[JournalEntry]:
        """Return what `consumer` holds."""
        return self._take(consumer, limit, lambda held: held.consumer == consumer)

    async def claim(self, consumer: str, limit: int, *, idle_ms: int) -> list[JournalEntry]:
        """Take over what was idle."""
        before = self._clock() - idle_ms / 1000
        return self._take(
            consumer, limit, lambda held: held.consumer is not None and held.since <= before
        )

    async def fresh(self, consumer: str, limit: int) -> list[JournalEntry]:
        """Return what nobody holds."""
        return self._take(consumer, limit, lambda held: held.consumer is None)

    async def done(self, ids: Sequence[str]) -> None:
        """Forget the entries."""
        self._raise()
        for one in ids:
            self._entries.pop(one, None)

    async def size(self) -> int:
        """Return how many there are."""
        self._raise()
        return len(self._entries)

    async def oldest_ms(self) -> int | None:
        """Return when the oldest came in."""
        self._raise()
        return min((held.arrived_ms for held in self._entries.values()), default=None)

    def _take(
        self, consumer: str, limit: int, wanted: Callable[[_Pending], bool]
    ) -> list[JournalEntry]:
        self._raise()
        taken = list(itertools.islice(filter(wanted, self._entries.values()), limit))
        for held in taken:
            held.consumer, held.since = consumer, self._clock()
        return [held.entry for held in taken]

    def _raise(self) -> None:
        if self.failing is not None:
            raise JournalError(self.failing)
