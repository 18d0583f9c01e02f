"""From a source to the text of its pages: fetch or read, tell the kind, extract."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from server.manuals.documents import ManualError, ManualSource
from server.manuals.extract import Extractor, sniff
from server.manuals.fetch import Fetched, Fetcher, NotModified, read_file
from server.manuals.sources import Loaded, OnProgress, Progress, Unchanged
from server.telemetry.tracing import span

BACKUP_MARK = "backup:"
"""In front of the etag of a manual that came from its backup address, where alone it means
anything."""


class Loader:
    """Loads manuals with a fetcher and an extractor, which the caller opens and closes."""

    def __init__(self, fetcher: Fetcher, extractor: Extractor, *, max_bytes: int) -> None:
        self._fetcher = fetcher
        self._extractor = extractor
        self._max_bytes = max_bytes

    async def load(
        self, source: ManualSource, etag: str, on_progress: OnProgress
    ) -> Loaded | Unchanged:
        """The manual from its first place, else from its backup; `Unchanged` if `etag` holds.

        Raises `ManualError`, that of the first place when both fail.
        """
        first = "" if etag.startswith(BACKUP_MARK) else etag
        try:
            if source.path is not None:
                return await self._load_file(source, first, on_progress)
            if source.url is None:
                raise ManualError("not_configured", "The catalog names no place for this manual.")
            return await self._load_url(source, source.url, first, on_progress)
        except ManualError as error:
            if source.backup_url is None:
                raise
            return await self._load_backup(source, source.backup_url, etag, error, on_progress)

    async def _load_backup(
        self,
        source: ManualSource,
        url: str,
        etag: str,
        error: ManualError,
        on_progress: OnProgress,
    ) -> Loaded | Unchanged:
        known = etag.removeprefix(BACKUP_MARK) if etag.startswith(BACKUP_MARK) else ""
        try:
            loaded = await self._load_url(source, url, known, on_progress)
        except ManualError:
            raise error from None
        if isinstance(loaded, Loaded) and loaded.etag:
            return Loaded(loaded.extracted, BACKUP_MARK + loaded.etag)
        return loaded

    async def _load_url(
        self, source: ManualSource, url: str, etag: str, on_progress: OnProgress
    ) -> Loaded | Unchanged:
        def on_bytes(done: int, total: int | None) -> None:
            on_progress(Progress("fetching", done, total))

        on_bytes(0, None)  # a source may take long before its first byte
        if not etag:
            self._extractor.expect()  # the first child of a process starts while this is fetched
        with span("fetch", **{"server.address": urlsplit(url).hostname or ""}) as fetching:
            fetched = await self._fetcher.fetch(url, etag=etag, on_bytes=on_bytes)
            if isinstance(fetched, Fetched):
                fetching.set({"manicule.bytes": len(fetched.data)})
        if isinstance(fetched, NotModified):
            return Unchanged()
        return await self._extract(source, fetched, on_progress)

    async def _load_file(
        self, source: ManualSource, etag: str, on_progress: OnProgress
    ) -> Loaded | Unchanged:
        path = Path(source.path or "")
        state = await asyncio.to_thread(_file_state, path)
        if etag and etag == state:
            return Unchanged()
        fetched = await read_file(path, max_bytes=self._max_bytes)
        loaded = await self._extract(source, fetched, on_progress)
        return Loaded(loaded.extracted, state)

    async def _extract(
        self, source: ManualSource, fetched: Fetched, on_progress: OnProgress
    ) -> Loaded:
        def on_page(done: int, total: int | None) -> None:
            on_progress(Progress("extracting", done, total))

        kind = sniff(
            fetched.data,
            declared=source.type,
            content_type=fetched.content_type,
            name=fetched.url,
        )
        with span("extract", **{"manicule.kind": kind}) as extracting:
            extracted = await self._extractor.extract(fetched.data, kind, on_page)
            extracting.set({"manicule.pages": len(extracted.pages)})
        return Loaded(extracted, fetched.etag)


def _file_state(path: Path) -> str:
    """What changes when the file does; empty when it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_mtime_ns}-{found.st_size}"
