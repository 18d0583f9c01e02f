"""The parts of one process, each opened from the plan."""

from __future__ import annotations

import os
import platform
import secrets
import time
from contextlib import AsyncExitStack

from server.answering.confidence import Thresholds
from server.answering.endings import Recorder
from server.answering.preparing import Preparer
from server.answering.sharing import Sharing
from server.answering.spending import Caps, Spending
from server.answering.topics import Topics
from server.config.settings import Settings
from server.feedback.drainer import Drainer
from server.feedback.service import Feedback
from server.feedback.summing import Summing
from server.feedback.writer import Writer
from server.manuals.extract import Extractor
from server.manuals.fetch import Fetcher
from server.manuals.library import Library
from server.manuals.loader import Loader
from server.manuals.ranking import ManualIndex
from server.plan import Plan
from server.storage.caches import Caches, open_caches
from server.storage.redis_cooling import WAIT_S, RedisCooling
from server.storage.redis_fleet import RedisFleet
from server.storage.redis_journal import RedisJournal
from server.storage.redis_opening import open_redis
from server.storage.redis_response_log import RedisResponseLog
from server.storage.spend_book import WAIT_S as SPEND_WAIT_S
from server.storage.spend_book import MemorySpendBook, RedisSpendBook, SpendBook
from server.telemetry.metrics import Metrics
from server.telemetry.tracing import Tracer
from server.upkeep import open_record

DAY_MS = 86_400_000


def node_name() -> str:
    """Return a name that no other process has had or will have."""
    return f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}"


def make_caches(settings: Settings, metrics: Metrics) -> Caches:
    """Return the caches of texts and answers."""
    return open_caches(
        settings.cache_url,
        text_bytes=settings.memory_cache_bytes,
        answer_bytes=settings.answer_cache_bytes,
        on_fault=lambda kind: metrics.count("cache_faults_total", kind),
    )


async def open_feedback(plan: Plan, tracer: Tracer, stack: AsyncExitStack) -> Feedback:
    """Open the store, the journal if there is one, and the writer."""
    settings, metrics = plan.settings, plan.metrics

    def count(event: str) -> None:
        metrics.count("feedback_events_total", event)

    store = await open_record(plan, stack)
    journal = None
    if settings.log_url:
        client = open_redis(settings.log_url)
        stack.push_async_callback(client.aclose)
        journal = RedisJournal(client, on_gap=lambda: count("journal_gap"))
        drainer = Drainer(
            store, journal, consumer=node_name(), on_event=count, on_fatal=plan.failure.set_reason
        )
        drainer.start()
        stack.push_async_callback(drainer.aclose)
    writer = Writer(store, journal=journal, on_event=count, on_fatal=plan.failure.set_reason)
    writer.start()
    stack.push_async_callback(writer.aclose)
    summing = Summing(store, on_fatal=plan.failure.set_reason)
    summing.start()
    stack.push_async_callback(summing.aclose)
    return Feedback(
        store=store,
        writer=writer,
        keys=(plan.secret_key,),
        retention_ms=settings.feedback_retention_days * DAY_MS,
        wall_clock=time.time,
        on_ack=lambda seconds: metrics.observe("feedback_ack_seconds", seconds),
        tracer=tracer,
    )


async def open_library(plan: Plan, caches: Caches, stack: AsyncExitStack) -> Library:
    """Open what fetches, reads and prepares manuals."""
    settings, metrics = plan.settings, plan.metrics
    fetcher = Fetcher(
        allow_http=settings.allow_http,
        allow_private=settings.allow_private_addresses,
        timeout_s=settings.fetch_timeout_s,
        max_bytes=settings.max_manual_bytes,
    )
    stack.push_async_callback(fetcher.aclose)
    extractor = Extractor(
        processes=settings.extract_processes,
        cpu_s=settings.extract_cpu_s,
        wall_s=settings.extract_wall_s,
        memory_bytes=settings.extract_memory_bytes,
        max_pages=settings.max_manual_pages,
        max_chars=settings.max_manual_chars,
    )
    stack.push_async_callback(extractor.aclose)
    library = Library(
        loader=Loader(fetcher, extractor, max_bytes=settings.max_manual_bytes),
        caches=caches,
        build_index=ManualIndex.build,
        max_bytes=settings.memory_cache_bytes,
        ttl_s=settings.manual_ttl_s,
        stale_s=settings.manual_stale_s,
        negative_ttl_s=settings.manual_negative_ttl_s,
        now=time.time,
        on_event=lambda name: metrics.count("manual_events_total", name),
    )
    stack.push_async_callback(library.aclose)
    await caches.start()
    return library


def make_topics(settings: Settings) -> Topics:
    """Return where answers are found by id."""
    return Topics(
        keep_s=settings.resume_s, max_bytes=settings.resume_memory_bytes, clock=time.monotonic
    )


def make_sharing(plan: Plan, topics: Topics, stack: AsyncExitStack) -> Sharing | None:
    """Return this node's part in a fleet; None without a log."""
    url = plan.settings.log_url
    if not url:
        return None
    client, listener = open_redis(url), open_redis(url, max_connections=1)
    stack.push_async_callback(client.aclose)
    stack.push_async_callback(listener.aclose)
    return Sharing(
        RedisResponseLog(client, keep_s=plan.settings.resume_s),
        RedisFleet(client, listener),
        topics,
        node=node_name(),
        clock=time.monotonic,
        on_event=lambda event: plan.metrics.count("response_log_events_total", event),
    )


def share_models(plan: Plan, stack: AsyncExitStack) -> Spending:
    """Share with the fleet which models rest and what was spent, on the Redis that forgets least.

    Returns who holds the caps.
    """
    settings = plan.settings
    book: SpendBook = MemorySpendBook()
    url = settings.log_url or settings.cache_url
    if url:
        client, purse = open_redis(url, timeout_s=WAIT_S), open_redis(url, timeout_s=SPEND_WAIT_S)
        stack.push_async_callback(client.aclose)
        stack.push_async_callback(purse.aclose)
        plan.chain.share_cooling(RedisCooling(client))
        book = RedisSpendBook(purse)
    caps = Caps(settings.key_spend_cap_usd, settings.tenant_spend_cap_usd, settings.spend_cap_usd)
    return Spending(caps, plan.metrics, time.time, book)


def make_preparer(plan: Plan, library: Library) -> Preparer:
    """Return what turns a question into a request for the model."""
    return Preparer(
        catalog=plan.catalog,
        library=library,
        metrics=plan.metrics,
        clock=time.monotonic,
        new_boundary=lambda: secrets.token_hex(8),
        model_chain=",".join(plan.chain.names),
        context_tokens=plan.settings.context_tokens,
        max_output_tokens=plan.settings.max_output_tokens,
    )


def make_recorder(plan: Plan, feedback: Feedback) -> Recorder:
    """Return what concludes answers."""
    settings = plan.settings
    return Recorder(
        metrics=plan.metrics,
        thresholds=Thresholds(settings.rephrase_below, settings.hedge_below),
        key=plan.secret_key,
        clock=time.monotonic,
        wall_clock=time.time,
        on_interaction=feedback.log,
    )


def longest_answer_s(settings: Settings) -> float:
    """Both tries at the manual, its reading, and the model: a bound that only faults reach."""
    return 2 * settings.fetch_timeout_s + settings.extract_wall_s + settings.answer_timeout_s
