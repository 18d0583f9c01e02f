"""The one table of error codes and the one of close codes: what each means and whether to retry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

ErrorCode = Literal[
    "invalid_json",
    "invalid_event",
    "unknown_type",
    "payload_too_large",
    "unauthorized",
    "forbidden",
    "product_not_found",
    "scenario_not_found",
    "response_not_found",
    "response_expired",
    "invalid_receipt",
    "conflict",
    "rate_limited",
    "too_many_responses",
    "overloaded",
    "draining",
    "upstream_error",
    "upstream_timeout",
    "deadline_exceeded",
    "store_unavailable",
    "internal_error",
]

Fault = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One code: who has to change something, whether the same event may be sent again, and why."""

    fault: Fault
    retryable: bool
    meaning: str
    http_status: int


ERRORS: dict[ErrorCode, ErrorRow] = {
    "invalid_json": ErrorRow("client", False, "The frame is not one JSON object.", 400),
    "invalid_event": ErrorRow("client", False, "A field is missing or out of its range.", 400),
    "unknown_type": ErrorRow("client", False, "No event has this type.", 400),
    "payload_too_large": ErrorRow("client", False, "The frame or body exceeds its limit.", 413),
    "unauthorized": ErrorRow("client", False, "No valid credentials.", 401),
    "forbidden": ErrorRow("client", False, "These credentials do not allow it.", 403),
    "product_not_found": ErrorRow("client", False, "The catalog has no such product.", 404),
    "scenario_not_found": ErrorRow("client", False, "No prompt has this scenario.", 404),
    "response_not_found": ErrorRow("client", False, "No such answer, or not yours.", 404),
    "response_expired": ErrorRow("client", False, "The answer is no longer kept.", 410),
    "invalid_receipt": ErrorRow("client", False, "The receipt was not signed by us.", 400),
    "conflict": ErrorRow("client", False, "The id was used before with other content.", 409),
    "rate_limited": ErrorRow("client", True, "Too many requests; wait and send again.", 429),
    "too_many_responses": ErrorRow("client", True, "Too many answers are running.", 429),
    "overloaded": ErrorRow("server", True, "The server is full; try again or elsewhere.", 503),
    "draining": ErrorRow("server", True, "The server is going away; connect again.", 503),
    "upstream_error": ErrorRow("server", True, "The model could not answer.", 502),
    "upstream_timeout": ErrorRow("server", True, "The model did not answer in time.", 504),
    "deadline_exceeded": ErrorRow("server", True, "The answer took longer than allowed.", 504),
    "store_unavailable": ErrorRow("server", True, "It could not be stored; keep it.", 503),
    "internal_error": ErrorRow("server", True, "A fault of the server; it has been logged.", 500),
}


class CloseCode(IntEnum):
    """Why the server closes a socket. Codes from 4400 on: do not reconnect at once."""

    GOING_AWAY = 1001
    TOO_LARGE = 1009
    OVERLOADED = 1013
    SLOW_CONSUMER = 4008
    INSUFFICIENT_STATE = 4010
    BAD_TOKEN = 4401
    FORBIDDEN = 4403
    RATE = 4429
    TOO_MANY_ERRORS = 4509


class EventError(Exception):
    """A client event cannot be served. Becomes an `error` event; the socket stays open.

    `message` says what to do. `param` names the field, `event_id` and `response_id` what it is
    about. Never carries a stack or an upstream body.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        param: str | None = None,
        event_id: str | None = None,
        response_id: str | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.param = param
        self.event_id = event_id
        self.response_id = response_id
        self.retry_after_ms = retry_after_ms

    @property
    def retryable(self) -> bool:
        """Whether the same event may be sent again, from the table."""
        return ERRORS[self.code].retryable
