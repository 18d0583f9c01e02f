"""A small process that writes feedback, made to be killed.

It reads paths of unix sockets from its input. For each it forks a child that connects there, reads
encoded rows, one a line, writes them through a `Writer` to the SQLite file named on the command
line, and answers each with a line `ID LEVEL` once that is acknowledged. The child's process id is
printed first. Forking from a process that has imported everything makes a round take milliseconds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from protocol.errors import EventError
from server.feedback.writer import Writer
from server.storage.records import FeedbackRow, decode_row
from server.storage.sqlite_store import SqliteStore

TASKS: set[asyncio.Task] = set()


async def serve(store_path: str, socket_path: str) -> None:
    store = SqliteStore(Path(store_path))
    await store.open()
    writer = Writer(store, max_rows=50)
    writer.start()
    reader, answers = await asyncio.open_unix_connection(socket_path, limit=2**20)
    async for line in reader:
        row = decode_row(line)
        assert isinstance(row, FeedbackRow)
        task = asyncio.create_task(answer(writer, row, answers))
        TASKS.add(task)
        task.add_done_callback(TASKS.discard)
    await asyncio.gather(*TASKS)
    await writer.aclose()
    await store.aclose()
    answers.close()


async def answer(writer: Writer, row: FeedbackRow, answers: asyncio.StreamWriter) -> None:
    try:
        level = (await writer.submit(row)).level
    except EventError as error:
        level = error.code
    answers.write(f"{row.event_id} {level}\n".encode())


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(serve(sys.argv[1], line.strip()))
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
