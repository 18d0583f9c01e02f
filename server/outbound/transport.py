"""An httpx transport that connects only to addresses it has checked itself."""

from __future__ import annotations

import asyncio
import socket
import ssl
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Final

import httpcore
import httpx

from server.outbound.addresses import AddressError, Target, is_allowed

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to the IP addresses of that host; raises `OSError`."""

CONNECT_S: Final = 8.0
"""For one address; a host with a dead IPv6 address still has time for its others."""
MAX_ADDRESSES: Final = 32


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


def url_of(target: Target) -> httpx.URL:
    """Return a checked URL as httpx reads it; raises `AddressError` when that is another one."""
    try:
        url = httpx.URL(target.url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.raw_host.decode("ascii").lower() != target.host or url.scheme != target.scheme:
        raise AddressError("can be read in two ways")
    return url


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a host once, checks every address, connects to one of those and no other.

    TLS and the Host header still see the name, so that certificates are checked against it.
    """

    def __init__(self, *, allow_private: bool, resolver: Resolver) -> None:
        self._allow_private = allow_private
        self._resolve = resolver
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[typing.Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a checked address of `host`; `AddressError` when there is none."""
        problem: Exception | None = None
        for address in await self._addresses(host, port):
            try:
                return await self._sockets.connect_tcp(
                    address, port, timeout=min(timeout or CONNECT_S, CONNECT_S)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise httpcore.ConnectError("no address answers") from problem

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses: Sequence[str] = [str(ip_address(host.strip("[]")))]
        except ValueError:
            addresses = await self._lookup(host, port)
        # One bad address refuses all: a mixed answer is how rebinding is tried.
        if not all(is_allowed(each, allow_private=self._allow_private) for each in addresses):
            raise AddressError(
                "has a host whose address is not public (if this is an intranet, allow private "
                "addresses)"
            )
        return addresses

    async def _lookup(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = list(await self._resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the host name does not resolve") from error
        if not addresses or len(addresses) > MAX_ADDRESSES:
            raise httpcore.ConnectError("the host has no address, or too many")
        return addresses


class CheckedTransport(httpx.AsyncBaseTransport):
    """Requests as httpx makes them, over `CheckedBackend`.

    Used without `httpx.AsyncClient`: no cookies, proxies, netrc or redirects of its own.
    Raises httpcore's exceptions and `AddressError`. No connection is kept, so each request is
    resolved and checked.
    """

    def __init__(
        self, *, allow_private: bool, resolver: Resolver, ssl_context: ssl.SSLContext
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,
            max_keepalive_connections=0,
            http1=True,
            http2=False,
            network_backend=CheckedBackend(allow_private=allow_private, resolver=resolver),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the response's body is still to be read and must be closed."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                request.method, url, headers=request.headers.raw, content=request.stream
            )
        )
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), request=request
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._answer.aiter_stream():
            yield part

    async def aclose(self) -> None:
        await self._answer.aclose()
