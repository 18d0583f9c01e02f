"""Following the changes of cached texts on Redis.

Redis sends the invalidations of `CLIENT TRACKING ... BCAST` over a RESP3 connection of their own,
one per primary.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import structlog
from redis.asyncio.connection import AbstractConnection, Connection, parse_url

from server.storage.faults import StorageError
from server.storage.redis_client import RedisClient
from server.storage.redis_errors import REDIS_ERRORS, closing_as_loss
from server.storage.redis_opening import split_url
from server.storage.texts import TEXT_PREFIX
from server.storage.tracking import Listener

PING_S = 5.0
"""Silence after which the connection is pinged; as much again without a reply and it is lost."""

TOPOLOGY_S = 15.0
"""How often a cluster is asked which primaries it has."""

FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0

log = structlog.get_logger()


class RedisInvalidations:
    """Follows all primaries of one Redis; reconnects for ever, telling None at each loss."""

    def __init__(self, client: RedisClient, *, ping_s: float = PING_S) -> None:
        self._client = client
        self._ping_s = ping_s
        self._listener: Listener = lambda manual_id: None
        self._wanted = 1
        self._following = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def live(self) -> bool:
        """True while the connection to each primary is up and tracking."""
        return self._following == self._wanted

    def listen(self, listener: Listener) -> None:
        """Name the one who is told."""
        self._listener = listener

    async def start(self) -> None:
        """Start the task that follows."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="text-invalidations")

    async def aclose(self) -> None:
        """Cancel the task and wait for its connections to close."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        if not self._client.cluster:
            await self._follow_for_ever(None)
        while True:
            nodes = await self._primaries()
            self._wanted = len(nodes)
            followers = [
                asyncio.create_task(self._follow_for_ever(node), name="text-invalidations-node")
                for node in nodes
            ]
            try:
                await self._until_changed(nodes)
            finally:
                for follower in followers:
                    follower.cancel()
                await asyncio.gather(*followers, return_exceptions=True)

    async def _primaries(self) -> list[tuple[str, int]]:
        while True:
            with contextlib.suppress(StorageError):
                nodes = await self._client.primaries()
                if nodes:
                    return nodes
            await asyncio.sleep(FIRST_RETRY_S)

    async def _until_changed(self, nodes: list[tuple[str, int]]) -> None:
        while True:
            await asyncio.sleep(TOPOLOGY_S)
            if await self._primaries() != nodes:
                return

    async def _follow_for_ever(self, node: tuple[str, int] | None) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            connection = _connection(self._client.url, node, self._ping_s)
            try:
                with closing_as_loss():
                    await _track(connection)
                    retry_s = FIRST_RETRY_S
                    await self._follow(connection)
            except REDIS_ERRORS as error:
                log.debug("invalidations_away", error=type(error).__name__, retry_s=retry_s)
            finally:
                await connection.disconnect(nowait=True)
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, LAST_RETRY_S)

    async def _follow(self, connection: AbstractConnection) -> None:
        self._following += 1
        try:
            # What changed while nobody followed was not told.
            self._listener(None)
            await self._read(connection)
        finally:
            self._following -= 1
            self._listener(None)
            log.info("invalidations_ended")

    async def _read(self, connection: AbstractConnection) -> None:
        pinged = False
        while True:
            message = await connection.read_response(timeout=self._ping_s, push_request=True)
            if message is None:
                if pinged:
                    raise TimeoutError("no reply to a ping")
                await connection.send_command("PING", check_health=False)
                pinged = True
                continue
            pinged = False
            if isinstance(message, list) and len(message) == 2 and message[0] == b"invalidate":
                self._tell(message[1])

    def _tell(self, keys: object) -> None:
        if not isinstance(keys, list):  # FLUSHALL or FLUSHDB
            self._listener(None)
            return
        prefix = TEXT_PREFIX.encode()
        for key in keys:
            if isinstance(key, bytes) and key.startswith(prefix):
                self._listener(key[len(prefix) :].decode(errors="replace"))


def _connection(url: str, node: tuple[str, int] | None, timeout_s: float) -> AbstractConnection:
    options: dict[str, Any] = dict(parse_url(split_url(url)[0]))
    make = options.pop("connection_class", Connection)
    if node is not None:
        options["host"], options["port"] = node
    options |= {"protocol": 3, "socket_connect_timeout": timeout_s, "driver_info": None}
    made: AbstractConnection = make(**options, socket_timeout=timeout_s)
    return made


async def _track(connection: AbstractConnection) -> None:
    """Connect and ask for every change below our prefix, each pushed message to be returned."""

    async def as_is(message: object) -> object:
        return message

    await connection.connect()  # type: ignore[no-untyped-call]
    parser = connection._get_push_notifications_parser()
    parser.set_invalidation_push_handler(as_is)  # type: ignore[no-untyped-call]
    await connection.send_command(
        "CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", TEXT_PREFIX, check_health=False
    )
    await connection.read_response()
