"""A circuit breaker: when a server is down, its callers learn it without each waiting."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class BreakerState(Enum):
    """What calls may do: all go, none go, or one tries."""

    CLOSED = "closed"
    OPEN = "open"
    TRYING = "trying"


class Breaker:
    """Opens after `threshold` failures in a row, lets one call try after `cool_s`.

    Each failed try doubles the wait up to `max_cool_s`; a success closes at once. `now` is a
    monotonic clock in seconds. Every call that `allows` let through must be followed by exactly
    one of `succeeded`, `failed` and `abandoned`.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        threshold: int = 3,
        cool_s: float = 0.5,
        max_cool_s: float = 5.0,
    ) -> None:
        self._now = now
        self._threshold = threshold
        self._first_cool_s = cool_s
        self._max_cool_s = max_cool_s
        self._cool_s = cool_s
        self._failures = 0
        self._opened_at = 0.0
        self._state = BreakerState.CLOSED

    @property
    def state(self) -> BreakerState:
        """The present state; an open breaker whose wait has passed still reads as open."""
        return self._state

    def allows(self) -> bool:
        """Whether a call may go now. In an open breaker one call at a time may, once cooled."""
        if self._state is BreakerState.CLOSED:
            return True
        if self._state is BreakerState.OPEN and self._now() >= self._opened_at + self._cool_s:
            self._state = BreakerState.TRYING
            return True
        return False

    def succeeded(self) -> None:
        """The server answered."""
        self._failures = 0
        self._cool_s = self._first_cool_s
        self._state = BreakerState.CLOSED

    def failed(self, *, at_once: bool = False) -> None:
        """The server did not answer; `at_once` opens without counting to the threshold."""
        self._failures += 1
        if self._state is BreakerState.TRYING:
            self._cool_s = min(self._cool_s * 2, self._max_cool_s)
        elif self._state is BreakerState.OPEN or (not at_once and self._failures < self._threshold):
            return
        self._state = BreakerState.OPEN
        self._opened_at = self._now()

    def abandoned(self) -> None:
        """The caller went away before the outcome was known: the next call may try."""
        if self._state is BreakerState.TRYING:
            self._state = BreakerState.OPEN
