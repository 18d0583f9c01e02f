"""Whether those who are connected may still be: looked at every second, for all sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NoReturn

import structlog

from server.endpoints.node import Node
from server.endpoints.revocations import parse_revocations
from server.endpoints.tickets import Tickets
from server.storage.cancelling import end_tasks
from server.storage.once import MemoryOnce, RedisOnce
from server.storage.redis_opening import open_redis
from server.storage.shared_lists import MAX_ENTRIES, RedisList, SharedList

log = structlog.get_logger("manicule")

LOOK_S: Final = 1.0
"""Between looks at the sockets; one costs a microsecond."""

LOOKED_AT_ONCE: Final = 1000
"""Sockets between two turns of the loop, a millisecond, so that nobody waits for a look."""

LOOKS_A_READING: Final = 2
"""Files and the shared list are read at every second look."""


@asynccontextmanager
async def watching(
    node: Node, *, secret: bytes, ticket_url: str, revoked_url: str
) -> AsyncIterator[None]:
    """Look after the standing of all sockets of `node` while the block runs.

    `secret` signs tickets. The URLs are of Redis, or empty: what is used up is then known to this
    process alone, and there is no list of revocations beside the file.
    """
    clients = {url: open_redis(url, max_connections=4) for url in (ticket_url, revoked_url) if url}
    once = RedisOnce(clients[ticket_url]) if ticket_url else MemoryOnce()
    node.tickets = Tickets(secret, once, node.wall_clock)
    watch = Watch(node, RedisList(clients[revoked_url]) if revoked_url else None)
    await watch.read()
    task = asyncio.create_task(watch.run(), name="standing-watch")
    task.add_done_callback(_report_death)
    try:
        yield
    finally:
        await end_tasks(task)
        for client in clients.values():
            await client.aclose()


def _report_death(task: asyncio.Task[NoReturn]) -> None:
    if not task.cancelled():
        log.error("task_failed", task=task.get_name(), exc_info=task.exception())


class Watch:
    """Closes the sockets of who did not say who they are, and of who may be there no more.

    `shared` is the fleet's list of revocations. While it cannot be read, what was read last holds.
    """

    def __init__(self, node: Node, shared: SharedList | None = None) -> None:
        self._node = node
        self._shared = shared
        self._trouble = ""

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            await self.read()
            for _ in range(LOOKS_A_READING):
                await self.look()
                await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Have every connection look whether it may stay."""
        for number, connection in enumerate(tuple(self._node.connections), 1):
            connection.check_standing()
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def read(self) -> None:
        """Read what changed about keys and revocations."""
        await asyncio.to_thread(self._node.keys.refresh)
        if self._shared is None:
            return
        entries = await self._shared.read()
        trouble = "" if entries is not None else f"not read, or over {MAX_ENTRIES} entries"
        try:
            if entries is not None:
                self._node.keys.revoked_elsewhere = parse_revocations(sorted(entries))
        except ValueError as error:
            trouble = str(error)
        if trouble and trouble != self._trouble:
            log.error("revocations_not_read", reason=trouble)
        self._trouble = trouble
