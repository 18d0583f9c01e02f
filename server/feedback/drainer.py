"""From the journal to the store: what was acknowledged as `logged` while the store was away.

Any number of nodes may drain one journal at once: each entry is given to one of them, is taken
over when that one falls silent, and is deleted only after the store has committed it. What is
written twice all the same is one row, for ids are the key.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import structlog

from server.feedback.parts import retry_pause_s, write_parts
from server.feedback.supervised import SupervisedTask
from server.storage.cancelling import cancelled
from server.storage.journal import Journal, JournalEntry, JournalError
from server.storage.records import AnyRow, Written, decode_row
from server.storage.store import Store, StoreUnavailableError

log = structlog.get_logger()

BATCH_ROWS = 500
"""Entries moved at once: half a commit of the writer, whose senders wait."""

IDLE_MS = 5000
"""After this long without acknowledgement an entry's drainer counts as dead."""

POLL_S = 0.5
"""How often an empty journal is looked at."""

DrainerEvent = Literal[
    "drained",  # stored and deleted from the journal
    "drained_duplicate",  # was in the store already
    "drained_conflict",  # another judgement has the id: a dead letter now
    "drained_refused",  # the store refuses it: a dead letter now
    "drained_unreadable",  # no row: a dead letter now
    "drain_failed",  # store or journal was away; tried again
]

_EVENT_OF: dict[Written, DrainerEvent] = {
    "inserted": "drained",
    "duplicate": "drained_duplicate",
    "conflict": "drained_conflict",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A journal entry that could be read."""

    id: str
    data: bytes
    row: AnyRow


class Drainer:
    """Empties `journal` into `store` under the name `consumer`, unique among all processes.

    `wall_clock` gives Unix seconds, `dice` a number in 0..1. `on_fatal` is told when the loop
    ended by a fault of ours.
    """

    def __init__(
        self,
        store: Store,
        journal: Journal,
        *,
        consumer: str,
        batch_rows: int = BATCH_ROWS,
        idle_ms: int = IDLE_MS,
        poll_s: float = POLL_S,
        wall_clock: Callable[[], float] = time.time,
        dice: Callable[[], float] = random.random,
        on_event: Callable[[DrainerEvent], None] = lambda event: None,
        on_fatal: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._store = store
        self._journal = journal
        self._consumer = consumer
        self._batch_rows = batch_rows
        self._idle_ms = idle_ms
        self._poll_s = poll_s
        self._wall_clock = wall_clock
        self._dice = dice
        self._on_event = on_event
        self._task = SupervisedTask(f"feedback-drainer-{consumer}", self._drain, on_fatal)
        self._unfinished = False

    def start(self) -> None:
        """Start draining; call it in the running event loop."""
        self._task.start()

    async def aclose(self) -> None:
        """End at once; what was not acknowledged is drained by another, or after a restart."""
        await self._task.aclose()

    async def step(self) -> int:
        """Move one batch; return how many entries left the journal.

        Raises `StoreUnavailableError` and `JournalError`; what was moved until then is moved.
        """
        entries = await self._next()
        self._unfinished = bool(entries)
        if not entries:
            return 0
        done: list[str] = []
        conflicts: list[_Entry] = []

        def written(entry: _Entry, result: Written) -> None:
            self._on_event(_EVENT_OF[result])
            if result == "conflict":
                conflicts.append(entry)
            else:
                done.append(entry.id)

        def refused(entry: _Entry, reason: str) -> None:
            self._on_event("drained_refused")
            log.warning("journal_row_refused", entry=entry.id, reason=reason)
            done.append(entry.id)

        try:
            readable = await self._readable(entries, done)
            await write_parts(
                self._store,
                readable,
                received_at=self._now_ms(),
                on_written=written,
                on_refused=refused,
            )
            for entry in conflicts:
                await self._bury(entry.data, "conflict: the id is in use with other content")
                done.append(entry.id)
        finally:
            await self._journal.done(done)
        self._unfinished = False
        return len(done)

    async def _next(self) -> list[JournalEntry]:
        """Return what to move: our own leftovers, else what others left, else what is new."""
        limit = self._batch_rows
        if self._unfinished and (own := await self._journal.own(self._consumer, limit)):
            return own
        stale = await self._journal.claim(self._consumer, limit, idle_ms=self._idle_ms)
        return stale or await self._journal.fresh(self._consumer, limit)

    async def _readable(self, entries: Sequence[JournalEntry], done: list[str]) -> list[_Entry]:
        readable = []
        for entry in entries:
            try:
                readable.append(_Entry(entry.id, entry.data, decode_row(entry.data)))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._on_event("drained_unreadable")
                await self._bury(entry.data, f"unreadable: {error}")
                done.append(entry.id)
        return readable

    async def _bury(self, data: bytes, reason: str) -> None:
        await self._store.put_dead_letter(data, reason, self._now_ms())

    def _now_ms(self) -> int:
        return int(self._wall_clock() * 1000)

    async def _drain(self) -> None:
        failures = 0
        while not cancelled():
            try:
                moved = await self.step()
            except (StoreUnavailableError, JournalError) as error:
                failures += 1
                self._on_event("drain_failed")
                if failures == 1:
                    log.warning("drain_failed", reason=str(error))
                await asyncio.sleep(retry_pause_s(failures, self._dice()))
            else:
                failures = 0
                if not moved:
                    await asyncio.sleep(self._poll_s)
