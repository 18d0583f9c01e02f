"""A Redis by its URL: what the URL asks for, what a client may use, and the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from server.storage.faults import FaultKind

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient

TIMEOUT_S = 0.5
"""Longest wait for one ordinary command: long for a network, short for a person who waits."""

MAX_CONNECTIONS = 32
"""Per process. Commands wait their turn (within their time) rather than open more."""


def open_redis(
    url: str,
    *,
    timeout_s: float = TIMEOUT_S,
    max_connections: int = MAX_CONNECTIONS,
    on_fault: Callable[[FaultKind], None] = lambda kind: None,
) -> RedisClient:
    """Return a client for the Redis at `url`, to be closed by the caller; it connects when used.

    Raises `ValueError` for a URL that is none.
    """
    # redis-py takes 80 ms and 7 MiB, which a server that needs no Redis does not spend.
    from server.storage.redis_client import RedisClient

    return RedisClient(url, timeout_s=timeout_s, max_connections=max_connections, on_fault=on_fault)


def split_url(url: str) -> tuple[str, bool]:
    """A Redis URL without our cluster marks, and whether it asks for a cluster.

    `redis+cluster://`, `rediss+cluster://` and `?cluster=true` ask for one.
    """
    parts = urlsplit(url)
    scheme, _, mark = parts.scheme.partition("+")
    query = parse_qsl(parts.query)
    asked = mark == "cluster" or any(
        name == "cluster" and value.lower() in ("true", "1", "yes") for name, value in query
    )
    if not asked and "cluster=" not in parts.query:
        return url, False
    kept = urlencode([(name, value) for name, value in query if name != "cluster"])
    return urlunsplit((scheme, parts.netloc, parts.path, kept, "")), asked
