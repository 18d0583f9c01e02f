"""Rows that wait for the writer: bounded in bytes, each with exactly one outcome."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from protocol.errors import EventError
from server.feedback.outcomes import Ack, Level
from server.storage.records import AnyRow, FeedbackRow, encode_row
from server.telemetry.tracing import Span, current


@dataclass(slots=True, eq=False)
class Waiting:
    """One row, the bytes of it, who waits for it (nobody, for an interaction) and since when."""

    row: AnyRow
    data: bytes
    future: asyncio.Future[Ack] | None
    min_level: Level
    queued_at: float
    settled: bool = False
    span: Span = field(default_factory=lambda: current().child("write", {}))

    @property
    def awaited(self) -> bool:
        """Whether a sender waits for the outcome."""
        return self.future is not None


def wait_for(
    row: AnyRow, future: asyncio.Future[Ack] | None, min_level: Level, now: float
) -> Waiting:
    """Return the row as one that waits; raises `EventError` when it cannot even be encoded."""
    try:
        data = encode_row(row)
    except UnicodeEncodeError:
        event_id = row.event_id if isinstance(row, FeedbackRow) else None
        message = "A text holds a lone surrogate; remove it"
        raise EventError("invalid_event", message, event_id=event_id) from None
    return Waiting(row, data, future, min_level, now)


class WaitingRows:
    """Rows in order of arrival: those of the commit in flight first, then the queue.

    Judgements and interactions may each hold `max_bytes` of encoded rows, so that neither starves
    the other.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._flying: list[Waiting] = []
        self._queue: deque[Waiting] = deque()
        self._bytes = {True: 0, False: 0}
        self._arrival = asyncio.Event()
        self.rows = 0

    @property
    def bytes(self) -> int:
        """Encoded bytes of all rows that have no outcome."""
        return self._bytes[True] + self._bytes[False]

    def put(self, waiting: Waiting) -> bool:
        """Queue a row; False when its share of memory is used up."""
        if self._bytes[waiting.awaited] + len(waiting.data) > self._max_bytes:
            return False
        self._queue.append(waiting)
        self._bytes[waiting.awaited] += len(waiting.data)
        self.rows += 1
        self._arrival.set()
        return True

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait for a row without outcome, or for `ready` after a `wake`."""
        while not self.rows and not ready():
            self._arrival.clear()
            await self._arrival.wait()

    def wake(self) -> None:
        """Make `until` look again."""
        self._arrival.set()

    def take(self, max_rows: int, max_bytes: int) -> list[Waiting]:
        """Let the next batch fly: at least one row if there is any, else what the bounds allow."""
        taken: list[Waiting] = []
        size = 0
        while self._queue and len(taken) < max_rows:
            if self._queue[0].settled:
                self._queue.popleft()
                continue
            size += len(self._queue[0].data)
            if taken and size > max_bytes:
                break
            taken.append(self._queue.popleft())
        self._flying = taken
        return taken

    def flying(self) -> list[Waiting]:
        """Return the rows in flight that have no outcome yet."""
        self._flying = [one for one in self._flying if not one.settled]
        return self._flying

    def unsettled(self) -> list[Waiting]:
        """Return all rows without outcome, oldest first, and let go of the others."""
        if len(self._queue) + len(self._flying) > self.rows:
            self._queue = deque(one for one in self._queue if not one.settled)
        return [*(one for one in self._flying if not one.settled), *self._queue]

    def oldest_at(self) -> float:
        """Return since when the row waits that waits longest; all older ones have an outcome."""
        for waiting in (*self._flying[:1], *islice(self._queue, 1)):
            return waiting.queued_at
        return math.inf

    def settle(self, waiting: Waiting, outcome: Ack | EventError) -> bool:
        """Give a row its outcome; False when it had one."""
        if waiting.settled:
            return False
        waiting.settled = True
        if not isinstance(outcome, Ack):
            waiting.span.fail(outcome.code)
        waiting.span.end()
        self.rows -= 1
        self._bytes[waiting.awaited] -= len(waiting.data)
        future = waiting.future
        if future is not None and not future.done():  # done: its sender went away
            if isinstance(outcome, Ack):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)
        return True
