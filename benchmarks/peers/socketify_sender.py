"""socketify, which is uWebSockets: a frame a token, each sent when it is due."""

from __future__ import annotations

import asyncio
import itertools

from socketify import App, AppListenOptions, OpCode, WebSocket

from benchmarks.peers.pace import arguments, frame, pause_s

tasks: dict[WebSocket, asyncio.Task[None]] = {}


async def answer(socket: WebSocket) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in itertools.count(1):
        socket.send(frame(number), OpCode.TEXT)
        await asyncio.sleep(pause_s(started, number, loop.time()))


def ask(socket: WebSocket, message: str, opcode: OpCode) -> None:
    tasks[socket] = asyncio.ensure_future(answer(socket))


def close(socket: WebSocket, code: int, message: object) -> None:
    task = tasks.pop(socket, None)
    if task is not None:
        task.cancel()


if __name__ == "__main__":
    app = App()
    app.ws("/", {"open": lambda socket: None, "message": ask, "close": close})
    app.listen(AppListenOptions(port=arguments.port, host="127.0.0.1"), lambda config: None)
    app.run()
