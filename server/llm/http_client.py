"""The HTTP client for model servers."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

RECEIVE_BUFFER_BYTES = 65_536
"""What the kernel may hold of an answer that is read slowly; left alone it grows to megabytes.
Each round trip brings as much, many times what a model writes."""

IDLE_S = 30.0
"""How long a connection is kept for the next request."""


def new_client() -> httpx.AsyncClient:
    """An HTTP client for model servers: no proxies or netrc from the environment, no redirects.

    It has no timeouts of its own: `within_deadlines` and `check_reachable` set them. Below httpx is
    aiohttp, whose parser is written in C and whose pool does not walk all its connections: a chunk
    costs half of what it does with httpx's own transport, and what has gathered since the last look
    comes as one chunk.
    """
    tls = httpx.create_ssl_context(trust_env=False)

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=IDLE_S, ssl=tls, socket_factory=_make_socket
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("user-agent", "accept"),
        )

    return httpx.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # noqa: S113 the deadlines are set where the events are counted
        transport=AiohttpTransport(client=session),
        headers={"accept-encoding": "identity"},
    )


def _make_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket for an address as `getaddrinfo` gives them."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return made
