"""The least a Starlette application on uvicorn can be: it says hello.

What starts are compared with. It imports nothing else, not even what the benchmarks share.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def main() -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    @asynccontextmanager
    async def announcing(_: Starlette) -> AsyncIterator[None]:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        yield

    app = Starlette(routes=[Route("/", hello)], lifespan=announcing)
    config = uvicorn.Config(app, ws="websockets-sansio", log_level="error")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
