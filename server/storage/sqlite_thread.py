"""One SQLite connection in a thread of its own, and what its errors mean."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from server.storage.store import RowRefusedError, StoreUnavailableError

BUSY_S = 5.0
"""Longest wait for another process that writes; then the batch is tried again by its caller."""

OLDEST_SQLITE = (3, 37, 0)
"""STRICT tables came with 3.37."""

Result = TypeVar("Result")

_REFUSED = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_RANGE,
    }
)

_LASTING = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        # After a failed write or sync nobody knows what is on the disk: only a restart tells.
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    }
)


class SqliteThread:
    """Runs functions on one connection, one after the other, in a thread named `name`."""

    def __init__(self, path: Path, name: str, busy_s: float) -> None:
        self._path = path
        self._busy_s = busy_s
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def open(self) -> None:
        """Connect; raises `StoreUnavailableError`."""
        self._connection = await self._submit(lambda: connect(self._path, self._busy_s))

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return what `work` returns; raises `StoreUnavailableError` and `RowRefusedError`."""
        connection = self._connection
        if connection is None:
            raise StoreUnavailableError("the store is not open", code="CLOSED")
        return await self._submit(lambda: work(connection))

    async def _submit(self, work: Callable[[], Result]) -> Result:
        if self._closed:
            raise StoreUnavailableError("the store is closed", code="CLOSED")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: translated(work))

    async def aclose(self) -> None:
        """Close the connection after all work that was given before, and end the thread."""
        if self._closed:
            return
        if self._connection is not None:
            await self._submit(self._connection.close)
        self._connection = None
        self._closed = True
        self._executor.shutdown(wait=True)


def connect(path: Path, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """Open a file so that a commit is on the disk when it returns."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreUnavailableError(
            f"SQLite {sqlite3.sqlite_version} is too old: 3.37 is needed",
            code="SQLITE_VERSION",
            permanent=True,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # On macOS a sync reaches the disk only with this; elsewhere it does nothing.
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        # What is erased is overwritten, not only unlinked.
        connection.execute("PRAGMA secure_delete = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def in_transaction(
    connection: sqlite3.Connection, work: Callable[[], Result], begin: str = "BEGIN IMMEDIATE"
) -> Result:
    """Return what `work` returns, committed; nothing of it stays when it raises."""
    connection.execute(begin)
    try:
        result = work()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def translated(work: Callable[[], Result]) -> Result:
    """Return what `work` returns; SQLite's errors become those of the port."""
    try:
        return work()
    except sqlite3.Error as error:
        raise _translate(error) from error
    except UnicodeEncodeError as error:
        raise RowRefusedError(f"a text is not Unicode: {error.reason}") from error
    except OverflowError as error:
        raise RowRefusedError(f"a number is too large: {error}") from error
    except OSError as error:
        raise StoreUnavailableError(str(error), code="SQLITE_CANTOPEN", permanent=True) from error


def _translate(error: sqlite3.Error) -> Exception:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None and _is_of_values(error):
        return RowRefusedError(str(error))
    primary = (code or 0) & 0xFF  # what is above says more, and not every version knows it
    if primary in _REFUSED:
        return RowRefusedError(str(error))
    name = str(getattr(error, "sqlite_errorname", type(error).__name__))
    return StoreUnavailableError(f"{name}: {error}", code=name, permanent=primary in _LASTING)


def _is_of_values(error: sqlite3.Error) -> bool:
    # What the module itself says of values that it cannot bind; ProgrammingError since 3.12.
    bound = isinstance(error, sqlite3.InterfaceError | sqlite3.ProgrammingError)
    return bound and "binding parameter" in str(error)
