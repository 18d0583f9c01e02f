"""Feedback over HTTP: one, many, and what was rejected of an answer."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from protocol.codec import decode_object, error_facts, parse_object
from protocol.errors import ERRORS, EventError
from protocol.messages import FeedbackCreate
from server.endpoints.node import Node
from server.endpoints.principals import Principal
from server.endpoints.rest import HTTPEndpoint, guarded, json_response, read_body
from server.storage.records import FeedbackRow

MAX_BULK = 500  # what a group commit takes in one go, and what a person selects at most
MAX_BULK_BYTES = 2 * 2**20


def create_feedback_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `POST /api/v1/feedback`: 201, or 200 for a duplicate."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        obj = parse_object(await read_body(request, node.max_body_bytes))
        result = await _take(node, obj, principal, request)
        return json_response(result, 200 if result["duplicate"] else 201)

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
        return json_response({"results": results}, 207)

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
        return json_response(result, 200 if result["duplicate"] else 201)

    return guarded(node, "user", endpoint)


def rejections_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `GET /api/v1/content/{id}/rejections`, oldest first."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        response_id = request.path_params["response_id"]
        rows = await node.feedback.store.feedback_of(response_id, principal.tenant)
        rejections = [_shown(row) for row in rows if row.action == "reject"]
        return json_response({"response_id": response_id, "rejections": rejections}, 200)

    return guarded(node, "viewer", endpoint)


async def _take_one(
    node: Node, item: object, principal: Principal, request: Request
) -> dict[str, Any]:
    """Take one of many: its error is its result."""
    try:
        if not isinstance(item, dict):
            raise EventError("invalid_event", "A judgement must be an object", param="events")
        result = await _take(node, item, principal, request)
        return {"status": 200 if result["duplicate"] else 201, **result}
    except EventError as error:
        node.metrics.count("errors_total", error.code)
        facts = msgspec.to_builtins(error_facts(error))
        return {"status": ERRORS[error.code].http_status, "error": facts}


async def _take(
    node: Node, obj: dict[str, Any], principal: Principal, request: Request
) -> dict[str, Any]:
    event = decode_object(obj, default_type="feedback.create")
    if not isinstance(event, FeedbackCreate):
        raise EventError("invalid_event", "Only feedback.create is taken here", param="type")
    peer = request.client.host if request.client else ""
    try:
        ack = await node.feedback.take(
            event, user_id=None, tenant=principal.tenant, principal=principal.name or peer
        )
    except EventError as error:
        error.event_id = event.event_id
        raise
    node.metrics.count("feedback_total", event.action)
    return {"event_id": event.event_id, "level": ack.level, "duplicate": ack.duplicate}


def _shown(row: FeedbackRow) -> dict[str, Any]:
    return {
        "event_id": row.event_id,
        "item_id": row.item_id,
        "tags": row.tags,
        "comment": row.comment,
        "metadata": row.metadata,
        "occurred_at": row.occurred_at,
        "received_at": row.received_at,
    }
