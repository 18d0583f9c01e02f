"""Errors over HTTP: the same codes as on the socket, with the status of the one table."""

from __future__ import annotations

from starlette.responses import Response

from protocol.codec import encode, error_event
from protocol.errors import ERRORS, EventError

# Headers of every answer that is data: never guessed at, never framed, never kept.
DATA_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


def error_response(error: EventError) -> Response:
    """Return the HTTP response that says `error`."""
    headers = dict(DATA_HEADERS)
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    if error.code == "payload_too_large":
        headers["Connection"] = "close"  # else the rest of the body is read to its end, if any
    return Response(
        encode(error_event(error)),
        status_code=ERRORS[error.code].http_status,
        media_type="application/json",
        headers=headers,
    )
