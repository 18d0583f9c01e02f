"""How one process comes by a manual that it does not have: cache, lease, source."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from server.manuals.asks import Ask, Event, Obtained, Policy
from server.manuals.documents import ManualError
from server.manuals.failures import Failures
from server.manuals.prepared import (
    BuildIndex,
    Prepared,
    confirmed_at,
    from_stored,
    prepare,
    to_stored,
    to_text,
)
from server.manuals.shelf import Shelf
from server.manuals.sources import Loaded, ManualLoader, OnProgress, Unchanged
from server.storage.leases import Lease, Leases, keeping
from server.storage.texts import Miss, StoredHead, TextCache

LEASE_S = 5.0
"""How long a process that died keeps others from loading; renewed while it lives."""

FIRST_POLL_S = 0.05
LAST_POLL_S = 0.25

_MISSES: dict[Miss, Event] = {
    Miss.CORRUPT: "corrupt",
    Miss.OVERSIZE: "oversize",
    Miss.UNREACHABLE: "cache_unreachable",
}

T = TypeVar("T")

log = structlog.get_logger()


class Acquirer:
    """Finds or loads manuals and puts them onto the shelf; the library decides when."""

    def __init__(
        self,
        *,
        loader: ManualLoader,
        build_index: BuildIndex,
        texts: TextCache,
        leases: Leases,
        shelf: Shelf,
        failures: Failures,
        policy: Policy,
        now: Callable[[], float],
        on_event: Callable[[Event], None],
    ) -> None:
        self._loader = loader
        self._build_index = build_index
        self._texts = texts
        self._leases = leases
        self._shelf = shelf
        self._failures = failures
        self._policy = policy
        self._now = now
        self._on_event = on_event

    async def obtain(
        self, ask: Ask, held: Prepared | None, report: OnProgress
    ) -> Obtained | ManualError:
        """The manual; `held` is what there is of it already, too old to be served unasked."""
        return await self._survived(ask, self._obtain(ask, held, report))

    async def refresh(self, ask: Ask, held: Prepared) -> None:
        """Ask the source whether what is held still holds, unless another process is at it."""
        await self._survived(ask, self._refresh(ask, held))

    async def _survived(self, ask: Ask, work: Awaitable[T]) -> T | ManualError:
        """The work's result; a fault of ours in it is a manual that cannot be had."""
        try:
            return await work
        except Exception:
            log.exception("manual_failed", manual_id=ask.id)
            error = ManualError("damaged", "The manual could not be read.")
            self._failures.add(ask.id, ask.key, error)
            return error

    async def _obtain(
        self, ask: Ask, held: Prepared | None, report: OnProgress
    ) -> Obtained | ManualError:
        if held is None:
            held = await self._from_cache(ask)
            if held is not None and self._servable(ask, held.manual.fetched_at):
                return Obtained("cache", held)
            self._on_event("miss")
        got = await self._lease_or_text(ask, held)
        if not isinstance(got, Lease):
            return got
        async with keeping(self._leases, got, ttl_s=LEASE_S):
            # Whoever had the lease before may have finished between our look and our turn.
            return await self._look(ask, held) or await self._load(ask, held, report)

    async def _refresh(self, ask: Ask, held: Prepared) -> None:
        lease = await self._leases.acquire(_lease_name(ask), ttl_s=LEASE_S)
        if lease is None:
            return
        async with keeping(self._leases, lease, ttl_s=LEASE_S):
            fresh_after = self._now() - self._policy.ttl_for(ask.source)
            if await self._look(ask, held, fetched_after=fresh_after) is None:
                await self._load(ask, held, lambda progress: None)

    async def _lease_or_text(
        self, ask: Ask, held: Prepared | None
    ) -> Lease | Obtained | ManualError:
        """The lease to load, or the text that another process loaded in the meantime."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._policy.wait_s
        pause_s = FIRST_POLL_S
        while True:
            lease = await self._leases.acquire(_lease_name(ask), ttl_s=LEASE_S)
            if lease is not None:
                return lease
            if pause_s == FIRST_POLL_S:
                self._on_event("waited")
            if loop.time() >= deadline:
                return ManualError("timeout", "The manual is still being read: ask again soon.")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LAST_POLL_S)
            found = await self._look(ask, held)
            if found is not None:
                return found

    async def _look(
        self, ask: Ask, held: Prepared | None, *, fetched_after: float | None = None
    ) -> Obtained | None:
        """What the shared cache has if it may be served; without reading a text that is held."""
        head = await self._texts.head(ask.id)
        if not isinstance(head, StoredHead) or head.source_key != ask.key:
            return None
        if fetched_after is None and not self._servable(ask, head.fetched_at):
            return None
        if fetched_after is not None and head.fetched_at <= fetched_after:
            return None
        if held is not None and head.sha256 == held.manual.sha256:
            prepared = confirmed_at(held, head.fetched_at, head.etag)
            # Without a reading of its own nobody says that the head is still true.
            self._keep(prepared, ask, suspect=True)
            return Obtained("cache", prepared)
        found = await self._from_cache(ask)
        return Obtained("cache", found) if found is not None else None

    async def _from_cache(self, ask: Ask) -> Prepared | None:
        with self._shelf.reading(ask.id) as reading:
            stored = await self._texts.get(ask.id)
            if isinstance(stored, Miss):
                if stored in _MISSES:
                    self._on_event(_MISSES[stored])
                return None
            if stored.source_key != ask.key:
                self._on_event("source_changed")
                return None
            manual = from_stored(stored)
            if manual is None:
                self._on_event("corrupt")
                return None
            prepared = await asyncio.to_thread(prepare, manual, self._build_index)
        self._failures.forget(ask.id)
        self._keep(prepared, ask, suspect=reading.spoiled)
        return prepared

    async def _load(
        self, ask: Ask, held: Prepared | None, report: OnProgress
    ) -> Obtained | ManualError:
        try:
            async with asyncio.timeout(self._policy.load_timeout_s):
                etag = held.manual.etag if held is not None else ""
                loaded = await self._loader.load(ask.source, etag, report)
            if isinstance(loaded, Unchanged):
                if held is None:
                    raise ManualError("unreachable", "The source sent no manual.")
                return await self._unchanged(ask, held)
            prepared = await asyncio.to_thread(self._made, ask, loaded)
        except TimeoutError:
            return self._not_loaded(ask, ManualError("timeout", "The manual took too long."))
        except ManualError as error:
            return self._not_loaded(ask, error)
        self._on_event("fetched")
        await self._share(ask, prepared, same_text=False)
        return Obtained("fetched", prepared)

    def _not_loaded(self, ask: Ask, error: ManualError) -> ManualError:
        self._on_event("fetch_error")
        self._failures.add(ask.id, ask.key, error)
        log.info("manual_not_loaded", manual_id=ask.id, problem=error.problem)
        return error

    async def _unchanged(self, ask: Ask, held: Prepared) -> Obtained:
        self._on_event("unchanged")
        prepared = confirmed_at(held, self._now(), held.manual.etag)
        await self._share(ask, prepared, same_text=True)
        return Obtained("memory", prepared)

    def _made(self, ask: Ask, loaded: Loaded) -> Prepared:
        manual = to_text(ask.id, loaded.extracted, etag=loaded.etag, fetched_at=self._now())
        return prepare(manual, self._build_index)

    async def _share(self, ask: Ask, prepared: Prepared, *, same_text: bool) -> None:
        """Put a manual into the shared cache, then onto the shelf."""
        stored = to_stored(prepared.manual, ask.key)
        keep_s = self._policy.ttl_s + self._policy.stale_s
        with self._shelf.reading(ask.id) as reading:
            written = same_text and await self._texts.touch(stored, ttl_s=keep_s)
            if not written:
                written = await self._texts.put(stored, ttl_s=keep_s)
        if not written:
            self._on_event("cache_not_written")
        self._failures.forget(ask.id)
        self._keep(prepared, ask, suspect=reading.spoiled, shared=written)

    def _keep(self, prepared: Prepared, ask: Ask, *, suspect: bool, shared: bool = True) -> None:
        for _ in range(self._shelf.put(prepared, ask.key, suspect=suspect, shared=shared)):
            self._on_event("evicted")

    def _servable(self, ask: Ask, fetched_at: float) -> bool:
        """Whether a text of this age may be served without asking its source."""
        age_s = self._now() - fetched_at
        if ask.source.path is not None:
            return age_s <= self._policy.file_ttl_s
        return age_s <= self._policy.ttl_s + self._policy.stale_s


def _lease_name(ask: Ask) -> str:
    return f"manual:{ask.id}"
