"""The one writer of a process: judgements and interactions into the store, acknowledged after.

One commit is in flight at a time; the next batch is whatever gathered meanwhile, so that there is
no timer and a batch grows only when the store is slow. A judgement is acknowledged when the store
has committed it, or, when the store does not confirm in time, when the journal has it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from protocol.errors import EventError
from server.feedback import outcomes
from server.feedback.outcomes import Ack, Level, WriterEvent
from server.feedback.parts import retry_pause_s, write_parts
from server.feedback.waiting import Waiting, WaitingRows, wait_for
from server.storage.cancelling import cancelled
from server.storage.journal import Journal, JournalError
from server.storage.records import AnyRow, FeedbackRow, InteractionRow, Written
from server.storage.store import Store, StoreUnavailableError

log = structlog.get_logger()

MAX_ROWS = 1000
MAX_BATCH_BYTES = 2**20
"""Of one commit: what PostgreSQL takes in some 10 ms."""

MAX_QUEUE_BYTES = 8 * 2**20
"""Encoded rows that may wait, judgements and interactions each; beyond it, refused."""

COMMIT_TIMEOUT_S = 0.25
"""How long the store may take before the journal is asked instead."""

DEADLINE_S = 0.8
"""How long a sender waits while the store does not work, before it is told to send again."""

HANG_S = 5.0
"""How long one commit may take before it is given up and tried again on another connection."""

TICK_S = 0.025
"""How often waiting rows are looked at while there are any."""

FATAL_CODES = ("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")
"""After these nothing in the file can be trusted: no commit is tried again by this process."""


class Writer:
    """Takes rows, tells their fate.

    `clock` is a monotonic clock in seconds, `wall_clock` gives Unix seconds, `dice` a number in
    0..1. `on_event` counts, `on_conflict` gets each judgement that came under an id in use,
    `on_fatal` the reason when the writer has stopped for good and the process should end.
    """

    def __init__(
        self,
        store: Store,
        *,
        journal: Journal | None = None,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BATCH_BYTES,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
        commit_timeout_s: float = COMMIT_TIMEOUT_S,
        deadline_s: float = DEADLINE_S,
        hang_s: float = HANG_S,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        dice: Callable[[], float] = random.random,
        on_event: Callable[[WriterEvent], None] = lambda event: None,
        on_conflict: Callable[[FeedbackRow], None] = lambda row: None,
        on_fatal: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._store = store
        self._journal = journal
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._commit_timeout_s = commit_timeout_s
        self._deadline_s = deadline_s
        self._hang_s = hang_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._dice = dice
        self._on_event = on_event
        self._on_conflict = on_conflict
        self._on_fatal = on_fatal
        self._rows = WaitingRows(max_queue_bytes)
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._failures = 0
        self._pausing = False
        self._attempt_at: float | None = None
        self._spilling: asyncio.Task[None] | None = None
        self._spill_again_at = 0.0
        self.fatal: str | None = None

    @property
    def waiting(self) -> int:
        """Rows without outcome."""
        return self._rows.rows

    @property
    def working(self) -> bool:
        """Whether the last attempt to commit succeeded."""
        return self.fatal is None and self._failures == 0

    def start(self) -> None:
        """Start writing; call it in the running event loop."""
        self._tasks = [
            self._supervised(self._write(), "feedback-writer"),
            self._supervised(self._watch(), "feedback-watch"),
        ]

    async def submit(self, row: FeedbackRow, *, min_level: Level = "logged") -> Ack:
        """Make a judgement durable and say how.

        `min_level` `committed` never takes the journal for an answer. Raises `EventError`:
        `conflict`; `invalid_event` when the store refuses the row; `store_unavailable` with
        `retry_after_ms` when it could not be made durable (it may be stored all the same: send it
        again under the same id); `draining`.
        """
        if self._closing:
            raise outcomes.draining(row)
        future: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        if not self._admit(wait_for(row, future, min_level, self._clock())):
            self._on_event("full")
            raise self._unavailable(row)
        return await future

    def log(self, row: InteractionRow) -> None:
        """Queue an interaction: never waits, never fails.

        It becomes durable as judgements do. Should its share of memory be used up while store and
        journal are both away, it is lost and counted.
        """
        try:
            admitted = self._admit(wait_for(row, None, "logged", self._clock()))
        except EventError:
            admitted = False
        if not admitted:
            self._on_event("interaction_lost")

    async def aclose(self, drain_s: float = 5.0) -> None:
        """Take no more, write what waits, and end.

        What cannot be written in `drain_s` goes to the journal; what cannot go there either is
        refused to its sender.
        """
        self._closing = True
        self._rows.wake()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=drain_s)
        running = [*self._tasks, *([self._spilling] if self._spilling else [])]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._tasks = []
        await self._spill([one for one in self._rows.unsettled() if one.min_level == "logged"])
        self._give_up()

    def _admit(self, waiting: Waiting) -> bool:
        return self.fatal is None and self._rows.put(waiting)

    async def _write(self) -> None:
        while not cancelled() and not (self._closing and not self._rows.rows):
            await self._rows.until(lambda: self._closing)
            self._rows.take(self._max_rows, self._max_bytes)
            while not cancelled() and (batch := self._rows.flying()):
                await self._attempt(batch)

    async def _attempt(self, batch: list[Waiting]) -> None:
        """Try once; afterwards what was committed or refused is settled, and the rest waits."""
        self._attempt_at = self._clock()
        try:
            async with asyncio.timeout(self._hang_s):
                await write_parts(
                    self._store,
                    batch,
                    received_at=int(self._wall_clock() * 1000),
                    on_written=self._written,
                    on_refused=self._refused,
                )
        except StoreUnavailableError as error:
            self._note_failure(error)
        except TimeoutError:
            self._note_failure(StoreUnavailableError("no commit in time", code="timeout"))
        else:
            if self._failures:
                log.info("store_works_again", attempts=self._failures)
            self._failures = 0
            return
        finally:
            self._attempt_at = None
        await self._pause()

    def _written(self, waiting: Waiting, written: Written) -> None:
        row, clashes = waiting.row, written == "conflict"
        outcome = outcomes.conflict(row) if clashes else outcomes.COMMITTED[written]
        if not self._rows.settle(waiting, outcome):
            return
        self._on_event("committed" if written == "inserted" else written)
        if clashes and isinstance(row, FeedbackRow):
            log.warning("feedback_conflict", event_id=row.event_id, sha256=row.payload_sha256)
            self._on_conflict(row)

    def _refused(self, waiting: Waiting, reason: str) -> None:
        self._rows.settle(waiting, outcomes.refused(waiting.row))
        self._on_event("refused")
        log.warning("row_refused", event_id=outcomes.event_id_of(waiting.row), reason=reason)

    def _note_failure(self, error: StoreUnavailableError) -> None:
        self._failures += 1
        self._on_event("permanent" if error.permanent else "retry")
        if self._failures == 1:
            log.warning("store_unavailable", code=error.code, permanent=error.permanent)
        if error.code.startswith(FATAL_CODES):
            self._die(f"{error.code}: {error}")

    async def _pause(self) -> None:
        self._pausing = True
        try:
            await asyncio.sleep(retry_pause_s(self._failures, self._dice()))
        finally:
            self._pausing = False

    async def _watch(self) -> None:
        while True:
            await self._rows.until(lambda: False)
            await asyncio.sleep(TICK_S)
            self._tend(self._clock())

    def _tend(self, now: float) -> None:
        running_s = 0.0 if self._attempt_at is None else now - self._attempt_at
        stalled = running_s >= self._commit_timeout_s or (self._pausing and self._failures > 1)
        failing = self._failures > 0 or running_s >= self._deadline_s
        if not (stalled or failing) and now - self._rows.oldest_at() < self._commit_timeout_s:
            return  # nobody waits for long: the rows need not be looked at one by one
        due: list[Waiting] = []
        for waiting in self._rows.unsettled():
            age = now - waiting.queued_at
            if failing and age >= self._deadline_s and waiting.awaited:
                self._nack(waiting)
            elif waiting.min_level == "logged" and (stalled or age >= self._commit_timeout_s):
                due.append(waiting)
        if due and self._journal and self._spilling is None and now >= self._spill_again_at:
            self._spilling = self._supervised(self._spill(due[: self._max_rows]), "feedback-spill")

    async def _spill(self, batch: list[Waiting]) -> None:
        try:
            if self._journal is None or not batch:
                return
            await self._journal.append([one.data for one in batch])
            for waiting in batch:
                if self._rows.settle(waiting, Ack("logged", duplicate=False)):
                    self._on_event("logged")
            self._spill_again_at = 0.0
        except JournalError as error:
            self._on_event("journal_failed")
            if not self._spill_again_at:
                log.warning("journal_failed", reason=str(error))
            self._spill_again_at = self._clock() + self._commit_timeout_s
        finally:
            self._spilling = None

    def _nack(self, waiting: Waiting) -> None:
        self._rows.settle(waiting, self._unavailable(waiting.row))
        self._on_event("nacked")

    def _unavailable(self, row: AnyRow) -> EventError:
        return outcomes.unavailable(row, retry_after_ms=int(500 * (1 + self._dice())))

    def _give_up(self) -> None:
        for waiting in self._rows.unsettled():
            if waiting.awaited:
                self._nack(waiting)
            else:
                self._rows.settle(waiting, Ack("logged", duplicate=False))
                self._on_event("interaction_lost")

    def _die(self, reason: str) -> None:
        log.error("writer_stopped", reason=reason)
        self.fatal = reason
        self._give_up()
        self._on_fatal(reason)

    def _supervised(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._die(f"{task.get_name()} ended: {error!r}")
