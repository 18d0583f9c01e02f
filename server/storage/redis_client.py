"""One client for one Redis or Redis Cluster: bounded in time and connections, behind a breaker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException

from server.storage.breaker import Breaker
from server.storage.cancelling import end_if_cancelled
from server.storage.faults import ABSENT, FaultKind, StorageError
from server.storage.redis_errors import REDIS_ERRORS, classify, closing_as_loss
from server.storage.redis_opening import MAX_CONNECTIONS, TIMEOUT_S, split_url

BYTES_PER_S = 10 * 2**20
"""A slow but working link; large values get this much more time."""

Reply = TypeVar("Reply")
Command = Sequence[str | bytes | int | float]


def connect(url: str, *, timeout_s: float, max_connections: int) -> Redis | RedisCluster:
    """A client of redis-py that neither retries nor waits longer than we would.

    Raises `ValueError` for a URL that is none.
    """
    plain, cluster = split_url(url)
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_connect_timeout": timeout_s,
        # `RedisClient` bounds the whole call, and one that is cut off closes its connection. A
        # timer for every reply would double what a long pipeline costs.
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "max_connections": max_connections,
    }
    if cluster:
        options.pop("driver_info")
        try:
            return RedisCluster.from_url(plain, require_full_coverage=False, **options)
        except RedisClusterException as error:  # a database number, a socket path
            raise ValueError(str(error)) from error
    return Redis.from_url(plain, **options)


class RedisClient:
    """Sends commands; every failure is a `StorageError` within the time given.

    `on_fault` is told each fault's kind (for a counter). A server that does not answer opens
    the breaker: until it has cooled, calls fail at once with the kind `open`, then one tries.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        max_connections: int = MAX_CONNECTIONS,
        on_fault: Callable[[FaultKind], None] = lambda kind: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self.cluster = split_url(url)[1]
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(max_connections)
        self._client = connect(url, timeout_s=timeout_s, max_connections=max_connections)
        self._on_fault = on_fault
        # In a cluster one node that is away is not all of them: its failures mix with successes.
        self.breaker = Breaker(clock, threshold=10 if self.cluster else 3)

    async def call(self, *command: str | bytes | int | float, size: int = 0) -> object:
        """Send one command and return its reply (bytes are bytes).

        `size` is how many bytes of value travel, in either direction, and buys time for them.
        """

        async def send() -> object:
            return await self._client.execute_command(*command)

        return await self._guarded(send, size)

    async def pipeline(self, commands: Sequence[Command]) -> list[object]:
        """Send commands together; an error takes its reply's place, as a `StorageError`.

        Not a transaction. In a cluster the commands may go to several nodes.
        """

        async def send() -> list[object]:
            batch = self._client.pipeline(transaction=False)
            for command in commands:
                batch.execute_command(*command)
            return list(await batch.execute(raise_on_error=False))

        replies = await self._guarded(send, 0)
        return [self._fault(one) if isinstance(one, Exception) else one for one in replies]

    async def _guarded(self, send: Callable[[], Awaitable[Reply]], size: int) -> Reply:
        if not self.breaker.allows():
            self._on_fault("open")
            raise StorageError("open")
        try:
            async with asyncio.timeout(self._timeout_s + size / BYTES_PER_S), self._turns:
                with closing_as_loss():
                    reply = await send()
        except REDIS_ERRORS as error:
            fault = self._fault(error)
            end_if_cancelled(error)
            raise fault from error
        except BaseException:
            self.breaker.abandoned()
            raise
        self.breaker.succeeded()
        return reply

    def _fault(self, error: Exception) -> StorageError:
        kind = classify(error)
        if kind in ABSENT:
            self.breaker.failed(at_once=kind == "timeout" and not self.cluster)
        else:
            self.breaker.succeeded()
        self._on_fault(kind)
        return StorageError(kind, str(error)[:200])

    async def primaries(self) -> list[tuple[str, int]] | None:
        """Address of every primary of a cluster; None for a single server."""
        if not isinstance(self._client, RedisCluster):
            return None
        await self._guarded(self._client.initialize, 0)
        return sorted((node.host, int(node.port)) for node in self._client.get_primaries())

    async def facts(self, section: str, key: str) -> dict[str, Any]:
        """A section of INFO of the server that holds `key`: in a cluster its slot's primary."""

        client: Any = self._client

        async def send() -> Any:  # noqa: ANN401 - redis-py reads it into a dict
            if not self.cluster:
                return await client.execute_command("INFO", section)
            await client.initialize()
            node = client.get_node_from_key(key)
            return await client.execute_command("INFO", section, target_nodes=node)

        return cast("dict[str, Any]", await self._guarded(send, 0))

    async def all_facts(self) -> dict[str, dict[str, Any]]:
        """INFO of the server, or of every primary of a cluster, by address."""

        client: Any = self._client

        async def send() -> dict[str, dict[str, Any]]:
            if not self.cluster:
                return {"": await client.execute_command("INFO")}
            await client.initialize()
            nodes = client.get_primaries()
            replies = [await client.execute_command("INFO", target_nodes=one) for one in nodes]
            return {one.name: reply for one, reply in zip(nodes, replies, strict=True)}

        return await self._guarded(send, 0)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()
