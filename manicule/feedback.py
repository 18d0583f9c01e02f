"""Sending what the outbox holds: in order, again and again, until each event is answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from manicule.decoding import Object, read
from manicule.environment import Environment
from manicule.errors import ConnectionLostError, Error, OutboxError
from manicule.outbox import Entry, Outbox
from protocol.events import FeedbackAcknowledged
from protocol.rates import TokenBucket

WINDOW: Final = 256
"""Events under way at a time: enough for a group commit, well below what a server lets wait."""
PACE_PER_S: Final = 1000
"""Events a second after a first window: a full outbox is gone in a minute, and a server that
closes sockets for floods (2,000 frames a second, unless told otherwise) sees none."""
PACE_PAUSE_S: Final = 0.1
ACK_S: Final = 15.0
"""An event that found no answer in this time is sent again, on the same connection."""
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 30.0
"""Pauses after a retryable error double from the first to the longest."""

OnRefused = Callable[[str, Error], None]
SendFrame = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Queued:
    """The feedback is in the outbox and will be sent; `reason` says what it waits for, if known."""

    event_id: str
    reason: Error | None = None


Outcome = FeedbackAcknowledged | Error


class _Flight(NamedTuple):
    entry: Entry
    sent_at: float


class FeedbackSender:
    """Moves events from an outbox to a server.

    `submit` adds one, `run` sends on one connection, `settle` (which must run as long as the
    sender is used) removes what was answered. `on_refused` is told of an event that the server
    refused for good when nobody waits for it any more.
    """

    def __init__(
        self,
        outbox: Outbox,
        environment: Environment,
        *,
        ack_wait_s: float,
        on_refused: OnRefused,
    ) -> None:
        self._outbox = outbox
        self._environment = environment
        self._ack_wait_s = ack_wait_s
        self._on_refused = on_refused
        self._waiters: dict[str, asyncio.Future[Outcome | Queued]] = {}
        self._flights: dict[str, _Flight] = {}
        self._again: dict[str, Entry] = {}
        self._settled: dict[str, Outcome] = {}
        self._trouble: Error | None = ConnectionLostError("There is no connection yet.")
        self._is_connected = False
        self._is_held = False
        self._pause_until = 0.0
        self._pauses = 0
        self._pace = TokenBucket(PACE_PER_S * 60, burst=WINDOW)
        self._paced_until = 0.0
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._emptied = asyncio.Event()

    async def submit(self, event_id: str, frame: str) -> FeedbackAcknowledged | Queued:
        """Keep an event, then wait for its answer as long as one may be expected.

        Raises `Error` when the server refuses it for good, and `OutboxError` or `OutboxFullError`
        when it could not be kept.
        """
        waiter: asyncio.Future[Outcome | Queued] = asyncio.get_running_loop().create_future()
        self._waiters[event_id] = waiter
        try:
            await self._outbox.add(event_id, frame)
            self._emptied.clear()
            self._wake.set()
            if self._trouble is not None and not waiter.done():
                return Queued(event_id, self._trouble)
            async with asyncio.timeout(self._ack_wait_s):
                outcome = await waiter
        except TimeoutError:
            return Queued(event_id)
        finally:
            self._waiters.pop(event_id, None)
        if isinstance(outcome, Error):
            raise outcome
        return outcome

    def connected(self) -> None:
        """Note that there is a new connection; `run` is about to begin on it."""
        self._flights.clear()
        self._again.clear()
        self._is_connected = True
        self._is_held = False
        self._trouble = None
        self._pause_until = 0.0

    async def run(self, send: SendFrame) -> None:
        """Send on one connection until it is lost (returns) or another takes over (cancelled)."""
        cursor = 0
        while True:
            self._wake.clear()
            if self._has_leave():
                try:
                    for entry in self._take_due():
                        await self._offer(send, entry)
                    entries = await self._outbox.after(cursor, WINDOW - len(self._flights))
                    for entry in entries:
                        cursor = entry.position
                        await self._offer(send, entry)
                except ConnectionLostError:
                    return
                except OutboxError as error:
                    self._pause(error)
                    continue
                if entries:
                    continue
            await self._sleep()

    def disconnected(self, error: Error) -> None:
        """Note that there is no connection: who waits learns that it is queued."""
        self._is_connected = False
        self._hold_all(error)

    def _hold_all(self, error: Error) -> None:
        self._trouble = error
        for event_id in tuple(self._waiters):
            self._tell(event_id, Queued(event_id, error))

    def acknowledged(self, obj: Object) -> None:
        """Take a `feedback.acknowledged`; a second one for the same event changes nothing."""
        try:
            acknowledgement = read(obj, FeedbackAcknowledged)
        except Error:
            return  # it acknowledges nothing: the event is sent again
        self._pauses = 0
        self._answer(acknowledgement.event_id, acknowledgement)

    def refused(self, error: Error) -> None:
        """Take an error that names an event."""
        event_id = error.event_id or ""
        if error.code == "unauthorized":
            # About the connection, not the event: it waits for one with a valid token.
            self._is_held = True
            self._hold_all(error)
        elif not error.retryable:
            self._answer(event_id, error)
        elif flight := self._flights.pop(event_id, None):
            self._again[event_id] = flight.entry
            self._pause(error)
            self._tell(event_id, Queued(event_id, error))

    async def settle(self) -> None:
        """Remove answered events from the outbox, then tell who waits; for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._answered.wait()
            self._answered.clear()
            settled = dict(self._settled)
            with contextlib.suppress(OutboxError):  # what stays is sent again, and is a duplicate
                await self._outbox.remove(list(settled))
            for event_id, outcome in settled.items():
                del self._settled[event_id]
                if not self._tell(event_id, outcome) and isinstance(outcome, Error):
                    loop.call_soon(self._on_refused, event_id, outcome)
            if self._outbox.count == 0:
                self._emptied.set()

    async def until_empty(self) -> None:
        """Wait until nothing is in the outbox."""
        while self._outbox.count:
            self._emptied.clear()
            await self._emptied.wait()

    def _has_leave(self) -> bool:
        now = self._environment.clock()
        return not self._is_held and now >= max(self._pause_until, self._paced_until)

    def _take_due(self) -> list[Entry]:
        """Return what must be sent again now, in order."""
        late = self._environment.clock() - ACK_S
        for event_id, flight in tuple(self._flights.items()):
            if flight.sent_at <= late:
                self._again[event_id] = self._flights.pop(event_id).entry
        due = sorted(self._again.values())[: WINDOW - len(self._flights)]
        for entry in due:
            del self._again[entry.event_id]
        return due

    async def _offer(self, send: SendFrame, entry: Entry) -> None:
        if not self._has_leave():
            self._again[entry.event_id] = entry
        elif entry.event_id not in self._settled:
            await self._send(send, entry)

    async def _send(self, send: SendFrame, entry: Entry) -> None:
        now = self._environment.clock()
        self._flights[entry.event_id] = _Flight(entry, now)
        if self._pace.take(now):
            self._paced_until = now + PACE_PAUSE_S
        try:
            await send(entry.frame)
        except ConnectionLostError:
            raise
        except Error as error:  # too large for this server, now and later
            self._answer(entry.event_id, error)

    def _pause(self, error: Error) -> None:
        """Send nothing for a while: what one event met, the next ones would meet too."""
        self._trouble = error
        now = self._environment.clock()
        if now < self._pause_until:
            return
        bound = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._pauses, 16))
        self._pauses += 1
        asked_s = (error.retry_after_ms or 0) / 1000
        self._pause_until = now + asked_s + bound * (0.5 + self._environment.dice() / 2)
        self._wake.set()

    async def _sleep(self) -> None:
        """Wait for something to do: a call, the end of a pause, an event without an answer."""
        now = self._environment.clock()
        until = [time for time in (self._pause_until, self._paced_until) if time > now]
        if self._flights:
            until.append(next(iter(self._flights.values())).sent_at + ACK_S)
        timeout = max(0.0, min(until) - now) if until and not self._is_held else None
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return

    def _answer(self, event_id: str, outcome: Outcome) -> None:
        self._flights.pop(event_id, None)
        self._again.pop(event_id, None)
        self._settled.setdefault(event_id, outcome)
        if self._is_connected and not self._is_held:
            self._trouble = None  # it answers
        self._answered.set()
        self._wake.set()

    def _tell(self, event_id: str, outcome: Outcome | Queued) -> bool:
        waiter = self._waiters.get(event_id)
        if waiter is None or waiter.done():
            return False
        waiter.set_result(outcome)
        return True
