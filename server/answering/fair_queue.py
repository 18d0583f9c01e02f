"""Who waits for a model call, and whose turn it is. Pure: the caller brings the time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

Priority = Literal["critical", "high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
"""The classes, first the most urgent."""

OVERDUE_S = 45.0
"""A class whose first arrival has waited this long takes turns: the rest of a minute is left for
the turns to come round, so that nothing that can be served at all waits longer."""

OVERDUE_TURN = 4
"""One in so many turns goes past more urgent classes to one that is overdue. The others stay with
the urgent, and a single urgent question behind any number of overdue ones still comes next."""


@dataclass(eq=False, slots=True)
class Waiter:
    """One that waits: for whom, how urgent, since when (seconds)."""

    client: str
    priority: Priority
    since: float


class _Class:
    """The waiters of one priority: a ring of clients, each with its own in order of arrival."""

    def __init__(self) -> None:
        self.ring: OrderedDict[str, OrderedDict[Waiter, None]] = OrderedDict()
        self.arrivals: OrderedDict[Waiter, None] = OrderedDict()

    def add(self, waiter: Waiter) -> None:
        self.ring.setdefault(waiter.client, OrderedDict())[waiter] = None
        self.arrivals[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        del self.arrivals[waiter]
        own = self.ring[waiter.client]
        del own[waiter]
        if not own:
            del self.ring[waiter.client]

    def take(self) -> Waiter:
        client, own = next(iter(self.ring.items()))
        waiter = next(iter(own))
        self.remove(waiter)
        if own:
            self.ring.move_to_end(client)
        return waiter

    def is_overdue(self, now: float) -> bool:
        first = next(iter(self.arrivals), None)
        return first is not None and now - first.since >= OVERDUE_S

    def order(self) -> Iterator[Waiter]:
        rows = [iter(own) for own in self.ring.values()]
        while rows:
            left = []
            for row in rows:
                waiter = next(row, None)
                if waiter is not None:
                    yield waiter
                    left.append(row)
            rows = left


class FairQueue:
    """Waiters by class; inside a class each client in turn, and each client's own by arrival.

    The most urgent class comes first, except that every `OVERDUE_TURN`th turn that would pass over
    overdue classes goes to one of them, each in turn. `now` is seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        self._classes = {priority: _Class() for priority in PRIORITIES}
        self._turns = deque(reversed(PRIORITIES))
        self._passed_over = 0

    def __len__(self) -> int:
        return sum(self.waiting(priority) for priority in PRIORITIES)

    def waiting(self, priority: Priority) -> int:
        """How many wait in a class."""
        return len(self._classes[priority].arrivals)

    def ahead_of(self, priority: Priority) -> int:
        """How many would be served before one that came to a class now, were it all by class."""
        at = PRIORITIES.index(priority)
        return sum(self.waiting(one) for one in PRIORITIES[: at + 1])

    def add(self, waiter: Waiter) -> None:
        """Take the last place of the waiter's client in its class."""
        self._classes[waiter.priority].add(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Give up a place; raises `KeyError` when the waiter has none."""
        self._classes[waiter.priority].remove(waiter)

    def pop(self, now: float) -> Waiter | None:
        """Take out whose turn it is."""
        chosen = next((one for one in PRIORITIES if self.waiting(one)), None)
        if chosen is None:
            return None
        overdue = [
            one
            for one in self._turns
            if PRIORITIES.index(one) > PRIORITIES.index(chosen)
            and self._classes[one].is_overdue(now)
        ]
        if not overdue:
            self._passed_over = 0
        elif self._passed_over < OVERDUE_TURN - 1:
            self._passed_over += 1
        else:
            self._passed_over = 0
            chosen = overdue[0]
            self._turns.remove(chosen)
            self._turns.append(chosen)
        return self._classes[chosen].take()

    def order(self) -> Iterator[Waiter]:
        """Yield all in the order in which they would be served if nothing came or was overdue."""
        for priority in PRIORITIES:
            yield from self._classes[priority].order()
