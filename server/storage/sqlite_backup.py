"""A copy of a SQLite store while it is in use: one moment of it, checked and durable."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from server.storage.store import StoreUnavailableError

WAIT_S = 30.0
"""How long a copy waits for a checkpoint of others to let it begin."""


def back_up(source: Path, target: Path) -> int:
    """Copy the store `source` to the new file `target`; return its size in bytes.

    What was committed before the copy began is in it, whole. Writers are not held up. `target`
    appears under its name only when it is complete, checked and on disk; readable by its owner
    only. Raises `FileExistsError`, `FileNotFoundError`, `OSError`, `StoreUnavailableError`.
    """
    if target.exists():
        raise FileExistsError(target)
    if not source.is_file():
        raise FileNotFoundError(source)
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        _copy(source, part)
        with part.open("rb") as copied:
            os.fsync(copied.fileno())
        os.link(part, target)  # unlike a rename it fails when another file came there meanwhile
        _sync_folder(target.parent)
    except sqlite3.Error as error:
        raise StoreUnavailableError(str(error)) from error
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _copy(source: Path, part: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source, timeout=WAIT_S)) as store,
        contextlib.closing(sqlite3.connect(part)) as copied,
    ):
        store.backup(copied)  # all pages in one step: one moment, whoever writes meanwhile
        copied.execute("PRAGMA journal_mode=DELETE")  # one file, without companions
        [verdict] = copied.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"the copy is not whole: {verdict}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
