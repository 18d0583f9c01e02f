"""Judgements to write, a store and a journal that fail as told, and a wait with an end."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable

from server.storage.journal import JournalError, MemoryJournal
from server.storage.memory_store import MemoryStore
from server.storage.records import FeedbackRow, InteractionRow
from server.storage.store import RowRefusedError, StoreUnavailableError

_numbers = itertools.count(1)


def uuid7(ms: int | None = None) -> str:
    """A UUIDv7 of this moment, or of `ms`."""
    stamp = int(time.time() * 1000) if ms is None else ms
    random_bits = uuid.uuid4().int & ((1 << 62) - 1)
    low = 0x7 << 76 | (next(_numbers) & 0xFFF) << 64 | 0b10 << 62 | random_bits
    return str(uuid.UUID(int=stamp << 80 | low))


def feedback(**changes) -> FeedbackRow:
    """A judgement with all that a client may send."""
    number = next(_numbers)
    given = {
        "event_id": uuid7(),
        "response_id": f"resp-{number}",
        "action": "accept",
        "received_at": int(time.time() * 1000),
        "payload_sha256": f"{number:064x}",
        "tags": ("factual_error", "tone_inappropriate"),
        "comment": f"Nº {number}: “page 12”, it's \t right 👍\r\n",
        "occurred_at": "2026-11-21T10:00:00.123+01:00",
        "metadata": {"tenant": "somebody-else", "clé": "été"},
        "tenant": "acme",
        "confidence": 0.75,
    }
    return FeedbackRow(**(given | changes))


def interaction(**changes) -> InteractionRow:
    """A question with its answer."""
    given = {
        "response_id": f"resp-{next(_numbers)}",
        "started_at": int(time.time() * 1000),
        "outcome": "completed",
        "question": "How do I descale it?",
        "answer": "Press both keys.",
        "items": b"[]",
        "finish_reason": "stop",
        "language": "en",
        "latency_ms": 12.5,
        "tenant": "acme",
    }
    return InteractionRow(**(given | changes))


class FaultyStore(MemoryStore):
    """The twin behind faults.

    `fault` is called with the rows before each write and may raise or return a delay in seconds;
    `afterwards` after the commit and before the reply. `writes` has the size of each batch.
    """

    def __init__(self) -> None:
        super().__init__(_is_open=True)
        self.fault: Callable[[list], float | None] = lambda rows: None
        self.afterwards: Callable[[list], None] = lambda rows: None
        self.writes: list[int] = []
        self.down: str | None = None
        self.hanging = False

    async def write(self, rows):
        self.writes.append(len(rows))
        if self.down is not None:
            raise StoreUnavailableError("it is away", code=self.down)
        if self.hanging:
            await until(lambda: not self.hanging, bound_s=60)
        delay_s = self.fault(rows)
        await asyncio.sleep(delay_s or 0)
        results = await super().write(rows)
        self.afterwards(rows)
        return results


class FaultyJournal(MemoryJournal):
    """The twin that may hang."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.hanging_s = 0.0

    async def append(self, entries):
        if self.hanging_s:
            await asyncio.sleep(self.hanging_s)
            raise JournalError("no reply")
        await super().append(entries)


def unavailable(code: str = "08006", *, permanent: bool = False):
    """A fault that says that the store is away."""

    def fault(rows):
        raise StoreUnavailableError("it is away", code=code, permanent=permanent)

    return fault


def poison(*event_ids: str):
    """A fault that refuses batches with these ids."""

    def fault(rows):
        for row in rows:
            if getattr(row, "event_id", None) in event_ids:
                raise RowRefusedError("a field is out of range")

    return fault


async def until(check, bound_s: float = 10.0):
    """Wait for a true value of `check`, which may be a coroutine function."""
    deadline = time.monotonic() + bound_s
    while True:
        found = check()
        if asyncio.iscoroutine(found):
            async with asyncio.timeout(bound_s):
                found = await found
        if found:
            return found
        assert time.monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.005)
