"""The notice board of the nodes on the log Redis: keys that lapse, and a stream of messages each.

Time is the server's: clocks of nodes that differ or jump change nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

from server.storage.faults import StorageError
from server.storage.fleet import MESSAGE_LIFE_S
from server.storage.response_log import LogError

if TYPE_CHECKING:
    from server.storage.redis_client import Command, RedisClient

NODE_PREFIX = "manicule:node:"
READ_PREFIX = "manicule:read:"
MESSAGES_PREFIX = "manicule:messages:"

MAX_MESSAGES = 10_000
"""Messages that wait for one node; older ones are for answers that have long ended."""


class RedisFleet:
    """The notice board. `listener` waits for messages and shares its connection with nobody."""

    def __init__(self, client: RedisClient, listener: RedisClient) -> None:
        self._client = client
        self._listener = listener
        self._heard = "0-0"

    async def attend(self, node: str, *, ttl_s: float) -> None:
        """SET with a life."""
        await self._all([("SET", NODE_PREFIX + node, "1", "PX", int(ttl_s * 1000))])

    async def leave(self, node: str) -> None:
        """DEL."""
        await self._all([("DEL", NODE_PREFIX + node)])

    async def absent(self, nodes: Collection[str]) -> set[str]:
        """EXISTS of each."""
        asked = list(nodes)
        replies = await self._all([("EXISTS", NODE_PREFIX + node) for node in asked])
        return {node for node, reply in zip(asked, replies, strict=True) if not reply}

    async def mark_read(self, response_ids: Collection[str], *, ttl_s: float) -> None:
        """SET with a life, of each."""
        life_ms = int(ttl_s * 1000)
        await self._all([("SET", READ_PREFIX + one, "1", "PX", life_ms) for one in response_ids])

    async def is_read(self, response_id: str) -> bool:
        """EXISTS."""
        return bool((await self._all([("EXISTS", READ_PREFIX + response_id)]))[0])

    async def tell(self, node: str, message: str) -> None:
        """XADD to the node's messages, which lapse with nobody listening."""
        key = MESSAGES_PREFIX + node
        add = ("XADD", key, "MAXLEN", "~", MAX_MESSAGES, "*", "m", message)
        await self._all([add, ("EXPIRE", key, MESSAGE_LIFE_S)])

    async def hear(self, node: str, *, wait_s: float) -> list[str]:
        """XREAD BLOCK on the listener's connection."""
        key, wait_ms = MESSAGES_PREFIX + node, int(wait_s * 1000)
        try:
            reply = await self._listener.call(
                "XREAD", "BLOCK", wait_ms, "STREAMS", key, self._heard
            )
        except StorageError as error:
            raise LogError(str(error)) from error
        heard = []
        for _, found in cast("Any", reply or []):
            for name, fields in found:
                self._heard = name.decode()
                heard.append(fields.get(b"m", b"").decode())
        return heard

    async def _all(self, commands: list[Command]) -> list[object]:
        if not commands:
            return []
        try:
            replies = await self._client.pipeline(commands)
        except StorageError as error:
            raise LogError(str(error)) from error
        for reply in replies:
            if isinstance(reply, StorageError):
                raise LogError(str(reply)) from reply
        return replies
