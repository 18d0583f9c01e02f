"""A server for the client's tests that does what it is told, also what no server should."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import manicule
from protocol.events import (
    CacheFacts,
    FinalResponse,
    Limits,
    OutputTextDelta,
    PromptRef,
    ResponseCompleted,
    ResponseCreated,
    SessionCreated,
    SessionFacts,
    StartedResponse,
    Timing,
    Usage,
)

Event = dict[str, Any]
WAIT_S = 20.0
PROMPT = PromptRef(name="answer", version="1")


def final_response(response_id: str = "resp_1", text: str = "") -> FinalResponse:
    """The final facts of an answer."""
    return FinalResponse(
        id=response_id, status="completed", output_text=text, items=(), model="scripted",
        prompt=PROMPT, experiment=None, finish_reason="stop", confidence=0.8, is_confused=False,
        guidance="answer", cost_usd=None, fallback=None, receipt=f"receipt of {response_id}",
        usage=Usage(input_tokens=1, output_tokens=1, cached_tokens=0, estimated=True),
        cache=CacheFacts(manual="memory", answer="miss"),
        timing_ms=Timing(manual=0, retrieval=0, first_token=0, total=1),
    )  # fmt: skip


class Answering:
    """The events of one answer of a `ToldServer`."""

    def __init__(self, response_id: str, *, resumable: bool = False) -> None:
        self.id = response_id
        self.resumable = resumable
        self._number = -1

    def _position(self) -> dict:
        self._number += 1
        return {"response_id": self.id, "epoch": 1, "sequence_number": self._number}

    def created(self, event_id: str) -> Event:
        started = StartedResponse(
            id=self.id, status="in_progress", task="answer", product_id="td-17",
            scenario="general", created_at=1, prompt=PROMPT, experiment=None,
            resumable=self.resumable,
        )  # fmt: skip
        return plain(ResponseCreated(**self._position(), response=started, event_id=event_id))

    def delta(self, text: str) -> Event:
        return plain(OutputTextDelta(**self._position(), delta=text))

    def completed(self, text: str) -> Event:
        response = final_response(self.id, text)
        return plain(ResponseCompleted(**self._position(), response=response))


def plain(event) -> Event:
    """The event as the object that goes over the wire."""
    return json.loads(msgspec.json.encode(event))


Handler = Callable[["ToldServer", ServerConnection, Event], Awaitable[None]]


@dataclass
class ToldServer:
    """Speaks the protocol as far as `on` says: a handler for each type of client event.

    `received` holds what came, as (number of the connection, event).
    """

    url: str = ""
    on: dict[str, Handler] = field(default_factory=dict)
    limits: Limits = field(
        default_factory=lambda: Limits(
            max_frame_bytes=65536, max_input_chars=4000, max_concurrent_responses=8,
            requests_per_minute=60,
        )
    )  # fmt: skip
    greet: Handler | None = None
    connections: list[ServerConnection] = field(default_factory=list)
    received: list[tuple[int, Event]] = field(default_factory=list)
    refuse_with: int | None = None
    tries: int = 0

    async def handle(self, socket: ServerConnection) -> None:
        self.connections.append(socket)
        number = len(self.connections)
        facts = SessionFacts(
            id=f"sess_{number}", protocol="manicule.v1", server_version="0", resumable=False,
            scenarios=("general",), limits=self.limits, ping_interval_s=20,
        )  # fmt: skip
        try:
            await self.send(socket, plain(SessionCreated(session=facts)))
            if self.greet is not None:
                await self.greet(self, socket, {"number": number})
            async for frame in socket:
                event = json.loads(frame)
                self.received.append((number, event))
                handler = self.on.get(event["type"])
                if handler is not None:
                    await handler(self, socket, event)
        except ConnectionClosed:
            return

    def refuse(self, socket: ServerConnection, _request):
        self.tries += 1
        return socket.respond(self.refuse_with, "no") if self.refuse_with else None

    @staticmethod
    async def send(socket: ServerConnection, event: Event) -> None:
        await socket.send(json.dumps(event))

    def events(self, kind: str, connection: int | None = None) -> list[Event]:
        """What came of this type, on one connection or on all."""
        return [
            event
            for number, event in self.received
            if event["type"] == kind and connection in (None, number)
        ]


@asynccontextmanager
async def told_server(port: int = 0) -> AsyncIterator[ToldServer]:
    """A server that acknowledges feedback and finds nothing, until told otherwise."""
    told = ToldServer(on={"feedback.create": acknowledge, "catalog.search": find_nothing})
    async with serve(
        told.handle, "127.0.0.1", port, subprotocols=["manicule.v1"], process_request=told.refuse
    ) as listening:
        told.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/ws"
        yield told


async def acknowledge(told: ToldServer, socket: ServerConnection, event: Event) -> None:
    ack = {"type": "feedback.acknowledged", "event_id": event["event_id"], "level": "committed"}
    await told.send(socket, ack | {"duplicate": False})


async def find_nothing(told: ToldServer, socket: ServerConnection, event: Event) -> None:
    results = {"type": "catalog.results", "event_id": event["event_id"], "products": []}
    await told.send(socket, results)


async def be_silent(told: ToldServer, socket: ServerConnection, event: Event) -> None:
    """Take the event and say nothing."""


def refuse_with(code: str, *, retryable: bool, **more: Any) -> Handler:
    """A handler that answers with an error."""

    async def refuse(told: ToldServer, socket: ServerConnection, event: Event) -> None:
        facts = {"code": code, "message": "No.", "retryable": retryable, **more}
        await told.send(socket, {"type": "error", "error": facts | {"event_id": event["event_id"]}})

    return refuse


async def until(check: Callable[[], Any], what: str = "the awaited state") -> None:
    """Wait for a state; time only bounds the wait."""
    deadline = time.monotonic() + WAIT_S
    while not check():
        assert time.monotonic() < deadline, f"{what} did not come"
        await asyncio.sleep(0.002)


@dataclass
class Sleeps:
    """The sleeps that a client asked for, in seconds; none of them lasts."""

    asked: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)

    @property
    def environment(self) -> manicule.Environment:
        """Dice that always show a half, and these sleeps."""
        return manicule.Environment(dice=lambda: 0.5, sleep=self)
