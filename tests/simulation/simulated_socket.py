"""A WebSocket between a client and the real endpoint of a node, as ASGI sees it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any

from simulated_places import OUTSIDE, Place, at
from simulated_world import World

WINDOW = 40
"""Messages on their way to a client that does not read, after which its server waits."""

LONGEST_HALF_OPEN_S = 3.0
"""A server notices that a client is gone after at most so long: by a reset, or a ping."""


class SocketGoneError(Exception):
    """The socket is closed; `code` says how."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class SimulatedSocket:
    """One connection to the ASGI application at `place`. Both ways keep their order."""

    def __init__(self, world: World, place: Place, app: Callable[..., Any]) -> None:
        self._world = world
        self._place = place
        self._due = {"server": 0.0, "client": 0.0}
        self._under_way: dict[str, deque[Callable[[], None]]] = {
            "server": deque(),
            "client": deque(),
        }
        self._to_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._to_client: asyncio.Queue[dict[str, Any] | SocketGoneError] = asyncio.Queue()
        self._room = asyncio.Semaphore(WINDOW)
        self._is_cut = False
        self._gone: SocketGoneError | None = None
        self._to_server.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "path": "/ws",
            "headers": [(b"host", b"manicule.example")],
            "query_string": b"",
            "client": ("192.0.2.1", 50_000),
            "server": ("192.0.2.2", 443),
            "scheme": "wss",
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
            "state": {},
        }
        self.task = world.start(place, app(scope, self._receive, self._take), "connection")

    # The client's end

    def send(self, **event: object) -> None:
        """Send an event; whether it arrives is another matter."""
        if not self._is_cut:
            message = {"type": "websocket.receive", "text": json.dumps(event)}
            self._deliver("server", lambda: self._to_server.put_nowait(message))

    async def receive(self, within_s: float) -> dict[str, Any]:
        """The next event; raises `SocketGoneError`, also when nothing comes in time."""
        if self._gone is not None:
            raise self._gone
        try:
            async with asyncio.timeout(within_s):
                got = await self._to_client.get()
        except TimeoutError:
            got = SocketGoneError(0)
        if isinstance(got, SocketGoneError):
            self._gone = got
            raise got
        self._room.release()
        return got

    def cut(self) -> None:
        """Lose the connection and all that is on its way; the server hears of it later."""
        if self._is_cut:
            return
        self._is_cut = True
        self._to_client.put_nowait(SocketGoneError(1006))
        later_s = self._world.dice.uniform(0, LONGEST_HALF_OPEN_S)
        self._world.loop.call_later(later_s, self._hang_up, context=at(OUTSIDE))

    def _hang_up(self) -> None:
        self._room.release()
        self._to_server.put_nowait({"type": "websocket.disconnect", "code": 1006})

    # The server's end

    async def _receive(self) -> dict[str, Any]:
        return await self._to_server.get()

    async def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            await self._room.acquire()
            event = json.loads(message["text"])
            self._deliver("client", lambda: self._to_client.put_nowait(event))
        elif message["type"] == "websocket.close":
            code = message.get("code", 1000)
            self._deliver("client", lambda: self._to_client.put_nowait(SocketGoneError(code)))
        elif message["type"] == "websocket.http.response.start":
            self._deliver(
                "client", lambda: self._to_client.put_nowait(SocketGoneError(message["status"]))
            )

    def _deliver(self, end: str, put: Callable[[], None]) -> None:
        delay_s = self._world.dice.uniform(0.0001, 0.003)
        self._due[end] = due = max(self._due[end], self._world.loop.time() + delay_s)
        self._under_way[end].append(put)

        def arrive() -> None:
            first = self._under_way[end].popleft()  # whichever timer fires first
            if not self._is_cut:
                first()

        self._world.loop.call_at(due, arrive, context=at(OUTSIDE))
