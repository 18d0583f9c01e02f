"""What redis-py raises, and the kind of fault that each error is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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

from server.storage.faults import FaultKind

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
