"""Which manuals are asked about most, so that they can be prepared before the first question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from server.storage.faults import StorageError

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient

KEY = "manual_hits"
KEPT = 1000
"""Manuals that are remembered; the rest of a long tail is never worth preparing."""

HALF_LIFE_S = 7 * 86_400.0
EPOCH = 1_767_225_600.0
"""2026-01-01T00:00Z. A hit at time t weighs 2 ** ((t - EPOCH) / HALF_LIFE_S), so that older hits
fade against newer ones without anything ever being rewritten; a float holds it until 2045."""


class Popularity(Protocol):
    """Counts of asks per manual, fading with a half-life of a week. No method raises."""

    async def add(self, hits: Mapping[str, int]) -> None:
        """Add asks counted since the last call."""
        ...

    async def top(self, limit: int) -> list[str]:
        """The most asked manuals, first the most asked."""
        ...


def weight(now: float) -> float:
    """What one hit weighs at `now`, Unix seconds."""
    return float(2.0 ** ((now - EPOCH) / HALF_LIFE_S))


class MemoryPopularity:
    """The counts of this process."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._scores: dict[str, float] = {}

    async def add(self, hits: Mapping[str, int]) -> None:
        """Add to the scores and drop the least asked over `KEPT`."""
        unit = weight(self._now())
        for manual_id, count in hits.items():
            self._scores[manual_id] = self._scores.get(manual_id, 0.0) + count * unit
        for manual_id in self._ranked()[KEPT:]:
            del self._scores[manual_id]

    async def top(self, limit: int) -> list[str]:
        """The most asked."""
        return self._ranked()[:limit]

    def _ranked(self) -> list[str]:
        return sorted(self._scores, key=lambda one: (self._scores[one], one), reverse=True)


class RedisPopularity:
    """The counts of a fleet, in the sorted set `manual_hits`."""

    def __init__(self, client: RedisClient, now: Callable[[], float]) -> None:
        self._client = client
        self._now = now

    async def add(self, hits: Mapping[str, int]) -> None:
        """Add in one round trip; lost when the server is away."""
        unit = weight(self._now())
        commands: list[tuple[str | int | float, ...]] = [
            ("ZINCRBY", KEY, repr(count * unit), manual_id) for manual_id, count in hits.items()
        ]
        commands.append(("ZREMRANGEBYRANK", KEY, 0, -KEPT - 1))
        try:
            await self._client.pipeline(commands)
        except StorageError:
            return

    async def top(self, limit: int) -> list[str]:
        """The most asked; empty when the server cannot say."""
        if limit <= 0:
            return []
        try:
            reply = await self._client.call("ZREVRANGE", KEY, 0, limit - 1)
        except StorageError:
            return []
        if not isinstance(reply, list):
            return []
        return [one.decode(errors="replace") for one in reply if isinstance(one, bytes)]
