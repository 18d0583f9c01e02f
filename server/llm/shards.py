"""An HTTP transport for thousands of open streams: many small connection pools in one.

httpcore's pool walks all its connections for every request that begins or ends, which at 1,000
open streams doubles the processor time of a request and is quadratic in bursts.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

SHARD_SIZE = 64
"""Requests that one pool runs at a time; the next one fills the next pool."""

IDLE_CONNECTIONS = 32
"""Connections that one pool keeps for later when they are idle."""


class ShardedTransport(httpx.AsyncBaseTransport):
    """Gives each request to the first pool with room, so that few requests share few connections.

    Pools are made as needed and kept. No proxies or certificates from the environment.
    """

    def __init__(self, shard_size: int = SHARD_SIZE) -> None:
        self._shard_size = shard_size
        self._tls = httpx.create_ssl_context(trust_env=False)
        self._shards: list[_Shard] = []

    @property
    def running(self) -> list[int]:
        """How many requests each pool is running now."""
        return [shard.running for shard in self._shards]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request by a pool with room; it has it until the response is closed."""
        shard = self._with_room()
        shard.running += 1
        try:
            response = await shard.transport.handle_async_request(request)
        except BaseException:
            shard.running -= 1
            await shard.close_lost()
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Watched(response.stream, shard.give_back)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for shard in self._shards:
            await shard.transport.aclose()

    def _with_room(self) -> _Shard:
        for shard in self._shards:
            if shard.running < self._shard_size:
                return shard
        self._shards.append(_Shard(self._tls))
        return self._shards[-1]


class _Shard:
    """One pool and how many requests it runs."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS)
        self.transport = httpx.AsyncHTTPTransport(verify=tls, limits=limits, trust_env=False)
        self.running = 0

    def give_back(self) -> None:
        self.running -= 1

    async def close_lost(self) -> None:
        """Close connections that no request has and that none will get.

        A cancel between the connect and the first byte leaves httpcore 1.0 with a connection
        that is neither idle nor closed, for as long as the pool lives.
        """
        pool: Any = self.transport._pool  # httpx shows nothing of its connections
        used = {id(request.connection) for request in pool._requests}
        for connection in pool.connections:
            if id(connection) in used or connection.is_idle() or connection.is_closed():
                continue
            pool._connections.remove(connection)
            await connection.aclose()


class _Watched(httpx.AsyncByteStream):
    """A response's bytes; `on_close` is called once."""

    def __init__(self, stream: httpx.AsyncByteStream, on_close: Callable[[], None]) -> None:
        self._stream = stream
        self._on_close: Callable[[], None] | None = on_close

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()
        await self._stream.aclose()
