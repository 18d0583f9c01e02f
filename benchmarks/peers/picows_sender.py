"""picows: a frame a token, each sent when it is due."""

from __future__ import annotations

import asyncio
import itertools

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.peers.pace import arguments, frame, pause_s


class Answering(WSListener):
    """One connection: the first frame is the question."""

    _task: asyncio.Task[None] | None = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Begin at the first frame."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif self._task is None:
            self._task = asyncio.create_task(self._answer(transport))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()

    async def _answer(self, transport: WSTransport) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number in itertools.count(1):
            transport.send(WSMsgType.TEXT, frame(number).encode())
            await asyncio.sleep(pause_s(started, number, loop.time()))


def accept(request: WSUpgradeRequest) -> WSListener:
    return Answering()


async def serve() -> None:
    server = await ws_create_server(accept, "127.0.0.1", arguments.port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
