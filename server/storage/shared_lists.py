"""Short lists that operators keep for a whole fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from server.storage.faults import StorageError

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient

REVOKED_KEY: Final = "manicule:revoked"

MAX_ENTRIES: Final = 10_000
"""Half a megabyte, read every two seconds by each process. What has ended can be taken out."""


class SharedList(Protocol):
    """Entries that all nodes see."""

    async def read(self) -> frozenset[str] | None:
        """Return the entries; None when they cannot be read, or are too many."""
        ...

    async def add(self, entry: str) -> bool:
        """Add an entry; whether that was done."""
        ...


class MemoryList:
    """Entries of this process."""

    def __init__(self) -> None:
        self._entries: set[str] = set()

    async def read(self) -> frozenset[str] | None:
        """Return the entries."""
        return frozenset(self._entries) if len(self._entries) <= MAX_ENTRIES else None

    async def add(self, entry: str) -> bool:
        """Add an entry."""
        self._entries.add(entry)
        return True


class RedisList:
    """A set in Redis: `SADD manicule:revoked sub:ada` from anywhere is seen by all."""

    def __init__(self, client: RedisClient, key: str = REVOKED_KEY) -> None:
        self._client = client
        self._key = key

    async def read(self) -> frozenset[str] | None:
        """Return the entries."""
        try:
            number = await self._client.call("SCARD", self._key)
            if not isinstance(number, int) or number > MAX_ENTRIES:
                return None
            found = await self._client.call("SMEMBERS", self._key, size=number * 64)
        except StorageError:
            return None
        if not isinstance(found, list | set | frozenset):
            return None
        return frozenset(one.decode(errors="replace") for one in found)

    async def add(self, entry: str) -> bool:
        """Add an entry."""
        try:
            await self._client.call("SADD", self._key, entry)
        except StorageError:
            return False
        return True
