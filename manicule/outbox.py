"""What has been judged and not been acknowledged: the port, and its twin in memory."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from manicule.errors import OutboxFullError

MAX_OUTBOX_BYTES: Final = 16 * 2**20
"""The most that waits, in bytes of UTF-8: some ten thousand judgements. Then new ones are refused
with `OutboxFullError`; old ones are never dropped."""


class Entry(NamedTuple):
    """One event that waits; `position` rises with the order in which they were added."""

    position: int
    event_id: str
    frame: str


class Outbox(Protocol):
    """Keeps events until they are acknowledged. All methods raise `OutboxError` when it cannot."""

    @property
    def count(self) -> int:
        """How many events wait, as of the last call."""
        ...

    async def open(self) -> None:
        """Make it ready."""
        ...

    async def add(self, event_id: str, frame: str) -> None:
        """Keep an event; when this returns it is durable. An id that is there stays as it is.

        Raises `OutboxFullError`.
        """
        ...

    async def remove(self, event_ids: Sequence[str]) -> None:
        """Forget these events; ids that are not there are passed over."""
        ...

    async def after(self, position: int, limit: int) -> list[Entry]:
        """Return up to `limit` events added after the one at `position` (0 for all), in order."""
        ...

    async def aclose(self) -> None:
        """Release what it holds open; what waits is kept where it can be."""
        ...


def refusal(max_bytes: int) -> OutboxFullError:
    """Return the error of an outbox that is full."""
    return OutboxFullError(
        f"{max_bytes} bytes of feedback wait for the server; connect, then judge again"
    )


class MemoryOutbox:
    """An outbox that ends with its process."""

    def __init__(self, max_bytes: int = MAX_OUTBOX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._last = 0
        self._entries: dict[str, Entry] = {}

    @property
    def count(self) -> int:
        """How many events wait."""
        return len(self._entries)

    async def open(self) -> None:
        """Do nothing: it is ready."""

    async def add(self, event_id: str, frame: str) -> None:
        """Keep an event as long as the process lives; raises `OutboxFullError`."""
        if event_id in self._entries:
            return
        size = len(frame.encode())
        if self._bytes + size > self._max_bytes:
            raise refusal(self._max_bytes)
        self._last += 1
        self._bytes += size
        self._entries[event_id] = Entry(self._last, event_id, frame)

    async def remove(self, event_ids: Sequence[str]) -> None:
        """Forget these events."""
        for event_id in event_ids:
            entry = self._entries.pop(event_id, None)
            if entry is not None:
                self._bytes -= len(entry.frame.encode())

    async def after(self, position: int, limit: int) -> list[Entry]:
        """Return up to `limit` events after `position`, in order."""
        entries = list(self._entries.values())
        start = bisect.bisect_right(entries, position, key=lambda entry: entry.position)
        return entries[start : start + limit]

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release."""
