"""A tiny server that speaks the protocol over real sockets, and the command line as a process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

Event = dict[str, Any]
WAIT_S = 20.0
SESSION = {"type": "session.created", "session": {"id": "sess_1", "protocol": "manicule.v1"}}
PRODUCTS = [
    {"id": "td-17", "name": "TD-17", "brand": "Korven", "category": "Drums", "score": 0.98,
     "manual": {"available": True, "cached": False}},
    {"id": "td-17kvx2", "name": "TD-17KVX2", "brand": "Korven", "category": "Drums", "score": 0.9,
     "manual": {"available": False, "cached": False}},
]  # fmt: skip


def final(status: str, **facts: Any) -> Event:
    """A terminal event."""
    response = {
        "id": "resp_1", "status": status, "model": "scripted", "confidence": 0.82,
        "guidance": "answer", "usage": {"input_tokens": 10, "output_tokens": 5, "estimated": True},
        "cost_usd": None, "cache": {"manual": "fetched", "answer": "miss"}, "fallback": None,
        "timing_ms": {"manual": 1.0, "retrieval": 1.0, "first_token": 12.0, "total": 34.5},
    }  # fmt: skip
    return {"type": f"response.{status}", "response_id": "resp_1", "response": response | facts}


@dataclass
class FakeServer:
    """Answers searches with `products` and questions with `events`, then waits for a cancel."""

    url: str = ""
    products: list[Event] = field(default_factory=lambda: [dict(each) for each in PRODUCTS])
    events: list[Event] = field(default_factory=list)
    refusal: Event | None = None
    close_after_events: bool = False
    greeting: str = json.dumps(SESSION)
    received: list[Event] = field(default_factory=list)

    async def handle(self, socket: ServerConnection) -> None:
        await socket.send(self.greeting)
        async for frame in socket:
            event = json.loads(frame)
            self.received.append(event)
            await self._answer(socket, event)

    async def _answer(self, socket: ServerConnection, event: Event) -> None:
        match event["type"]:
            case "catalog.search":
                answer = {"type": "catalog.results", "products": self.products}
                await socket.send(json.dumps(answer | {"event_id": event["event_id"]}))
            case "response.create" if self.refusal:
                facts = self.refusal | {"event_id": event["event_id"]}
                await socket.send(json.dumps({"type": "error", "error": facts}))
            case "response.create":
                for number, each in enumerate(self.events):
                    position = {"response_id": "resp_1", "epoch": 1, "sequence_number": number}
                    await socket.send(json.dumps(position | each))
                if self.close_after_events:
                    await socket.close(1001, "going away")
            case "response.cancel":
                await socket.send(json.dumps(final("cancelled")))

    def sent(self, kind: str) -> list[Event]:
        """What the client sent of this type."""
        return [event for event in self.received if event["type"] == kind]

    # The answer, step by step

    def begin(self) -> None:
        self.events.append({"type": "response.created", "response": {"id": "resp_1"}})

    def progress(self, stage: str, **fields: Any) -> None:
        self.events.append({"type": "response.in_progress", "stage": stage, **fields})

    def say(self, text: str) -> None:
        self.events.append({"type": "response.output_text.delta", "delta": text})

    def mark(self, kind: str, **fields: Any) -> None:
        item = {"type": kind, "id": "i", "offset": 0, **fields}
        self.events.append({"type": "response.output_item.done", "item": item})

    def end(self, status: str = "completed", **facts: Any) -> None:
        self.events.append(final(status, **facts))


@pytest.fixture
async def fake_server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    async with serve(fake.handle, "127.0.0.1", 0, subprotocols=["manicule.v1"]) as server:  # type: ignore[list-item]
        port = server.sockets[0].getsockname()[1]
        fake.url = f"ws://127.0.0.1:{port}/ws"
        yield fake


@dataclass(frozen=True)
class Done:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


def environment(**extra: str) -> dict[str, str]:
    """The environment without anybody's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MANICULE_")}
    kept["COLUMNS"] = "120"  # whatever runs the tests may have set its own width
    return kept | {"PYTHONPATH": str(Path(__file__).parents[3])} | extra


@asynccontextmanager
async def started(
    *words: str, folder: Path, **extra: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the command line; it is ended with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, cwd=folder, env=environment(**extra),
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Any]:
    """Start the command line in an empty folder: `async with start("serve") as process`."""
    return lambda *words, **extra: started(*words, folder=tmp_path, **extra)


@pytest.fixture
def manicule(tmp_path: Path) -> Callable[..., Any]:
    """Run the command line in an empty folder: `await manicule("ask", ...)` gives a `Done`."""

    async def run(*words: str, **extra: str) -> Done:
        async with started(*words, folder=tmp_path, **extra) as process:
            out, err = await asyncio.wait_for(process.communicate(), WAIT_S)
            return Done(process.returncode or 0, out.decode(), err.decode())

    return run
