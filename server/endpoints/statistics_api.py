"""Statistics and exports over HTTP, for the roles that may see them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields
from typing import get_args

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from protocol.errors import EventError
from server.datasets.files import ExportError
from server.datasets.formats import UnknownFormatError
from server.datasets.service import UnknownLineError, stream
from server.endpoints.errors import DATA_HEADERS
from server.endpoints.node import Node
from server.endpoints.principals import Principal
from server.endpoints.rest import (
    MAX_FILTER_CHARS,
    HTTPEndpoint,
    checked_word,
    filter_of,
    guarded,
    json_response,
    rfc3339,
)
from server.feedback.audit import Fact
from server.insights import service
from server.storage.store import Filter, GroupBy

_GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)


def acceptance_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `/api/rlhf/statistics/acceptance-rate`; `by` names groups."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        where = filter_of(request.query_params, principal.tenant)
        by = _groups(request.query_params.get("by", ""))
        return json_response(await service.acceptance(node.feedback.store, where, by))

    return guarded(node, "viewer", endpoint)


def by_type_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `/api/rlhf/statistics/by-type`."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        where = filter_of(request.query_params, principal.tenant)
        return json_response(await service.by_type(node.feedback.store, where))

    return guarded(node, "viewer", endpoint)


def trends_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `/api/rlhf/analytics/trends`; `every` is `day` or `week`."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        where = filter_of(request.query_params, principal.tenant)
        every = request.query_params.get("every", "day")
        if every not in ("day", "week"):
            raise EventError("invalid_event", "`every` must be day or week", param="every")
        try:
            found = await service.trends(
                node.feedback.store,
                where,
                now=_now_ms(node),
                every="week" if every == "week" else "day",
            )
        except ValueError as error:
            raise _bad_range(error) from None
        return json_response(found)

    return guarded(node, "viewer", endpoint)


def user_stats_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `/api/rlhf/analytics/user/{user_id}/stats`."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        where = filter_of(request.query_params, principal.tenant)
        user_id = checked_word(request.path_params["user_id"], "user_id")
        try:
            found = await service.user_stats(node.feedback.store, user_id, where, now=_now_ms(node))
        except ValueError as error:
            raise _bad_range(error) from None
        return json_response(found)

    return guarded(node, "annotator", endpoint)


def export_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `/api/rlhf/export/training-data`.

    `after` and `starting_after` resume, with the `until` that the response's header names.
    """

    async def endpoint(request: Request, principal: Principal) -> Response:
        query = request.query_params
        try:
            lines = stream(
                node.feedback.store,
                filter_of(query, principal.tenant),
                query.get("format", "openai-chat"),
                now=_now_ms(node),
                after=query.get("after", ""),
                starting_after=_sha256(query, "starting_after"),
            )
        except (UnknownFormatError, ExportError) as error:
            raise EventError("invalid_event", f"`format`: {error}", param="format") from None
        await node.note("export", principal, **_asked_for(query))
        pieces = aiter(lines)
        try:
            first = await anext(pieces, b"")  # a store that is away is an error, not half an export
        except UnknownLineError as error:
            raise EventError(
                "invalid_event", f"`starting_after`: {error}", param="starting_after"
            ) from None
        headers = {**DATA_HEADERS, "Export-Until": rfc3339(lines.until or _now_ms(node))}
        return StreamingResponse(
            _joined(first, pieces), media_type=lines.media_type, headers=headers
        )

    return guarded(node, "admin", endpoint)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _sha256(query: Mapping[str, str], name: str) -> str:
    text = query.get(name, "")
    if text and not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise EventError("invalid_event", f"`{name}` is a SHA-256, 64 digits", param=name)
    return text


def _groups(text: str) -> tuple[GroupBy, ...]:
    names = [name for name in text.split(",") if name]
    known = tuple(group for name in names for group in _GROUPS if group == name)
    if len(known) != len(names) or len(known) > 3:
        raise EventError(
            "invalid_event", f"`by` names at most three of {', '.join(_GROUPS)}", param="by"
        )
    return known


def _asked_for(query: Mapping[str, str]) -> dict[str, Fact]:
    """Return what the audit log holds of an export: its filters, but no person's id.

    The tenant is the principal's, whatever the query says.
    """
    asked: dict[str, Fact] = {"over": "http", "format": query.get("format", "openai-chat")}
    names = [one.name for one in fields(Filter) if one.name != "tenant"]
    names += ["after", "starting_after"]
    given = {name: query[name][:MAX_FILTER_CHARS] for name in names if query.get(name)}
    return asked | given | ({"user_id": "(one person)"} if "user_id" in given else {})


def _bad_range(error: ValueError) -> EventError:
    return EventError("invalid_event", f"`since`: {error}", param="since")


def _now_ms(node: Node) -> int:
    return int(node.wall_clock() * 1000)
