"""What can be wrong with a Redis, by kind, and which kinds mean that it is not there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

FaultKind = Literal[
    "unreachable",  # refused, reset, unknown host, a cluster without this slot
    "timeout",  # no reply in time, or no connection free
    "open",  # the breaker is open: not asked
    "loading",  # LOADING: reading its data set after a start
    "refused",  # NOAUTH, WRONGPASS, NOPERM
    "read_only",  # READONLY: a replica
    "moved",  # MOVED or ASK: a cluster addressed as a single server
    "out_of_memory",  # OOM: maxmemory reached and nothing may be evicted
    "misconfigured",  # MISCONF: it cannot save and therefore refuses writes
    "wrong_type",  # WRONGTYPE: somebody keeps something else at the key
    "reply",  # any other error reply, or bytes that are no reply
]

ABSENT: frozenset[FaultKind] = frozenset({"unreachable", "timeout", "loading"})
"""Kinds that say the server cannot serve anybody now; only these open the breaker."""


class StorageError(Exception):
    """A command did not succeed. Raised inside this package only; its ports degrade instead."""

    def __init__(self, kind: FaultKind, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind: FaultKind = kind
        self.detail = detail


_TYPES: tuple[tuple[type[Exception], FaultKind], ...] = (
    (BusyLoadingError, "loading"),
    (AuthenticationError, "refused"),
    (AuthorizationError, "refused"),
    (NoPermissionError, "refused"),
    (ReadOnlyError, "read_only"),
    (OutOfMemoryError, "out_of_memory"),
    (AskError, "moved"),  # and MovedError, its subclass
    (ClusterDownError, "unreachable"),
    (TryAgainError, "unreachable"),
    (RedisClusterException, "unreachable"),
    (RedisTimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (RedisConnectionError, "unreachable"),
    (OSError, "unreachable"),
)

_WORDS: tuple[tuple[str, FaultKind], ...] = (
    ("MISCONF", "misconfigured"),
    ("WRONGTYPE", "wrong_type"),
    ("LOADING", "loading"),
    ("OOM", "out_of_memory"),
    ("NOAUTH", "refused"),
    ("NOPERM", "refused"),
)

REDIS_ERRORS: tuple[type[Exception], ...] = (RedisError, RedisClusterException, OSError)
"""What the client library raises for anything that a server or a network can do."""


@contextmanager
def closing_as_loss() -> Iterator[None]:
    """Tell a transport that closed as we wrote, which uvloop calls a `RuntimeError`, as a loss."""
    try:
        yield
    except RuntimeError as error:
        if "closed" not in str(error):
            raise
        raise RedisConnectionError(str(error)) from error


def classify(error: Exception) -> FaultKind:
    """The kind of an error that the client library raised."""
    for error_type, kind in _TYPES:
        if isinstance(error, error_type):
            return kind
    text = str(error)
    for word, kind in _WORDS:
        if text.startswith(word):
            return kind
    return "reply"
