"""What an upstream's statuses and error objects mean, as `UpstreamError`.

No message carries anything that the upstream wrote, since that may hold the request or a key.
"""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime

from server.llm.port import UpstreamError, UpstreamErrorKind

MAX_RETRY_AFTER_S = 86_400.0
"""A provider that asks for more than a day is taken to mean a day."""

_HINTS = {
    400: "it did not accept the request; check the model's name and the key",
    401: "it did not accept the key",
    402: "the account has no credit",
    403: "the key may not use this model",
    404: "there is no such model or address",
    413: "the request is too large for it",
}

_KINDS_BY_NAME: dict[str, UpstreamErrorKind] = {
    "resource_exhausted": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "rate_limit_error": "rate_limited",
    "insufficient_quota": "rate_limited",
    "deadline_exceeded": "timeout",
    "invalid_argument": "refused",
    "invalid_request_error": "refused",
    "invalid_api_key": "refused",
    "authentication_error": "refused",
    "unauthenticated": "refused",
    "permission_denied": "refused",
    "not_found": "refused",
    "model_not_found": "refused",
    "failed_precondition": "refused",
    "context_length_exceeded": "refused",
}


def parse_retry_after(value: str | None, now_s: float) -> float | None:
    """Seconds to wait, from a `Retry-After` of seconds or a date; None when it says nothing.

    `now_s` is Unix time, needed for dates.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now_s
        except (ValueError, OverflowError):
            return None
    if not math.isfinite(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def kind_of_status(status: int) -> UpstreamErrorKind:
    """The kind of failure that an HTTP status other than success stands for."""
    if status == 429:
        return "rate_limited"
    if status in (408, 504):
        return "timeout"
    if status >= 500:
        return "server"
    return "refused"


def error_from_status(status: int, retry_after_s: float | None = None) -> UpstreamError:
    """The error for a response that is not a success."""
    kind = kind_of_status(status)
    hint = _HINTS.get(status) if kind == "refused" else None
    message = f"the model's server answered {status}" + (f": {hint}" if hint else "")
    return UpstreamError(kind, message, status=status, retry_after_s=retry_after_s)


def error_from_object(error: object) -> UpstreamError:
    """The error for an error object inside a stream, as Gemini and OpenAI-like servers send it.

    Its `code` (number or name), `status` and `type` are looked at, its words never.
    """
    fields = error if isinstance(error, dict) else {}
    values = [fields.get(name) for name in ("code", "status", "type")]
    for value in values:
        if isinstance(value, str) and value.lower() in _KINDS_BY_NAME:
            return _reported(_KINDS_BY_NAME[value.lower()])
    for value in values:
        status = int(value) if isinstance(value, str) and value.isdigit() else value
        if isinstance(status, int) and 400 <= status < 600:
            return _reported(kind_of_status(status), status)
    return _reported("server")


def _reported(kind: UpstreamErrorKind, status: int | None = None) -> UpstreamError:
    message = "the model's server reported an error inside its stream"
    return UpstreamError(kind, message, status=status)
