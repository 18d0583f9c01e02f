"""Everything that is kept for a while only, opened together for one URL."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.storage.blobs import BlobCache, LayeredBlobCache, MemoryBlobCache, RedisBlobCache
from server.storage.faults import FaultKind
from server.storage.leases import Leases, MemoryLeases, RedisLeases
from server.storage.popularity import MemoryPopularity, Popularity, RedisPopularity
from server.storage.rate_limits import MemoryRateLimits, RateLimits, RedisRateLimits
from server.storage.redis_opening import open_redis
from server.storage.redis_texts import RedisTextCache
from server.storage.texts import MemoryTextCache, TextCache
from server.storage.tracking import Invalidations, NoInvalidations

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient


@dataclass(frozen=True, slots=True)
class Caches:
    """The ports that one cache URL stands behind; `client` is None in process."""

    texts: TextCache
    answers: BlobCache
    leases: Leases
    popularity: Popularity
    invalidations: Invalidations
    limits: RateLimits
    client: RedisClient | None = None

    async def start(self) -> None:
        """Begin to follow changes; call after the listener has been named."""
        await self.invalidations.start()

    async def aclose(self) -> None:
        """Stop following and close connections."""
        await self.invalidations.aclose()
        await self.limits.aclose()
        if self.client is not None:
            await self.client.aclose()


def open_caches(
    url: str,
    *,
    text_bytes: int,
    answer_bytes: int,
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    on_fault: Callable[[FaultKind], None] = lambda kind: None,
) -> Caches:
    """The twins of this process for an empty `url`, else Redis with the answers in two layers.

    Connects to nothing yet. `text_bytes` bounds the twin for texts and `answer_bytes` the process
    layer for answers; what the twins keep ends by `clock`, which no correction of the time of day
    (`now`) moves. Raises `ValueError` for a URL that is none.
    """
    near = MemoryBlobCache(answer_bytes, clock)
    if not url:
        return Caches(
            texts=MemoryTextCache(text_bytes, clock),
            answers=near,
            leases=MemoryLeases(),
            popularity=MemoryPopularity(now),
            invalidations=NoInvalidations(),
            limits=MemoryRateLimits(now),
        )
    from server.storage.redis_tracking import RedisInvalidations  # with redis-py, see `open_redis`

    client = open_redis(url, on_fault=on_fault)
    return Caches(
        texts=RedisTextCache(client),
        answers=LayeredBlobCache(near, RedisBlobCache(client)),
        leases=RedisLeases(client),
        popularity=RedisPopularity(client, now),
        invalidations=RedisInvalidations(client),
        limits=RedisRateLimits(client, now),
        client=client,
    )
