"""What the nodes of a fleet know of each other: who lives, who reads what, and short messages."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Protocol

from server.storage.response_log import LogError

MESSAGE_LIFE_S = 60
"""A message to a node that does not listen is of no use for longer."""


class Fleet(Protocol):
    """The notice board of the nodes. All methods raise `LogError`."""

    async def attend(self, node: str, *, ttl_s: float) -> None:
        """Say that `node` lives for the next `ttl_s` seconds."""
        ...

    async def leave(self, node: str) -> None:
        """Say that `node` has gone."""
        ...

    async def absent(self, nodes: Collection[str]) -> set[str]:
        """Return those of `nodes` that do not attend."""
        ...

    async def mark_read(self, response_ids: Collection[str], *, ttl_s: float) -> None:
        """Say that somebody reads these answers, here rather than at their writer."""
        ...

    async def is_read(self, response_id: str) -> bool:
        """Whether somebody reads this answer elsewhere."""
        ...

    async def tell(self, node: str, message: str) -> None:
        """Leave a message for a node."""
        ...

    async def hear(self, node: str, *, wait_s: float) -> list[str]:
        """Return messages for `node` that came since the last call, waiting for the first."""
        ...


class MemoryFleet:
    """The twin in memory. `clock` is a monotonic clock in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.failing: str | None = None
        self._until: dict[str, float] = {}
        self._read_until: dict[str, float] = {}
        self._messages: dict[str, asyncio.Queue[str]] = defaultdict(asyncio.Queue)

    async def attend(self, node: str, *, ttl_s: float) -> None:
        """Note until when."""
        self._raise()
        self._until[node] = self._clock() + ttl_s

    async def leave(self, node: str) -> None:
        """Forget the node."""
        self._raise()
        self._until.pop(node, None)

    async def absent(self, nodes: Collection[str]) -> set[str]:
        """Return who is not noted, or no longer."""
        self._raise()
        now = self._clock()
        return {node for node in nodes if self._until.get(node, now) <= now}

    async def mark_read(self, response_ids: Collection[str], *, ttl_s: float) -> None:
        """Note until when."""
        self._raise()
        for one in response_ids:
            self._read_until[one] = self._clock() + ttl_s

    async def is_read(self, response_id: str) -> bool:
        """Whether the mark holds."""
        self._raise()
        return self._read_until.get(response_id, 0.0) > self._clock()

    async def tell(self, node: str, message: str) -> None:
        """Queue the message."""
        self._raise()
        self._messages[node].put_nowait(message)

    async def hear(self, node: str, *, wait_s: float) -> list[str]:
        """Wait for the first, then take all there are."""
        self._raise()
        queue = self._messages[node]
        try:
            async with asyncio.timeout(wait_s):
                heard = [await queue.get()]
        except TimeoutError:
            return []
        while not queue.empty():
            heard.append(queue.get_nowait())
        return heard

    def _raise(self) -> None:
        if self.failing is not None:
            raise LogError(self.failing)
