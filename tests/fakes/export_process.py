"""A process that exports, or serves an export, and can be killed where a test wants it.

`export STORE FOLDER STEP` stops for good at that report of progress, at the last one, or (with
`written`) when all files are complete and only their name is missing. `serve STORE` prints the
address of a CSV stream.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
from judgements import NOW_MS, interaction, judgement, uuid7
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from server.datasets import files, service
from server.storage.sqlite_store import SqliteStore
from server.storage.store import Filter

COUNT = 6000
NOW = NOW_MS + COUNT + 1


async def fill(store: SqliteStore) -> None:
    rows = []
    for index in range(COUNT):
        name = f"r{index}"
        rows.append(
            interaction(response_id=name, question=f"What is {index}?", answer=f"{index}. " * 20)
        )
        rows.append(judgement(event_id=uuid7(NOW_MS + index, index), response_id=name))
        if len(rows) >= 1000:
            await store.write(rows)
            rows = []
    await store.write(rows)


def stop() -> None:
    print("stopped", flush=True)
    sys.stdin.read()


async def run_export(path: Path, folder: Path, step: str) -> None:
    store = SqliteStore(path)
    await store.open()
    reports = 0

    def on_progress(progress: service.Progress) -> None:
        nonlocal reports
        reports += 1
        if str(reports) == step or (step == "last" and progress.judgements == COUNT):
            stop()

    if step == "written":
        files.Outbox.publish = lambda *_: stop()
    service.BUFFER_BYTES = 64 * 1024
    await service.export(
        store, Filter(), "openai-chat", "80/10/10", folder,
        now=NOW, version="1", on_progress=on_progress,
    )  # fmt: skip


def serve(path: Path) -> None:
    store = SqliteStore(path)

    async def give(request: Request) -> StreamingResponse:
        await store.open()
        made = service.stream(store, Filter(), "csv", now=NOW)
        return StreamingResponse(made, media_type=made.media_type)

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # before its address is told
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    app = Starlette(routes=[Route("/", give)])
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


if __name__ == "__main__":
    if sys.argv[1] == "export":
        asyncio.run(run_export(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
    else:
        serve(Path(sys.argv[2]))
