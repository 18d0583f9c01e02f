"""How long judgements and questions are kept: whole months leave, packed away first if wanted."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from server.storage.erasures import KEPT_MS
from server.storage.months import Month
from server.storage.store import Store

DAY_MS = 86_400_000
ARCHIVE_FOLDER = "archive"
"""Below the data folder."""

NOTICES_MS = 30 * DAY_MS
"""A notice that no endpoint took for so long is of no use to any."""

PATTERN = "feedback-*.jsonl.gz"


class Sink(Protocol):
    """Where a month goes before it is removed: the store's `Archive`, and what comes of it."""

    async def write(self, chunk: bytes) -> None:
        """Take whole lines."""
        ...

    async def seal(self) -> None:
        """Return when all is durable."""
        ...

    async def discard(self) -> None:
        """Leave nothing behind unless it was sealed."""
        ...


class NoArchive:
    """Takes a month and keeps nothing of it."""

    async def write(self, chunk: bytes) -> None:
        """Drop it."""

    async def seal(self) -> None:
        """Nothing to keep."""

    async def discard(self) -> None:
        """Nothing to leave."""


class MonthFile:
    """A month as gzipped JSON lines in `folder`; it has its name only once it is whole.

    A month that is archived again, for rows that came late, gets a number. The folder and the
    files are for their owner only.
    """

    def __init__(self, folder: Path, month: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._month = month
        self._hidden = folder / f".feedback-{month}.{os.getpid()}"
        self._file = gzip.GzipFile(os.fspath(self._hidden), "wb", mtime=0)
        self._hidden.chmod(0o600)

    async def write(self, chunk: bytes) -> None:
        """Append lines."""
        await asyncio.to_thread(self._file.write, chunk)

    async def seal(self) -> None:
        """Close the file, bring it to the disk, give it its name."""
        await asyncio.to_thread(self._seal)

    async def discard(self) -> None:
        """Remove what was not sealed."""
        self._file.close()
        self._hidden.unlink(missing_ok=True)

    def _seal(self) -> None:
        self._file.close()
        bring_to_disk(self._hidden)
        for path in self._names():
            try:
                os.link(self._hidden, path)  # unlike a rename, never over another file
            except FileExistsError:
                continue
            self._hidden.unlink()
            bring_to_disk(self._folder)
            return

    def _names(self) -> Iterator[Path]:
        yield self._folder / f"feedback-{self._month}.jsonl.gz"
        number = 1
        while True:
            number += 1
            yield self._folder / f"feedback-{self._month}.{number}.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Expired:
    """What left: judgements by month, interactions, and notices nobody took."""

    months: dict[str, int] = field(default_factory=dict)
    interactions: int = 0
    notices: int = 0

    @property
    def judgements(self) -> int:
        """Judgements of all months."""
        return sum(self.months.values())


async def run(store: Store, now: int, days: int, archive_dir: Path | None = None) -> Expired:
    """Remove what is older than `days` at `now` (Unix ms); months go to `archive_dir` first.

    Judgements leave by whole months, so that some stay up to a month longer; questions and answers
    leave to the millisecond. Notices for endpoints leave after 30 days, and so does what is
    remembered of erasures. Without a folder nothing is archived. Run it by one process at a time.
    Raises `StoreUnavailableError` and `OSError`: what had left by then has left.
    """
    before = now - days * DAY_MS
    removed: dict[str, int] = {}
    for month in await store.months():
        if Month.read(month).plus(1).start_ms > before:
            continue
        sink: Sink = NoArchive() if archive_dir is None else MonthFile(archive_dir, month)
        try:
            removed[month] = await store.archive_month(month, sink)
        finally:
            await sink.discard()
    interactions = await store.expire_interactions(before)
    notices = await store.outbox.forget(now - NOTICES_MS)
    await store.forget_erasures(now - KEPT_MS)
    return Expired(removed, interactions, notices)


def bring_to_disk(path: Path) -> None:
    """Return when the file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
