"""`/v1/responses`: the same events as Server-Sent Events, where upgrades are blocked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from protocol.codec import decode_object, encode, parse_object
from protocol.errors import EventError
from protocol.events import ResponseResumed
from protocol.messages import ResponseCreate
from protocol.positions import BEFORE_ALL, Position, parse_position
from server.answering.topics import Frame, Topic
from server.endpoints.errors import DATA_HEADERS
from server.endpoints.keep_alive import with_keep_alive
from server.endpoints.node import Node
from server.endpoints.principals import Principal, asked_by, asker_of
from server.endpoints.priorities import standing_of
from server.endpoints.rates import refusal
from server.endpoints.rest import HTTPEndpoint, guarded, read_body

MAX_WAITING_CHARS = 65_536
"""What may wait for a client that reads slowly; the rest waits in the topic."""

_STREAM_HEADERS = {**DATA_HEADERS, "X-Accel-Buffering": "no"}  # proxies must not collect events


def format_frame(frame: Frame) -> str:
    """Return a frame as SSE; its id is the resume position `epoch-sequence_number`."""
    return f"id: {frame.position}\nevent: {frame.kind}\ndata: {frame.text}\n\n"


def format_resumed(event: ResponseResumed) -> str:
    """Return what comes before the events of a resumed answer; it has no position."""
    return f"event: response.resumed\ndata: {encode(event)}\n\n"


class WaitingFrames:
    """Frames that wait to be sent."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._chars = 0
        self._changed = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether more may wait."""
        return self._chars < MAX_WAITING_CHARS

    def put(self, frame: Frame) -> None:
        """Take a frame."""
        self._frames.append(frame)
        self._chars += len(frame.text)
        self._changed.set()

    async def get(self) -> Frame:
        """Return the next frame."""
        while not self._frames:
            self._changed.clear()
            await self._changed.wait()
        frame = self._frames.popleft()
        self._chars -= len(frame.text)
        return frame


class AnswerResponse(StreamingResponse):
    """The events of an answer after a position; the answer outlives the request.

    The stream ends when who asked may not any more, as `stands` says.
    """

    def __init__(
        self,
        topic: Topic,
        after: Position,
        told: ResponseResumed | None = None,
        *,
        stands: Callable[[], bool] = lambda: True,
    ) -> None:
        stream = with_keep_alive(self._stream(), may_go_on=stands)
        super().__init__(stream, media_type="text/event-stream", headers=_STREAM_HEADERS)
        self._frames = WaitingFrames()
        self._told = told
        self._reader = topic.subscribe(self._frames, after)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._reader.close()

    async def _stream(self) -> AsyncIterator[str]:
        if self._told is not None:
            yield format_resumed(self._told)
        while True:
            frame = await self._frames.get()
            yield format_frame(frame)
            if frame.ends:
                return
            self._reader.pump()


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
        standing = standing_of(event, principal, address)
        answer = node.answering.start(event, asker_of(principal), standing)
        return AnswerResponse(answer.topic, BEFORE_ALL, stands=lambda: node.keys.stands(principal))

    return guarded(node, "user", endpoint)


def events_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `GET /v1/responses/{response_id}/events`."""

    async def endpoint(request: Request, principal: Principal) -> Response:
        written = request.headers.get("last-event-id")
        position = parse_position(written) if written else BEFORE_ALL
        response_id = str(request.path_params["response_id"])[:64]
        found = await node.resuming.open(response_id, position, asker_of(principal))
        if found.topic is None or found.topic.ends_by(position):
            body = format_resumed(found.told)
            return Response(body, media_type="text/event-stream", headers=_STREAM_HEADERS)
        return AnswerResponse(
            found.topic, position, found.told, stands=lambda: node.keys.stands(principal)
        )

    return guarded(node, "user", endpoint)


async def _read_event(request: Request, max_bytes: int) -> ResponseCreate:
    body = await read_body(request, max_bytes)
    event = decode_object(parse_object(body), default_type="response.create")
    if not isinstance(event, ResponseCreate):
        raise EventError("invalid_event", "Only response.create is taken here", param="type")
    return event
