"""aiohttp: a frame a token, each sent when it is due."""

from __future__ import annotations

import asyncio
import itertools

import uvloop
from aiohttp import web

from benchmarks.peers.pace import arguments, frame, pause_s


async def answer(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    await socket.receive_str()
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in itertools.count(1):
        await socket.send_str(frame(number))
        await asyncio.sleep(pause_s(started, number, loop.time()))


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/", answer)
    web.run_app(
        app,
        host="127.0.0.1",
        port=arguments.port,
        print=None,
        access_log=None,
        loop=uvloop.new_event_loop(),
    )
