"""What the REST endpoints share: who may, what went wrong, JSON, bodies, filters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from protocol.errors import EventError
from server.endpoints.errors import DATA_HEADERS, error_response
from server.endpoints.node import Node
from server.endpoints.principals import Principal, Role
from server.endpoints.url_secrets import refuse_secrets
from server.storage.store import Filter, StoreUnavailableError
from server.telemetry.tracing import hear

HTTPEndpoint = Callable[[Request], Awaitable[Response]]
Handler = Callable[[Request, Principal], Awaitable[Response]]

MAX_FILTER_CHARS = 128
FIRST_YEAR, LAST_YEAR = 1971, 9000
"""Times beyond are slips, and arithmetic with them leaves the calendar."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime.min


def guarded(node: Node, role: Role, handler: Handler) -> HTTPEndpoint:
    """Return the endpoint that lets `role` and more in and turns errors into answers."""

    async def endpoint(request: Request) -> Response:
        hear(request.headers.get("traceparent", ""))
        try:
            refuse_secrets(request.query_params)
            if not node.origins.allows(
                request.headers.getlist("origin"), request.headers.get("host")
            ):
                raise EventError("forbidden", "This origin may not ask; the operator can add it")
            if node.keys.is_open and not node.origins.knows_host(request.headers.get("host")):
                raise EventError(
                    "forbidden", "This host name is not known here; list its origin in the origins"
                )
            return await handler(request, await _admit(node, request, role))
        except EventError as error:
            found = error
        except ClientDisconnect:  # before its body was whole: nobody reads this
            return Response(status_code=400)
        except StoreUnavailableError:
            found = EventError(
                "store_unavailable", "The store is away; try again", retry_after_ms=1000
            )
        node.metrics.count("errors_total", found.code)
        return error_response(found)

    return endpoint


async def _admit(node: Node, request: Request, role: Role) -> Principal:
    if not node.keys.is_open:
        principal = node.keys.of_connection(request)
        await node.rates.take_request(principal, node.address_of(request))
    try:
        return node.keys.require(request, role)
    except EventError as error:
        path = request.url.path
        for name, value in request.path_params.items():  # which may name a person
            path = path.replace(str(value), f"{{{name}}}")
        node.note_denied(error.code, path[:MAX_FILTER_CHARS], node.keys.of_connection(request))
        raise


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


def rfc3339(unix_ms: int) -> str:
    """Return a time as the filters take it, with its milliseconds."""
    moment = _EPOCH + timedelta(milliseconds=unix_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def checked_word(value: str, name: str) -> str:
    """Return a name of something; raises `EventError` for one that can name nothing."""
    if len(value) > MAX_FILTER_CHARS or "\x00" in value:
        message = f"`{name}` may have {MAX_FILTER_CHARS} characters, none of them NUL"
        raise EventError("invalid_event", message, param=name)
    return value


def _word(query: Mapping[str, str], name: str) -> str | None:
    value = query.get(name)
    return checked_word(value, name) if value else None


def _time(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        moment = _NEVER
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        message = f"`{name}` must be a date or time such as 2026-11-21"
        raise EventError("invalid_event", message, param=name)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


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
