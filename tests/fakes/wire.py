"""A client of the socket that takes nothing on trust: every frame must be a known event, whole."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import msgspec
from rig import TERMINAL, WAIT_S, check_answer
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from protocol.events import AnyServerEvent

DELTA = "response.output_text.delta"


def read_event(frame: str) -> dict:
    """The event in a frame, after checking that it is one of the vocabulary and nothing more."""
    assert isinstance(frame, str)
    assert "\n" not in frame
    event = json.loads(frame)
    known = msgspec.json.decode(frame, type=AnyServerEvent)
    assert json.loads(msgspec.json.encode(known)) == event
    return event


class Client:
    """One connection. `seen` holds every event so far."""

    def __init__(self, socket) -> None:
        self.socket = socket
        self.seen: list[dict] = []

    async def send(self, type_: str, **fields) -> None:
        await self.socket.send(json.dumps({"type": type_, **fields}))

    async def ask(self, text: str = "How do I change the battery?", **fields) -> None:
        fields.setdefault("product_id", "td-17")
        await self.send("response.create", input=text, **fields)

    async def next(self) -> dict:
        async with asyncio.timeout(WAIT_S):
            event = read_event(await self.socket.recv())
        self.seen.append(event)
        return event

    async def until(self, wanted) -> dict:
        """The first event that `wanted` (a type or a function) holds for, read or still to come."""
        test = wanted if callable(wanted) else lambda event: event["type"] == wanted
        for event in self.seen:
            if test(event):
                return event
        while True:
            event = await self.next()
            if test(event):
                return event

    async def answer(self, event_id: str) -> list[dict]:
        """All events of the answer to the question `event_id`, one legal answer."""
        created = await self.until(
            lambda e: e["type"] == "response.created" and e.get("event_id") == event_id
        )
        id_ = created["response"]["id"]
        await self.until(lambda e: e.get("response_id") == id_ and e["type"] in TERMINAL)
        events = [event for event in self.seen if event.get("response_id") == id_]
        check_answer(events)
        return events

    async def final(self, event_id: str) -> dict:
        """The final facts of the answer to the question `event_id`."""
        return (await self.answer(event_id))[-1]["response"]

    async def error(self, event_id: str | None = None) -> dict:
        """The next error, which must name `event_id`."""
        while True:
            event = await self.next()
            if event["type"] == "error":
                assert event["error"].get("event_id") == event_id
                return event["error"]

    async def closed(self) -> tuple[int, str]:
        """Read to the end; the close code and reason."""
        with suppress(ConnectionClosed):
            while True:
                await self.next()
        return self.socket.close_code, self.socket.close_reason


@asynccontextmanager
async def open_client(url: str, **options):
    """A client at `http://...`, its `session.created` read."""
    options.setdefault("subprotocols", ["manicule.v1"])
    address = options.pop("address", url.replace("http", "ws", 1) + "/ws")
    async with connect(address, proxy=None, open_timeout=WAIT_S, **options) as socket:
        client = Client(socket)
        first = await client.next()
        assert first["type"] == "session.created"
        yield client
