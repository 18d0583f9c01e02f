"""What may be used once: the first to take a name has it, in a process or in a fleet."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from server.storage.faults import StorageError

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient

PREFIX = "once:"


class Once(Protocol):
    """Names that are given out once."""

    async def take(self, name: str, *, ttl_s: float) -> bool | None:
        """Whether nobody took `name` within the `ttl_s` before; None when that cannot be known."""
        ...


class MemoryOnce:
    """Names taken in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken: OrderedDict[str, float] = OrderedDict()

    async def take(self, name: str, *, ttl_s: float) -> bool:
        """Take a name that is free."""
        now = self._clock()
        while self._taken and next(iter(self._taken.values())) <= now:
            self._taken.popitem(last=False)
        if self._taken.get(name, now) > now:
            return False
        self._taken[name] = now + ttl_s
        self._taken.move_to_end(name)
        return True


class RedisOnce:
    """Names taken in a fleet: `SET NX PX`, which one of many at once wins."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def take(self, name: str, *, ttl_s: float) -> bool | None:
        """Take a name that is free; None while Redis does not say."""
        milliseconds = round(ttl_s * 1000)
        try:
            reply = await self._client.call("SET", PREFIX + name, "1", "NX", "PX", milliseconds)
        except StorageError:
            return None
        return reply is not None
