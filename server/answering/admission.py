"""The queue in front of the models: who may call one now, and what the others are told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from protocol.errors import EventError
from server.answering.fair_queue import PRIORITIES, FairQueue, Priority, Waiter
from server.telemetry.metrics import Metrics

REPORT_INTERVAL_S = 0.5
"""Between two looks at the positions: a queue that moves is seen to move, and telling hundreds of
waiters costs a few milliseconds a second."""

KEPT_TIMES = 64
"""Calls whose length says how long one takes: some minutes of a small server's."""

UNKNOWN_CALL_S = 1.0
"""What a call is taken to last before the first one has ended."""

MAX_RETRY_AFTER_MS = 60_000
"""Nobody is sent away for longer than a minute: by then an estimate says nothing."""

OnPosition = Callable[[int], None]

log = structlog.get_logger("manicule")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a question stands among others: whose turns it takes, and how urgent it is.

    Clients take turns inside a class, so `client` names whoever is to have one share: a principal,
    or a connection where nobody has a name.
    """

    client: str = ""
    priority: Priority = "normal"


ANYBODY = Standing()


class Place:
    """A slot, or a place in the queue for one. Whoever entered must `leave` once, whatever came."""

    def __init__(self, admission: Admission, waiter: Waiter) -> None:
        self.waiter = waiter
        self.position = 0
        self.granted_at: float | None = None
        self._admission = admission
        self._settled = asyncio.Event()
        self._left = False
        self._listeners: list[OnPosition] = []

    @property
    def is_waiting(self) -> bool:
        """Whether the slot is still to come."""
        return self.granted_at is None and not self._left

    async def wait(self) -> None:
        """Return when the slot has come, or the place was left."""
        if self.is_waiting:
            await self._settled.wait()

    def listen(self, on_position: OnPosition) -> None:
        """Tell the position now, and from now on when it changes; 1 comes next."""
        self._listeners.append(on_position)
        if self.is_waiting and self.position:
            on_position(self.position)

    def unlisten(self, on_position: OnPosition) -> None:
        """Tell `on_position` nothing more."""
        self._listeners.remove(on_position)

    def press(self, priority: Priority) -> None:
        """Wait in a more urgent class, since somebody more urgent waits for the same call."""
        self._admission.press(self, priority)

    def leave(self) -> None:
        """Give up the slot or the place; a second time changes nothing."""
        if not self._left:
            self._left = True
            self._settled.set()
            self._admission.left(self)

    def grant(self, now: float) -> None:
        """Give the slot to whoever waits for it."""
        self.granted_at = now
        self._settled.set()

    def tell(self, position: int) -> None:
        """Note the position and tell it when it is another than before."""
        if position != self.position:
            self.position = position
            for listener in tuple(self._listeners):
                listener(position)


class Admission:
    """Gives out `slots` for model calls; at most `max_waiting` of each class wait for one.

    The bound is one of each class, so that no number of unhurried questions shuts out an urgent
    one. `clock` is monotonic seconds. Runs in one event loop and needs no task of its own.
    """

    def __init__(
        self, *, slots: int, max_waiting: int, clock: Callable[[], float], metrics: Metrics
    ) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._clock = clock
        self._metrics = metrics
        self._running = 0
        self._queue = FairQueue()
        self._places: dict[Waiter, Place] = {}
        self._times: deque[float] = deque(maxlen=KEPT_TIMES)
        self._report: asyncio.TimerHandle | None = None

    def enter(self, standing: Standing) -> Place:
        """Take a slot, or the place in the queue that `standing` has.

        Raises `EventError("overloaded")` when the queue is full, with the time in which those that
        wait now will have been served.
        """
        now = self._clock()
        place = Place(self, Waiter(standing.client, standing.priority, now))
        if self._running < self._slots:
            self._grant(place, now)
            return place
        if self._queue.waiting(standing.priority) >= self._max_waiting:
            self._metrics.count("queue_refused_total", standing.priority)
            raise EventError(
                "overloaded",
                f"{self._max_waiting} questions wait for a model already; ask again later",
                retry_after_ms=self._retry_after_ms(standing.priority),
            )
        self._queue.add(place.waiter)
        self._places[place.waiter] = place
        order = self._queue.order()
        place.tell(next(at for at, one in enumerate(order, 1) if one is place.waiter))
        self._count(standing.priority)
        self._schedule_report()
        return place

    def press(self, place: Place, priority: Priority) -> None:
        """Move a place that waits to the end of a more urgent class; see `Place.press`."""
        waiter = place.waiter
        earlier = waiter.priority
        if place.is_waiting and PRIORITIES.index(priority) < PRIORITIES.index(earlier):
            self._queue.remove(waiter)
            waiter.priority = priority
            self._queue.add(waiter)
            self._count(earlier)
            self._count(priority)

    def left(self, place: Place) -> None:
        """Take back what a place had; see `Place.leave`."""
        now = self._clock()
        if place.granted_at is None:
            self._queue.remove(place.waiter)
            del self._places[place.waiter]
            self._count(place.waiter.priority)
            return
        self._times.append(now - place.granted_at)
        self._running -= 1
        self._metrics.set("model_calls_running", self._running)
        waiter = self._queue.pop(now)
        if waiter is not None:
            self._count(waiter.priority)
            self._grant(self._places.pop(waiter), now)

    def close(self) -> None:
        """Report nothing more."""
        if self._report is not None:
            self._report.cancel()
            self._report = None

    def _grant(self, place: Place, now: float) -> None:
        self._running += 1
        self._metrics.set("model_calls_running", self._running)
        self._metrics.observe("queue_wait_seconds", now - place.waiter.since)
        place.grant(now)

    def _retry_after_ms(self, priority: Priority) -> int:
        call_s = sum(self._times) / len(self._times) if self._times else UNKNOWN_CALL_S
        turns = self._queue.ahead_of(priority) + 1
        return min(MAX_RETRY_AFTER_MS, int(turns * call_s / self._slots * 1000) + 1)

    def _count(self, priority: Priority) -> None:
        self._metrics.set("queue_length", self._queue.waiting(priority), priority)

    def _schedule_report(self) -> None:
        if self._report is None:
            loop = asyncio.get_running_loop()
            self._report = loop.call_later(REPORT_INTERVAL_S, self._tell_positions)

    def _tell_positions(self) -> None:
        self._report = None
        for position, waiter in enumerate(list(self._queue.order()), 1):
            place = self._places.get(waiter)
            if place is None:
                continue  # left while the others were told
            try:
                place.tell(position)
            except Exception:  # one answer's fault must not keep the others from hearing
                log.exception("report_failed")
        if self._places:
            self._schedule_report()
