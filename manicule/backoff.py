"""How long to wait before the next attempt to connect. Pure: the caller brings the dice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from manicule.errors import ConnectionLostError, Error

FIRST_S: Final = 0.25
"""The first delay is below this: one lost connection is no reason to keep a person waiting."""
LONGEST_S: Final = 30.0
"""Delays double up to this; a server that comes back is found within half a minute."""
STEADY_S: Final = 10.0
"""A connection that held this long was a good one: the next delay is a first one."""
REFUSED_S: Final = 30.0
"""At least this after a refusal (close codes from 4400 on), which an attempt at once repeats."""
FULL_S: Final = 1.0
"""At least this when the server said that it is full (1013)."""
LONGEST_LEAVE_S: Final = 1.0
"""Clients that were told to leave come back spread over this, not all in one moment."""

_OVERLOADED: Final = 1013
_FIRST_REFUSAL: Final = 4400
_REFUSALS: Final = ("unauthorized", "forbidden", "invalid_event")


class Backoff:
    """Exponential delays with full jitter: each is anywhere between 0 and a bound that doubles."""

    def __init__(self, dice: Callable[[], float]) -> None:
        self._dice = dice
        self._failures = 0

    def connected(self, lived_s: float) -> None:
        """Note that a connection ended which had held for `lived_s`."""
        if lived_s >= STEADY_S:
            self._failures = 0

    def delay_s(self, error: Error) -> float:
        """Return the wait after `error`, which ended a connection or an attempt to make one."""
        bound = min(LONGEST_S, FIRST_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return _least_s(error) + self._dice() * bound

    def leave_s(self, time_left_ms: int) -> float:
        """Return the wait after the server said that it goes away in `time_left_ms`."""
        return self._dice() * min(LONGEST_LEAVE_S, max(time_left_ms, 0) / 4000)


def _least_s(error: Error) -> float:
    code = error.close_code if isinstance(error, ConnectionLostError) else None
    if (code is not None and code >= _FIRST_REFUSAL) or error.code in _REFUSALS:
        return REFUSED_S
    return FULL_S if code == _OVERLOADED else 0.0
