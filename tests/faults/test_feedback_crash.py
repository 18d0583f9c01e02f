"""A process that dies at any moment: what it acknowledged is in the file, once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from feedback_rig import feedback, until

from protocol.errors import EventError
from server.feedback.writer import Writer
from server.storage.records import encode_row
from server.storage.sqlite_store import SqliteStore
from server.storage.store import StoreUnavailableError

ROUNDS_S = 8.0
"""As many kills as fit into this time, and on a slow machine as many as `LEAST_ROUNDS`."""

LEAST_ROUNDS = 20


class Zygote:
    """The process of `feedback_process.py`, and one child of it at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "feedback_process.py"), "store.db"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        self.connections: asyncio.Queue = asyncio.Queue()
        self.rounds = 0

    async def child(self):
        """Start a child; its pid, reader and writer."""
        self.rounds += 1
        name = f"{self.rounds}.sock"
        server = await asyncio.start_unix_server(
            lambda *ends: self.connections.put(ends), self.folder / name
        )
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        pid = int(await asyncio.to_thread(self.process.stdout.readline))
        async with asyncio.timeout(30):
            reader, writer = await self.connections.get()
        server.close()
        return pid, reader, writer

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()


async def listen(reader, rows, obligations):
    """Note answers until the process is gone; a line that was cut off is no answer."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # killed while it was told
        async for line in reader:
            if line.endswith(b"\n"):
                event_id, level = line.decode().split()
                assert level == "committed"
                obligations.ack(rows[event_id], level)


async def test_f1_kill_at_any_moment(tmp_path, obligations):
    dice = random.Random(1)
    zygote = Zygote(tmp_path)
    try:
        deadline = time.monotonic() + ROUNDS_S
        while time.monotonic() < deadline or zygote.rounds < LEAST_ROUNDS:
            pid, reader, writer = await zygote.child()
            # What the last one left unanswered is sent again under the same ids.
            for row in [feedback() for _ in range(dice.randint(1, 200))]:
                obligations.send(row)
            unanswered = obligations.unanswered
            rows = {row.event_id: row for row in unanswered}
            writer.write(b"".join(encode_row(row) + b"\n" for row in unanswered))
            listening = asyncio.create_task(listen(reader, rows, obligations))
            await asyncio.sleep(dice.random() ** 2 * 0.05)
            os.kill(pid, signal.SIGKILL)
            await listening
            writer.close()
    finally:
        zygote.close()
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    acked = len(obligations.acked)
    assert await obligations.settle(store), str(await obligations.settle(store))
    writer = Writer(store)
    writer.start()
    await obligations.resend(writer)
    await writer.aclose()
    assert await obligations.settle(store)
    await store.aclose()
    print(f"{zygote.rounds} kills, {acked} acknowledged before one")
    assert acked > LEAST_ROUNDS / 2  # on a busy machine most are killed before they speak


async def test_f18_a_failed_sync_ends_the_writer_and_acknowledges_nothing(tmp_path, obligations):
    class Disk(SqliteStore):
        failing = False

        async def write(self, rows):
            if self.failing:
                self.failing = False
                raise StoreUnavailableError("disk", code="SQLITE_IOERR_FSYNC", permanent=True)
            return await super().write(rows)

    store = Disk(tmp_path / "store.db")
    await store.open()
    reasons = []
    writer = Writer(store, on_fatal=reasons.append)
    writer.start()
    await obligations.submit(writer, feedback())
    store.failing = True
    for _ in range(3):
        answer = await obligations.submit(writer, feedback())
        assert isinstance(answer, EventError)
    assert len(reasons) == 1
    assert "FSYNC" in reasons[0]
    assert not writer.working
    await writer.aclose()
    await store.aclose()
    again = Disk(tmp_path / "store.db")
    await again.open()
    writer = Writer(again)
    writer.start()
    await obligations.resend(writer)
    await writer.aclose()
    assert obligations.answers["committed"] == 4
    assert await obligations.settle(again)
    await again.aclose()


async def test_f18_a_full_disk_is_waited_out(tmp_path, obligations):
    """The file may not grow: SQLITE_FULL, as a full disk gives."""
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    writer = Writer(store, deadline_s=0.05)
    writer.start()
    await obligations.submit(writer, feedback())

    def bound(connection, pages):
        return connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()[0]

    used = await store._writer.run(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await store._writer.run(lambda c: bound(c, used))
    answers = [
        await obligations.submit(writer, feedback(comment="x" * 4000, metadata={}))
        for _ in range(3)
    ]
    assert {answer.code for answer in answers} == {"store_unavailable"}
    await store._writer.run(lambda c: bound(c, 1_000_000))
    await obligations.resend(writer)
    assert await obligations.settle(store)
    await writer.aclose()
    await store.aclose()


async def test_f19_a_damaged_file_is_noticed_and_never_written(tmp_path, obligations):
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    await store.open()
    writer = Writer(store)
    writer.start()
    await asyncio.gather(*(obligations.submit(writer, feedback()) for _ in range(500)))
    await writer.aclose()
    await store.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'feedback'"
        ).fetchone()[0]
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    data = bytearray(path.read_bytes())
    data[(root - 1) * page_size] ^= 0xFF
    path.write_bytes(data)
    store = SqliteStore(path)
    reasons = []
    writer = Writer(store, on_fatal=reasons.append)
    writer.start()
    await store.open()
    answer = await obligations.submit(writer, feedback())
    assert isinstance(answer, EventError)
    await until(lambda: reasons)
    assert "SQLITE_CORRUPT" in reasons[0]
    with pytest.raises(StoreUnavailableError):
        await store.feedback_of("anything", "acme")
    await writer.aclose()
    await store.aclose()
