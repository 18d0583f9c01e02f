"""`POST /v1/responses`: the same events as Server-Sent Events, where upgrades are blocked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from protocol.codec import decode_object, encode, parse_object
from protocol.errors import EventError
from protocol.events import TERMINAL_EVENTS, AnyAnswerEvent
from protocol.messages import ResponseCreate
from server.answering.running import RunningAnswer
from server.endpoints.errors import DATA_HEADERS
from server.endpoints.node import Node
from server.endpoints.principals import Principal, asked_by
from server.endpoints.rates import refusal
from server.endpoints.rest import HTTPEndpoint, guarded, read_body
from server.endpoints.standings import standing_of

_TERMINAL = tuple(TERMINAL_EVENTS.values())
_STREAM_HEADERS = {**DATA_HEADERS, "X-Accel-Buffering": "no"}  # proxies must not collect events


def format_event(event: AnyAnswerEvent) -> str:
    """Return the event as SSE; its id is the resume position `epoch-sequence_number`."""
    name = event.__struct_config__.tag
    position = f"{event.epoch}-{event.sequence_number}"
    return f"id: {position}\nevent: {name}\ndata: {encode(event)}\n\n"


class AnswerResponse(StreamingResponse):
    """The events of one answer; a client that goes away, however early, stops it."""

    def __init__(self, answer: RunningAnswer, events: asyncio.Queue[AnyAnswerEvent]) -> None:
        super().__init__(_stream(events), media_type="text/event-stream", headers=_STREAM_HEADERS)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.abandon()  # does nothing once the answer has ended


def create_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `POST /v1/responses`."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        if node.draining:
            raise EventError("draining", "The server is going away; ask elsewhere")
        event = asked_by(await _read_event(request, node.max_body_bytes), principal)
        address = node.address_of(request)
        refused = refusal(await node.rates.take_question(principal, address))
        if refused is not None:
            raise refused
        events: asyncio.Queue[AnyAnswerEvent] = asyncio.Queue()
        standing = standing_of(event, principal, address)
        answer = node.answering.start(event, events.put_nowait, principal.tenant, standing)
        return AnswerResponse(answer, events)

    return guarded(node, "user", endpoint)


def events_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `GET /v1/responses/{response_id}/events`."""

    async def endpoint(request: Request, _principal: Principal) -> Response:
        raise EventError(
            "response_not_found",
            "This server keeps no answer log; ask the question again",
            response_id=str(request.path_params["response_id"])[:64],
        )

    return guarded(node, "user", endpoint)


async def _read_event(request: Request, max_bytes: int) -> ResponseCreate:
    body = await read_body(request, max_bytes)
    event = decode_object(parse_object(body), default_type="response.create")
    if not isinstance(event, ResponseCreate):
        raise EventError("invalid_event", "Only response.create is taken here", param="type")
    return event


async def _stream(events: asyncio.Queue[AnyAnswerEvent]) -> AsyncIterator[str]:
    while True:
        event = await events.get()
        yield format_event(event)
        if isinstance(event, _TERMINAL):
            return
