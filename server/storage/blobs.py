"""Whole answers by key: bytes with a time to live, in this process, in Redis, or in both."""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from server.storage.faults import StorageError

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient

MAX_BLOB_BYTES = 2**20
"""Longest value kept: an answer is a few KiB, so a longer one is a mistake or planted."""

NEAR_TTL_S = 60.0
"""Longest that a value found in the shared cache is then served from this process."""

HEADER = b"mb1"
"""Mark and version in front of each value in Redis, followed by 4 bytes of CRC-32."""

ENTRY_BYTES = 256
"""What an entry of the process cache costs beside its value."""


class BlobCache(Protocol):
    """Bytes by key. No method raises: a cache that fails is a cache that misses."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none that may be used."""
        ...

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep the value for `ttl_s`; one over `MAX_BLOB_BYTES` is not kept."""
        ...

    async def delete(self, key: str) -> None:
        """Forget the value."""
        ...


class MemoryBlobCache:
    """Values of this process, bounded in bytes, the least recently used leaving first.

    `now` is a clock in seconds that goes on evenly.
    """

    def __init__(self, max_bytes: int, now: Callable[[], float]) -> None:
        self._max_bytes = max_bytes
        self._now = now
        self._bytes = 0
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """The value if its time is not over."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[1] <= self._now():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found[0]

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep the value unless it is too large."""
        self._drop(key)
        if len(value) > min(MAX_BLOB_BYTES, self._max_bytes - ENTRY_BYTES):
            return
        self._kept[key] = (value, self._now() + ttl_s)
        self._bytes += len(value) + ENTRY_BYTES
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    async def delete(self, key: str) -> None:
        """Forget the value."""
        self._drop(key)

    def _drop(self, key: str) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= len(found[0]) + ENTRY_BYTES


class RedisBlobCache:
    """Values that a fleet shares, at `<prefix><SHA-256 of the key>`, with a checksum."""

    def __init__(self, client: RedisClient, *, prefix: str = "answer:") -> None:
        self._client = client
        self._prefix = prefix

    async def get(self, key: str) -> bytes | None:
        """The value; a damaged, foreign or oversized one is a miss."""
        try:
            # One command reads at most one byte more than any value that we write.
            data = await self._client.call("GETRANGE", self._name(key), 0, MAX_BLOB_BYTES + 7)
        except StorageError:
            return None
        if not isinstance(data, bytes) or not data.startswith(HEADER):
            return None
        value = data[7:]
        if len(value) > MAX_BLOB_BYTES or data[3:7] != _checksum(value):
            return None
        return value

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep the value unless it is too large or the server refuses."""
        if len(value) > MAX_BLOB_BYTES:
            return
        data = HEADER + _checksum(value) + value
        milliseconds = max(1, round(ttl_s * 1000))
        try:
            await self._client.call(
                "SET", self._name(key), data, "PX", milliseconds, size=len(data)
            )
        except StorageError:
            return

    async def delete(self, key: str) -> None:
        """Forget the value."""
        try:
            await self._client.call("DEL", self._name(key))
        except StorageError:
            return

    def _name(self, key: str) -> str:
        return self._prefix + hashlib.sha256(key.encode()).hexdigest()


class LayeredBlobCache:
    """A near cache in front of a far one: read near first, write and delete both."""

    def __init__(self, near: BlobCache, far: BlobCache) -> None:
        self._near = near
        self._far = far

    async def get(self, key: str) -> bytes | None:
        """The near value, else the far one, which then stays near for `NEAR_TTL_S`."""
        value = await self._near.get(key)
        if value is None:
            value = await self._far.get(key)
            if value is not None:
                await self._near.put(key, value, ttl_s=NEAR_TTL_S)
        return value

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep the value in both."""
        await self._near.put(key, value, ttl_s=ttl_s)
        await self._far.put(key, value, ttl_s=ttl_s)

    async def delete(self, key: str) -> None:
        """Forget the value in both."""
        await self._near.delete(key)
        await self._far.delete(key)


def _checksum(value: bytes) -> bytes:
    return zlib.crc32(value).to_bytes(4, "big")
