"""An outbox in a SQLite file: what waits survives the process that wrote it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, NamedTuple, TypeVar

from manicule.errors import Error, OutboxError
from manicule.outbox import MAX_OUTBOX_BYTES, Entry, refusal

BUSY_S: Final = 5.0
"""Longest wait for another process that writes to the same file."""
MAX_BATCH: Final = 256
"""Calls that share one transaction, and so one sync of the disk."""
APPLICATION_ID: Final = 1_835_101_801
"""`mani` in ASCII: what the file says it is, so that no other database is taken for an outbox."""

_SCHEMA: Final = """
CREATE TABLE waiting (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    frame TEXT NOT NULL
);
CREATE TABLE totals (entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE TRIGGER added AFTER INSERT ON waiting BEGIN
    UPDATE totals SET entries = entries + 1,
        bytes = bytes + LENGTH(CAST(NEW.frame AS BLOB));
END;
CREATE TRIGGER removed AFTER DELETE ON waiting BEGIN
    UPDATE totals SET entries = entries - 1,
        bytes = bytes - LENGTH(CAST(OLD.frame AS BLOB));
END;
PRAGMA application_id = 1835101801;
PRAGMA user_version = 1;
"""

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Any]


class _Job(NamedTuple):
    work: Work
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop

    def settle(self, outcome: object) -> None:
        """Tell the caller, in its own thread, unless it went away."""
        with contextlib.suppress(RuntimeError):  # its loop is closed
            self.loop.call_soon_threadsafe(_settle, self.future, outcome)


class SqliteOutbox:
    """An outbox in the file at `path`, used by a thread of its own.

    Several processes may share the file: each then sends what any of them added, which the
    server takes once. Calls made at the same time share one transaction.
    """

    def __init__(self, path: Path | str, max_bytes: int = MAX_OUTBOX_BYTES) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._count = 0

    @property
    def count(self) -> int:
        """How many events wait, as of the last call."""
        return self._count

    async def open(self) -> None:
        """Open the file, or make it for this user alone; raises `OutboxError`."""
        ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        first = _Job(lambda connection: None, ready, asyncio.get_running_loop())
        self._thread = Thread(target=self._run, args=(first,), name="outbox", daemon=True)
        self._thread.start()
        await ready

    async def add(self, event_id: str, frame: str) -> None:
        """Keep an event; when this returns it is on the disk. Raises `OutboxFullError`."""
        await self._submit(partial(_add, event_id, frame, self._max_bytes))

    async def remove(self, event_ids: Sequence[str]) -> None:
        """Forget these events."""
        await self._submit(partial(_remove, list(event_ids)))

    async def after(self, position: int, limit: int) -> list[Entry]:
        """Return up to `limit` events after `position`, in order."""
        return await self._submit(partial(_after, position, limit))

    async def aclose(self) -> None:
        """Finish what was called before, and close the file."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    async def _submit(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._thread is None:
            raise OutboxError("the outbox is closed")
        loop = asyncio.get_running_loop()
        job = _Job(work, loop.create_future(), loop)
        self._jobs.put(job)
        result: Result = await job.future
        return result

    def _run(self, first: _Job) -> None:
        try:
            connection = _open(self._path)
        except (OSError, sqlite3.Error, OutboxError) as error:
            first.settle(_told(error, self._path))
            for job in iter(self._jobs.get, None):
                job.settle(_told(error, self._path))
            return
        batch: list[_Job] | None = [first]
        while batch:
            self._transact(connection, batch)
            batch = self._next_batch()
        connection.close()

    def _next_batch(self) -> list[_Job]:
        """Wait for a call and return it with those behind it; empty at the end."""
        job = self._jobs.get()
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == MAX_BATCH:
                return batch
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return batch
        if batch:
            self._jobs.put(None)  # the end is for the next turn
        return batch

    def _transact(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        outcomes: list[object] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in batch:
                try:
                    outcomes.append(job.work(connection))
                except Error as error:  # only this call's: it changed nothing
                    outcomes.append(error)
            [self._count] = connection.execute("SELECT entries FROM totals").fetchone()
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            outcomes = [_told(error, self._path) for _ in batch]
        for job, outcome in zip(batch, outcomes, strict=True):
            job.settle(outcome)


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        [kind] = connection.execute("PRAGMA application_id").fetchone()
        [objects] = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        if kind != APPLICATION_ID:
            if objects:
                raise OutboxError(f"{path} is another program's database; name another file")
            for statement in _statements(_SCHEMA):
                connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _statements(script: str) -> list[str]:
    """Split a script: `executescript` would commit, and two processes may be making the file."""
    statements, part = [], ""
    for line in script.splitlines():
        part += line + "\n"
        if sqlite3.complete_statement(part):
            statements.append(part)
            part = ""
    return statements


def _add(event_id: str, frame: str, max_bytes: int, connection: sqlite3.Connection) -> None:
    known = connection.execute("SELECT 1 FROM waiting WHERE event_id = ?", (event_id,)).fetchone()
    if known:
        return
    [used] = connection.execute("SELECT bytes FROM totals").fetchone()
    if used + len(frame.encode()) > max_bytes:
        raise refusal(max_bytes)
    connection.execute("INSERT INTO waiting (event_id, frame) VALUES (?, ?)", (event_id, frame))


def _remove(event_ids: list[str], connection: sqlite3.Connection) -> None:
    connection.executemany(
        "DELETE FROM waiting WHERE event_id = ?", [(each,) for each in event_ids]
    )


def _after(position: int, limit: int, connection: sqlite3.Connection) -> list[Entry]:
    rows = connection.execute(
        "SELECT position, event_id, frame FROM waiting WHERE position > ?"
        " ORDER BY position LIMIT ?",
        (position, limit),
    )
    return [Entry(*row) for row in rows]


def _settle(future: asyncio.Future[Any], outcome: object) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _told(error: Exception, path: Path) -> OutboxError:
    """Return an error of ours; each caller gets its own."""
    if isinstance(error, OutboxError):
        return OutboxError(error.message)
    return OutboxError(f"{path}: {error}")
