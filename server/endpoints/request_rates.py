"""How many HTTP requests each key, token or address may make in a minute."""

from __future__ import annotations

from collections import OrderedDict

from protocol.errors import EventError
from protocol.rates import TokenBucket

REQUESTS_PER_MINUTE = 3000  # 50 a second; a bulk of 500 judgements is one request

MAX_NAMES = 10_000  # buckets at once (some 3 MB); beyond it those idle longest start anew


class RequestRates:
    """A token bucket for each name. The caller brings the clock, in seconds, monotonic."""

    def __init__(self, per_minute: int = REQUESTS_PER_MINUTE, max_names: int = MAX_NAMES) -> None:
        self._per_minute = per_minute
        self._max_names = max_names
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, name: str, now: float) -> None:
        """Count one request of `name`; raises `EventError("rate_limited")` beyond."""
        bucket = self._buckets.pop(name, None) or TokenBucket(self._per_minute)
        self._buckets[name] = bucket
        if len(self._buckets) > self._max_names:
            self._buckets.popitem(last=False)
        wait_s = bucket.take(now)
        if wait_s:
            raise EventError(
                "rate_limited",
                f"More than {self._per_minute} requests in a minute; wait, or send many at once",
                retry_after_ms=int(wait_s * 1000) + 1,
            )
