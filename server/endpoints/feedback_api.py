"""Feedback over HTTP: one, many, and what was rejected of an answer."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from protocol.codec import decode_object, error_facts, parse_object
from protocol.errors import ERRORS, EventError
from protocol.messages import FeedbackCreate
from server.endpoints.node import Node
from server.endpoints.principals import Principal
from server.endpoints.rest import HTTPEndpoint, guarded, json_response, read_body
from server.endpoints.results import (
    MAX_BULK,
    BulkResult,
    BulkResults,
    Rejection,
    Rejections,
    Taken,
)
from server.storage.records import FeedbackRow

MAX_BULK_BYTES = 2 * 2**20


def create_feedback_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `POST /api/v1/feedback`: 201, or 200 for a duplicate."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        obj = parse_object(await read_body(request, node.max_body_bytes))
        result = await _take(node, obj, principal, request)
        return json_response(result, 200 if result.duplicate else 201)

    return guarded(node, "user", endpoint)


def bulk_feedback_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `POST /api/v1/feedback/bulk`: 207 with a result per item."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        obj = parse_object(await read_body(request, MAX_BULK_BYTES))
        events = obj.get("events")
        if not isinstance(events, list) or not 1 <= len(events) <= MAX_BULK:
            raise EventError(
                "invalid_event", f"`events` must hold 1 to {MAX_BULK} judgements", param="events"
            )
        results = await asyncio.gather(
            *(_take_one(node, item, principal, request) for item in events)
        )
        return json_response(BulkResults(results=tuple(results)), 207)

    return guarded(node, "user", endpoint)


def reject_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `POST /api/v1/content/{id}/reject`: a rejection of one answer.

    The body is a judgement without `type`, `action` and `response_id`; an `event_id` is made when
    there is none, which gives up the right to repeat it safely.
    """

    async def endpoint(request: Request, principal: Principal) -> Response:
        body = await read_body(request, node.max_body_bytes)
        obj = parse_object(body) if body.strip() else {}
        obj = {
            "event_id": str(uuid4()),
            **obj,
            "response_id": request.path_params["response_id"],
            "action": "reject",
        }
        result = await _take(node, obj, principal, request)
        if principal.may("annotator") and not node.keys.is_open and not result.duplicate:
            response_id = request.path_params["response_id"]
            await node.note("reject", principal, response_id=response_id, event_id=result.event_id)
        return json_response(result, 200 if result.duplicate else 201)

    return guarded(node, "user", endpoint)


def rejections_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `GET /api/v1/content/{id}/rejections`, oldest first."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        response_id = request.path_params["response_id"]
        rows = await node.feedback.store.feedback_of(response_id, principal.tenant)
        rejections = tuple(_shown(row) for row in rows if row.action == "reject")
        return json_response(Rejections(response_id=response_id, rejections=rejections))

    return guarded(node, "viewer", endpoint)


async def _take_one(node: Node, item: object, principal: Principal, request: Request) -> BulkResult:
    """Take one of many: its error is its result."""
    try:
        if not isinstance(item, dict):
            raise EventError("invalid_event", "A judgement must be an object", param="events")
        taken = await _take(node, item, principal, request)
    except EventError as error:
        node.metrics.count("errors_total", error.code)
        return BulkResult(status=ERRORS[error.code].http_status, error=error_facts(error))
    return BulkResult(
        status=200 if taken.duplicate else 201,
        event_id=taken.event_id,
        level=taken.level,
        duplicate=taken.duplicate,
    )


async def _take(node: Node, obj: dict[str, Any], principal: Principal, request: Request) -> Taken:
    event = decode_object(obj, default_type="feedback.create")
    if not isinstance(event, FeedbackCreate):
        raise EventError("invalid_event", "Only feedback.create is taken here", param="type")
    peer = request.client.host if request.client else ""
    try:
        ack = await node.feedback.take(
            event,
            user_id=principal.user_id,
            tenant=principal.tenant,
            principal=principal.name or peer,
        )
    except EventError as error:
        error.event_id = event.event_id
        raise
    node.metrics.count("feedback_total", event.action)
    return Taken(event_id=event.event_id, level=ack.level, duplicate=ack.duplicate)


def _shown(row: FeedbackRow) -> Rejection:
    return Rejection(
        event_id=row.event_id,
        item_id=row.item_id,
        tags=row.tags,
        comment=row.comment,
        metadata=row.metadata,
        occurred_at=row.occurred_at,
        received_at=row.received_at,
    )
