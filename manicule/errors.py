"""What goes wrong between a client and a server, as one family of exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Error(Exception):
    """Base of all errors of this package, and what a server's `error` event becomes.

    `code` is one of the protocol's error codes (docs/protocol.md, section 4) or a name that a
    subclass gives. `retryable` says whether the same request may be sent again, after
    `retry_after_ms` when that is known. `param` names the field that is wrong, `event_id` the
    request and `response_id` the answer.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after_ms: int | None = None,
        param: str | None = None,
        event_id: str | None = None,
        response_id: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms
        self.param = param
        self.event_id = event_id
        self.response_id = response_id


class CannotConnectError(Error):
    """There is no server there, or none that speaks the protocol. The message says what to do."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__("cannot_connect", message, retryable=retryable)

    def __str__(self) -> str:
        return self.message


class ConnectionLostError(Error):
    """The connection ended before the answer to a request did; `close_code` as the server gave it.

    A lost answer may have been written to its end on the server; asking again asks anew.
    """

    def __init__(self, message: str, close_code: int | None = None) -> None:
        super().__init__("connection_lost", message, retryable=True)
        self.close_code = close_code

    def __str__(self) -> str:
        return self.message


class OutboxError(Error):
    """The outbox cannot be read or written, so this feedback was not taken."""

    def __init__(self, message: str) -> None:
        super().__init__("outbox_unavailable", message, retryable=True)


class OutboxFullError(Error):
    """The outbox holds as much as it may, so this feedback was not taken; nothing was dropped."""

    def __init__(self, message: str) -> None:
        super().__init__("outbox_full", message, retryable=True)


def error_of(facts: object) -> Error:
    """Return the error that the `error` field of a server's event tells of, whatever it holds."""
    given: Mapping[str, Any] = facts if isinstance(facts, Mapping) else {}
    wait_ms = given.get("retry_after_ms")
    return Error(
        str(given.get("code", "error")),
        str(given.get("message", "")),
        retryable=given.get("retryable") is True,
        retry_after_ms=wait_ms if isinstance(wait_ms, int) else None,
        param=_text(given.get("param")),
        event_id=_text(given.get("event_id")),
        response_id=_text(given.get("response_id")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
