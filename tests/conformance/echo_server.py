"""Echoes messages behind the server's own WebSocket protocol class and settings.

For the conformance suite alone: it prints its port and serves until it is ended. The largest
message is 16 MiB, because the suite sends one; everything else is as `manicule serve` has it.
"""

import asyncio

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.config.settings import Settings
from server.serving import _Server, _uvicorn_config, listen
from server.telemetry.logs import configure_logs

MAX_FRAME_BYTES = 2**24


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            if message.get("text") is not None:
                await websocket.send_text(message["text"])
            else:
                await websocket.send_bytes(message["bytes"])
        except WebSocketDisconnect:  # closed since it was received
            return


async def main() -> None:
    configure_logs("warning", "json")
    settings = Settings(port=0, max_frame_bytes=MAX_FRAME_BYTES, max_frames_per_s=1_000_000)
    sock = listen(settings)
    app = Starlette(routes=[WebSocketRoute("/", echo)])
    print(sock.getsockname()[1], flush=True)
    await _Server(_uvicorn_config(app, settings)).serve(sockets=[sock])


if __name__ == "__main__":
    asyncio.run(main())
