"""Starlette on uvicorn: a frame a token, each sent when it is due."""

from __future__ import annotations

import asyncio
import itertools

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from benchmarks.peers.pace import arguments, frame, pause_s


async def answer(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in itertools.count(1):
        await websocket.send_text(frame(number))
        await asyncio.sleep(pause_s(started, number, loop.time()))


app = Starlette(routes=[WebSocketRoute("/", answer)])

if __name__ == "__main__":
    uvicorn.run(
        app,
        port=arguments.port,
        ws=arguments.protocol,
        ws_per_message_deflate=False,
        log_level="critical",
    )
