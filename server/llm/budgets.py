"""How many calls beyond the first one may be made: for retries, and for hedges. Pure."""

from __future__ import annotations

import math
from collections import deque

RETRY_SHARE = 0.10
"""Retries may be this part of a minute's requests: when everything fails, the providers get a
tenth more and not three times the load."""

FREE_RETRIES = 10
"""Retries a minute that need no requests to pay for them: without these a server with a few
questions an hour would never retry. At 100 requests a minute the share takes over."""

MINUTE_S = 60


class MinuteCount:
    """How often something happened in the last minute, counted by whole seconds.

    Times are seconds of any monotonic clock.
    """

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, now: float) -> None:
        """Count one."""
        second = math.floor(now)
        if self._seconds and self._seconds[-1][0] >= second:
            latest, count = self._seconds.pop()
            self._seconds.append((latest, count + 1))
        else:
            self._seconds.append((second, 1))
        self._total += 1

    def total(self, now: float) -> int:
        """How many there were in this second and the 59 before it."""
        oldest = math.floor(now) - MINUTE_S + 1
        while self._seconds and self._seconds[0][0] < oldest:
            self._total -= self._seconds.popleft()[1]
        return self._total


class RetryBudget:
    """Lets retries through while they are a small part of the requests of the last minute."""

    def __init__(self) -> None:
        self._requests = MinuteCount()
        self._retries = MinuteCount()

    def asked(self, now: float) -> None:
        """A request has come."""
        self._requests.add(now)

    def take(self, now: float) -> bool:
        """Whether one retry may be made; it is then counted."""
        allowed = max(FREE_RETRIES, math.floor(RETRY_SHARE * self._requests.total(now)))
        if self._retries.total(now) >= allowed:
            return False
        self._retries.add(now)
        return True
