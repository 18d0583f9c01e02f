"""When a second model is asked while the first still thinks. Pure: told what happened, and asked.

A hedge helps when one call in twenty is unlucky. When the provider itself is slow it only adds
load, so a share of slow calls turns hedging off until the calls are as fast as lately again.
"""

from __future__ import annotations

import math
from collections import deque

HEDGE_SHARE = 0.05
"""Hedges may be this part of the requests, always: twenty requests pay for the first one."""

SHARE_REQUESTS = 200
"""The requests that the share is taken of; more would let many hedges come at once."""

DELAY_CALLS = 256
"""First tokens that the delay is taken from: enough for a 95th percentile of more than one call."""

DELAY_QUANTILE = 0.95
"""The slowest twentieth is hedged, which is what the share allows."""

RECENT_CALLS = 32
"""Calls that tell whether the provider is slow now; few, so that it shows within seconds."""

MAX_SLOW_SHARE = 0.20
"""With more slow calls than this among the recent ones there is no hedging."""


class Hedging:
    """Decides on hedges. `floor_s` is the least delay; 0 turns hedging off."""

    def __init__(self, floor_s: float) -> None:
        self._floor_s = floor_s
        self._requests = 0
        self._hedged_at: deque[int] = deque()
        self._first_tokens_s: deque[float] = deque(maxlen=DELAY_CALLS)
        self._slow: deque[bool] = deque(maxlen=RECENT_CALLS)

    def asked(self) -> float | None:
        """A request has come: seconds to wait for its first token before a hedge, None for ever."""
        self._requests += 1
        return self._delay_s() if self._floor_s else None

    def take(self) -> bool:
        """Whether a hedge may be made now; it is then counted."""
        while self._hedged_at and self._hedged_at[0] <= self._requests - SHARE_REQUESTS:
            self._hedged_at.popleft()
        allowed = math.floor(HEDGE_SHARE * min(self._requests, SHARE_REQUESTS))
        if len(self._hedged_at) >= allowed or self._is_slow():
            return False
        self._hedged_at.append(self._requests)
        return True

    def spoke(self, took_s: float, delay_s: float) -> None:
        """A call that was to be hedged after `delay_s` gave its first token after `took_s`.

        For one that was closed before, `took_s` is how long it had been silent.
        """
        self._slow.append(took_s >= delay_s)
        self._first_tokens_s.append(took_s)

    def _is_slow(self) -> bool:
        return self._slow.count(True) > MAX_SLOW_SHARE * max(len(self._slow), RECENT_CALLS // 2)

    def _delay_s(self) -> float:
        taken = sorted(self._first_tokens_s)
        if not taken:
            return self._floor_s
        return max(self._floor_s, taken[math.ceil(DELAY_QUANTILE * len(taken)) - 1])
