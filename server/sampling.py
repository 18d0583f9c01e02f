"""What no event moves is looked at every few seconds: what waits, what works, memory, certificates.

A counter that was never moved is no series at all, and an alert on its first rise would see none:
those that alerts look at are made here, at nought.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NoReturn, get_args

import structlog

from server.app import SERVER_VERSION
from server.feedback.drainer import DrainerEvent
from server.feedback.outcomes import WriterEvent
from server.plan import Plan
from server.readiness import Readiness
from server.storage.journal import MAX_ENTRIES, Journal, JournalError
from server.storage.outbox import Backlog
from server.storage.redis_journal import RedisJournal
from server.storage.redis_opening import open_redis
from server.storage.store import StoreUnavailableError
from server.telemetry.certificates import expiry_of
from server.telemetry.memory import MemoryGuard, give_back, resident_bytes
from server.telemetry.metrics import Metrics

log = structlog.get_logger("manicule")

SAMPLE_S = 2.0
"""Twice within the shortest common scrape interval, so that no scrape sees an old value."""

CERTIFICATES_S = 60.0
"""How often certificate files are read anew: they are exchanged while the server runs."""

BACKLOG_S = 10.0
"""How often dead letters and notices are counted: the store reads them all for it."""

OUTCOMES = ("completed", "incomplete", "failed", "cancelled", "abandoned")
FEEDBACK_EVENTS = (*get_args(WriterEvent), *get_args(DrainerEvent), "journal_gap")


async def sample_for_ever(plan: Plan, readiness: Readiness) -> NoReturn:
    """Keep the gauges of one process true until cancelled."""
    settings = plan.settings
    announce(plan.metrics, plan.prompts.scenarios)
    async with AsyncExitStack() as stack:
        journal = None
        if settings.log_url:
            client = open_redis(settings.log_url)
            stack.push_async_callback(client.aclose)
            journal = RedisJournal(client)
        files = [Path(name) for name in settings.watched_certificates]
        files += [settings.tls_certificate] if settings.tls_certificate else []
        sampler = Sampler(
            plan.metrics,
            journal=journal,
            certificates=files,
            memory=plan.memory,
            backlog=readiness.store.backlog,
        )
        while True:
            for dependency in await readiness.look():
                plan.metrics.set("dependency_up", float(dependency.ok), dependency.name)
            await sampler.step()
            await asyncio.sleep(SAMPLE_S)


def announce(metrics: Metrics, scenarios: Iterable[str]) -> None:
    """Make the series that alerts look at, at nought, and the one that names the version."""
    metrics.set("build_info", 1, SERVER_VERSION)
    for event in FEEDBACK_EVENTS:
        metrics.count("feedback_events_total", event, by=0)
    for scenario in scenarios:
        for outcome in OUTCOMES:
            metrics.count("queries_total", outcome, scenario, by=0)


class Sampler:
    """Looks at what can only be looked at; `wall_clock` gives Unix seconds."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        journal: Journal | None = None,
        certificates: Iterable[Path] = (),
        memory: MemoryGuard | None = None,
        backlog: Callable[[], Awaitable[Backlog]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._metrics = metrics
        self._journal = journal
        self._certificates = tuple(certificates)
        self._memory = memory or MemoryGuard()
        self._backlog = backlog
        self._clock = clock
        self._wall_clock = wall_clock
        self._read_at = float("-inf")
        self._counted_at = float("-inf")

    async def step(self) -> None:
        """Look once. What cannot be seen keeps its last value; `dependency_up` tells of it."""
        if (memory := resident_bytes()) is not None:
            self._metrics.set("memory_bytes", memory)
        self._metrics.set("tasks", len(asyncio.all_tasks()))
        if self._memory.is_short():
            await asyncio.to_thread(give_back)
        self._metrics.set("memory_used_ratio", self._memory.share)
        if self._clock() - self._read_at >= CERTIFICATES_S:
            self._read_at = self._clock()
            await asyncio.to_thread(self._read_certificates)
        if self._backlog is not None and self._clock() - self._counted_at >= BACKLOG_S:
            self._counted_at = self._clock()
            await self._count(self._backlog)
        if self._journal is not None:
            await self._look_at(self._journal)

    async def _look_at(self, journal: Journal) -> None:
        try:
            entries, oldest_ms = await journal.size(), await journal.oldest_ms()
        except JournalError:
            return
        age_s = 0.0 if oldest_ms is None else max(0.0, self._wall_clock() - oldest_ms / 1000)
        self._metrics.set("journal_entries", entries)
        self._metrics.set("journal_capacity_entries", MAX_ENTRIES)
        self._metrics.set("journal_oldest_seconds", age_s)

    async def _count(self, backlog: Callable[[], Awaitable[Backlog]]) -> None:
        try:
            found = await backlog()
        except StoreUnavailableError:
            return
        self._metrics.set("dead_letters", found.dead_letters)
        self._metrics.set("webhooks_waiting", found.waiting)
        self._metrics.set("webhooks_dead", found.dead)

    def _read_certificates(self) -> None:
        """A file that cannot be read counts as ended: nobody can tell that it has not."""
        for file in self._certificates:
            try:
                expiry = expiry_of(file.read_bytes())
            except (OSError, ValueError) as error:
                log.warning("certificate_unreadable", file=file.name, reason=str(error))
                expiry = 0.0
            self._metrics.set("certificate_expiry_timestamp_seconds", expiry, file.name)
