"""Counting asks in this process and telling the shared popularity now and then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from server.storage.popularity import Popularity
from server.storage.texts import TextCache

TELL_EVERY_S = 5.0
"""How often asks are told: a thousand of them are one command."""


class HitCounter:
    """Asks per manual since they were last told. `now` is in seconds."""

    def __init__(self, popularity: Popularity, texts: TextCache, now: Callable[[], float]) -> None:
        self._popularity = popularity
        self._texts = texts
        self._now = now
        self._hits: Counter[str] = Counter()
        self._told_at = now()

    def count(self, manual_id: str) -> bool:
        """Count an ask; True when it is time to `tell`."""
        self._hits[manual_id] += 1
        return self._now() >= self._told_at + TELL_EVERY_S

    async def tell(self) -> None:
        """Add what was counted to the popularity."""
        self._told_at = self._now()
        hits, self._hits = self._hits, Counter()
        if hits:
            await self._popularity.add(hits)
            # What is served from here is not read there, and must not look idle to its LRU.
            await self._texts.used(list(hits))
