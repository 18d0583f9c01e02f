"""What the REST endpoints share: who may, what went wrong, JSON, bodies, filters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from protocol.errors import EventError
from server.endpoints.errors import DATA_HEADERS, error_response
from server.endpoints.node import Node
from server.endpoints.principals import Principal, Role
from server.storage.store import Filter, StoreUnavailableError

HTTPEndpoint = Callable[[Request], Awaitable[Response]]
Handler = Callable[[Request, Principal], Awaitable[Response]]

MAX_FILTER_CHARS = 128


def guarded(node: Node, role: Role, handler: Handler) -> HTTPEndpoint:
    """Return the endpoint that lets `role` and more in and turns errors into answers."""

    async def endpoint(request: Request) -> Response:
        try:
            if not node.origins.allows(
                request.headers.getlist("origin"), request.headers.get("host")
            ):
                raise EventError("forbidden", "This origin may not ask; the operator can add it")
            return await handler(request, node.keys.require(request, role))
        except EventError as error:
            found = error
        except StoreUnavailableError:
            found = EventError(
                "store_unavailable", "The store is away; try again", retry_after_ms=1000
            )
        node.metrics.count("errors_total", found.code)
        return error_response(found)

    return endpoint


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the body; raises `EventError("payload_too_large")` without reading on."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise EventError("payload_too_large", f"The body may have {max_bytes} bytes")
    return bytes(body)


def json_response(value: object, status: int = 200) -> Response:
    """Return `value`, which may hold frozen structs, as JSON that nothing keeps."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers=DATA_HEADERS,
    )


def filter_of(query: Mapping[str, str], tenant: str) -> Filter:
    """Return the filter that the query says; the tenant is the principal's.

    `since` and `until` are RFC 3339 dates or times. Raises `EventError` naming the field.
    """
    return Filter(
        tenant=tenant,
        since=_time(query, "since"),
        until=_time(query, "until"),
        product_id=_word(query, "product_id"),
        scenario=_word(query, "scenario"),
        prompt_version=_word(query, "prompt_version"),
        model=_word(query, "model"),
        arm=_word(query, "arm"),
        item_type=_word(query, "item_type"),
        user_id=_word(query, "user_id"),
        min_confidence=_fraction(query, "min_confidence"),
    )


def _word(query: Mapping[str, str], name: str) -> str | None:
    value = query.get(name) or None
    if value is not None and len(value) > MAX_FILTER_CHARS:
        raise EventError(
            "invalid_event", f"`{name}` may have {MAX_FILTER_CHARS} characters", param=name
        )
    return value


def _time(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise EventError(
            "invalid_event", f"`{name}` must be a date or time such as 2026-11-21", param=name
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _fraction(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise EventError("invalid_event", f"`{name}` must be between 0 and 1", param=name)
    return value
