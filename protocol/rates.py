"""A token bucket, fed with the time by its caller."""

from __future__ import annotations


class TokenBucket:
    """Allows `per_minute` requests a minute, `burst` of them at once if none came before.

    Without `burst` that is all of a minute. Times are seconds of any monotonic clock.
    """

    def __init__(self, per_minute: int, burst: int | None = None) -> None:
        self._capacity = float(per_minute if burst is None else burst)
        self._per_second = per_minute / 60
        self._tokens = self._capacity
        self._updated: float | None = None

    def take(self, now: float, tokens: int = 1) -> float:
        """Take tokens: 0 when there were as many, else the seconds until there will be."""
        self._refill(now)
        if self._tokens >= tokens:
            self._tokens -= tokens
            return 0.0
        return (tokens - self._tokens) / self._per_second

    def look(self, now: float) -> tuple[int, float]:
        """Return how many tokens there are, and the seconds until there are all."""
        self._refill(now)
        return int(self._tokens), (self._capacity - self._tokens) / self._per_second

    def _refill(self, now: float) -> None:
        if self._updated is not None and now > self._updated:
            gained = (now - self._updated) * self._per_second
            self._tokens = min(self._capacity, self._tokens + gained)
        self._updated = now
