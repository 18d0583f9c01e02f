"""Manuals on demand: from this process, from the shared cache, or from their source.

    get > shelf (confirmed) > shared cache > lease > loader > shared cache, shelf

Whatever fails on the way, the answer is a `ManualView`; nothing here raises for a broken source
or cache, and a thousand asks for one cold manual load it once, over all processes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from server.manuals.acquiring import Acquirer
from server.manuals.asks import Ask, Event, Obtained, Policy
from server.manuals.documents import ManualError, ManualProblem, ManualSource
from server.manuals.failures import Failures
from server.manuals.flights import Flights, WorkStoppedError
from server.manuals.hits import HitCounter
from server.manuals.prepared import BuildIndex, Prepared, confirmed_at
from server.manuals.shelf import Shelf
from server.manuals.sources import ManualLoader, OnProgress, Progress, source_key
from server.storage.caches import Caches
from server.storage.texts import Miss, StoredHead

__all__ = ["Library", "ManualStatus", "ManualView", "Progress"]

ManualStatus = Literal["memory", "cache", "fetched", "stale", "unavailable", "none"]

NO_MANUAL = "There is no manual for this product."
STOPPING = "The server is stopping."

REFRESH_PAUSE_S = 1.0
"""After a refresh of a manual ended, for better or worse, the next one waits this long."""

WARM_AT_ONCE = 2
"""Manuals prepared at the same time at start; questions that arrive meanwhile come first."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ManualView:
    """What became of asking for a manual.

    `prepared` is there for memory, cache, fetched and stale; `problem` and `message` (for
    people) for unavailable and none. `age_s` is the time since the source last confirmed it.
    """

    status: ManualStatus
    prepared: Prepared | None
    problem: ManualProblem | None = None
    message: str = ""
    age_s: float = 0


class Library:
    """The manuals of one process. Close it with `aclose`.

    The caller starts and closes `caches`; the library names itself as the one who is told of
    their changes, so start them afterwards. Each `*_s` is explained at `Policy`; prepared manuals
    take `max_bytes`. `now` is Unix seconds and dates manuals; `clock` goes on evenly
    and times the rest. `on_event` is a counter.
    """

    def __init__(
        self,
        *,
        loader: ManualLoader,
        build_index: BuildIndex,
        caches: Caches,
        max_bytes: int,
        ttl_s: float,
        stale_s: float,
        negative_ttl_s: float = 60,
        file_ttl_s: float = 10,
        wait_s: float = 10,
        load_timeout_s: float = 120,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        on_event: Callable[[Event], None] = lambda name: None,
    ) -> None:
        self._texts = caches.texts
        self._popularity = caches.popularity
        self._invalidations = caches.invalidations
        self._policy = policy = Policy(
            ttl_s=ttl_s,
            stale_s=stale_s,
            negative_ttl_s=negative_ttl_s,
            file_ttl_s=file_ttl_s,
            wait_s=wait_s,
            load_timeout_s=load_timeout_s,
        )
        self._now = now
        self._clock = clock
        self._on_event = on_event
        self._shelf = Shelf(max_bytes)
        self._failures = Failures(policy.negative_ttl_s, clock)
        self._acquirer = Acquirer(
            loader=loader,
            build_index=build_index,
            texts=caches.texts,
            leases=caches.leases,
            shelf=self._shelf,
            failures=self._failures,
            policy=policy,
            now=now,
            on_event=on_event,
        )
        self._flights: Flights[Obtained | ManualError] = Flights()
        self._confirms: Flights[None] = Flights()
        self._refresh_after: dict[str, float] = {}
        self._hits = HitCounter(caches.popularity, caches.texts, clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._invalidations.listen(self._changed)

    async def get(
        self,
        manual_id: str,
        source: ManualSource | None,
        on_progress: OnProgress = lambda progress: None,
    ) -> ManualView:
        """The manual, from wherever it is had first. Cancelling this cancels no work of others."""
        if source is None:
            return ManualView("none", None, "not_configured", NO_MANUAL)
        if self._hits.count(manual_id):
            self._spawn(self._hits.tell(), "manual-hits")
        try:
            return await self._view(Ask(manual_id, source, source_key(source)), on_progress)
        except WorkStoppedError:
            return ManualView("unavailable", None, "unreachable", STOPPING)

    @property
    def size_bytes(self) -> int:
        """What the prepared manuals of this process take, as estimated."""
        return self._shelf.size_bytes

    def is_cached(self, manual_id: str) -> bool:
        """Whether this process has the manual prepared."""
        return manual_id in self._shelf

    async def cached(self, manual_ids: Sequence[str]) -> frozenset[str]:
        """Which of these manuals this process or the shared cache has; one round trip."""
        here = frozenset(one for one in manual_ids if one in self._shelf)
        return here | await self._texts.present([one for one in manual_ids if one not in here])

    async def warm(self, products: Sequence[tuple[str, ManualSource]], limit: int) -> int:
        """Prepare the most asked manuals, then local files, at most `limit`; returns how many.

        Never fetches from the network what nobody asked for.
        """
        known = dict(products)
        popular = [one for one in await self._popularity.top(limit) if one in known]
        files = [one for one, source in products if source.path and one not in popular]
        turns = asyncio.Semaphore(WARM_AT_ONCE)

        async def one(manual_id: str) -> bool:
            source = known[manual_id]
            async with turns:
                view = await self._view(
                    Ask(manual_id, source, source_key(source)), lambda progress: None
                )
            return view.prepared is not None

        chosen = (popular + files)[:limit]
        return sum(await asyncio.gather(*(one(manual_id) for manual_id in chosen)))

    async def aclose(self) -> None:
        """Cancel what is under way and add the last asks to the popularity."""
        await self._flights.aclose()
        await self._confirms.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._hits.tell()

    async def _view(self, ask: Ask, on_progress: OnProgress) -> ManualView:
        held = await self._confirmed(ask)
        if held is not None and not self._expired(ask, held):
            return self._serve(ask, Obtained("memory", held))
        known = self._failures.get(ask.id, ask.key)
        if known is not None:
            self._on_event("negative")
            return self._failed(known, held)
        joined = ask.flight in self._flights
        if joined:
            self._on_event("shared")
        flight = self._flights.join(
            ask.flight, lambda report: self._acquirer.obtain(ask, held, report)
        )
        outcome = await flight.result(on_progress)
        if isinstance(outcome, ManualError):
            return self._failed(outcome, held)
        return self._serve(ask, outcome, count=not joined)

    def _serve(self, ask: Ask, got: Obtained, *, count: bool = True) -> ManualView:
        age_s = self._age(got.prepared)
        stale = age_s > self._policy.ttl_for(ask.source)
        if count and got.status in ("memory", "cache"):
            self._on_event("hit_memory" if got.status == "memory" else "hit_cache")
        if stale and ask.source.path is None:
            self._refresh_soon(ask, got.prepared)
            self._on_event("stale")
            return ManualView("stale", got.prepared, age_s=age_s)
        return ManualView(got.status, got.prepared, age_s=age_s)

    def _failed(self, error: ManualError, held: Prepared | None) -> ManualView:
        """The failure, or what is held of the manual if its source may yet be believed."""
        if held is not None and error.problem not in ("not_found", "not_configured"):
            age_s = self._age(held)
            if age_s <= self._policy.ttl_s + self._policy.stale_s:
                self._on_event("stale")
                return ManualView("stale", held, age_s=age_s)
        return ManualView("unavailable", None, error.problem, str(error))

    def _expired(self, ask: Ask, prepared: Prepared) -> bool:
        """Too old to be served before its source has been asked."""
        age_s = self._age(prepared)
        if ask.source.path is not None:
            return age_s > self._policy.file_ttl_s
        return age_s > self._policy.ttl_s + self._policy.stale_s

    def _age(self, prepared: Prepared) -> float:
        return max(0.0, self._now() - prepared.manual.fetched_at)

    async def _confirmed(self, ask: Ask) -> Prepared | None:
        """What the shelf has, once the shared cache agrees that it is still the text."""
        held = self._shelf.get(ask.id)
        if held is not None and (held.suspect or not self._invalidations.live):
            flight = self._confirms.join(ask.id, lambda report: self._confirm(ask.id))
            await flight.result(lambda progress: None)
            held = self._shelf.peek(ask.id)
        if held is not None and held.source_key != ask.key:
            self._on_event("source_changed")
            self._shelf.drop(ask.id)
            return None
        return held.prepared if held is not None else None

    async def _confirm(self, manual_id: str) -> None:
        """Compare the shelf's manual with the shared cache: trust it again or drop it.

        A cache that cannot be asked changes nothing: the manual stays, and stays suspect.
        """
        with self._shelf.reading(manual_id) as reading:
            head = await self._texts.head(manual_id)
        held = self._shelf.peek(manual_id)
        if held is None or head is Miss.UNREACHABLE or (head is Miss.ABSENT and not held.shared):
            return
        if isinstance(head, StoredHead) and head.sha256 == held.prepared.manual.sha256:
            prepared = confirmed_at(held.prepared, head.fetched_at, head.etag)
            self._shelf.put(prepared, head.source_key, suspect=reading.spoiled)
        else:
            self._shelf.drop(manual_id)

    def _changed(self, manual_id: str | None) -> None:
        self._on_event("invalidated")
        self._shelf.suspect(manual_id)
        if manual_id is not None:
            self._failures.forget(manual_id)

    def _refresh_soon(self, ask: Ask, prepared: Prepared) -> None:
        due = self._refresh_after.get(ask.id, float("-inf"))
        if self._clock() < due or self._failures.get(ask.id, ask.key) is not None:
            return
        self._refresh_after[ask.id] = float("inf")
        self._on_event("refresh")

        async def refresh() -> None:
            try:
                await self._acquirer.refresh(ask, prepared)
            finally:
                self._refresh_after[ask.id] = self._clock() + REFRESH_PAUSE_S

        self._spawn(refresh(), f"manual-refresh-{ask.id}")

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("library_task_failed", task=task.get_name(), exc_info=task.exception())
