"""The program: every part is built once here, in order, and handed to those that need it."""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from uuid import uuid4

from starlette.applications import Starlette
from starlette.routing import Route

from prompts.library import PromptLibrary
from protocol.events import Limits, SessionFacts
from protocol.messages import MAX_INPUT_CHARS
from server.answering.admission import Admission
from server.answering.answer_cache import AnswerCache
from server.answering.confidence import Thresholds
from server.answering.endings import Recorder
from server.answering.flights import Flights
from server.answering.preparing import Preparer
from server.answering.running import Machinery
from server.answering.service import Answering
from server.answering.ticker import FrameTicker
from server.config.settings import Settings
from server.endpoints.doorkeeper import Doorkeeper
from server.endpoints.entrance import Entrance
from server.endpoints.node import Node
from server.endpoints.origins import OriginRule
from server.endpoints.peers import read_networks
from server.endpoints.probes import metrics_endpoint
from server.endpoints.rates import Rates
from server.endpoints.routes import build_routes
from server.endpoints.socket import SUBPROTOCOL
from server.endpoints.standing import watching
from server.feedback.audit import AUDIT_FILE, AuditLog
from server.feedback.drainer import Drainer
from server.feedback.service import Feedback
from server.feedback.writer import Writer
from server.manuals.extract import Extractor
from server.manuals.fetch import Fetcher
from server.manuals.library import Library
from server.manuals.loader import Loader
from server.manuals.ranking import ManualIndex
from server.manuals.search import ProductSearch
from server.plan import Plan
from server.readiness import Readiness
from server.storage.caches import Caches, open_caches
from server.storage.rate_limits import RateLimits
from server.storage.redis_client import RedisClient
from server.storage.redis_journal import RedisJournal
from server.telemetry.metrics import Metrics
from server.telemetry.tracing import Tracer, open_tracer
from server.upkeep import open_record

DAY_MS = 86_400_000
SERVER_VERSION = version("manicule")


@asynccontextmanager
async def open_node(plan: Plan) -> AsyncIterator[tuple[Node, Readiness]]:
    """Open everything for one process, give it out, and close it in the opposite order."""
    settings, metrics = plan.settings, plan.metrics
    async with AsyncExitStack() as stack:
        caches = _open_caches(settings, metrics)
        stack.push_async_callback(caches.aclose)
        library = await _open_library(plan, caches, stack)
        ticker = FrameTicker()
        stack.callback(ticker.close)
        answer_cache = AnswerCache(caches.answers, ttl_s=settings.answer_ttl_s)
        admission = Admission(
            slots=settings.model_concurrency,
            max_waiting=settings.max_queued_answers,
            clock=time.monotonic,
            metrics=metrics,
        )
        stack.callback(admission.close)
        flights = Flights(plan.chain, answer_cache, plan.prices, metrics, admission)
        stack.push_async_callback(plan.chain.aclose)
        stack.push_async_callback(flights.aclose)
        tracer = open_tracer(settings.trace_url, version=SERVER_VERSION, ratio=settings.trace_ratio)
        stack.push_async_callback(tracer.aclose)
        feedback = await _open_feedback(plan, tracer, stack)
        machinery = Machinery(
            preparer=_make_preparer(plan, library),
            cache=answer_cache,
            flights=flights,
            recorder=_make_recorder(plan, feedback),
            ticker=ticker,
            clock=time.monotonic,
            timeout_s=_longest_answer_s(settings),
            link_hosts=settings.link_hosts,
        )
        answering = Answering(
            catalog=plan.catalog,
            prompts=plan.prompts,
            machinery=machinery,
            metrics=metrics,
            wall_clock=time.time,
            max_running=settings.max_running_answers,
            max_per_client=settings.max_responses_per_client,
            memory=plan.memory,
        )
        stack.callback(answering.abandon_all)
        node = _make_node(plan, answering, library, feedback, caches.limits)
        stack.push_async_callback(node.finish_background)
        shared = settings.log_url or settings.cache_url
        await stack.enter_async_context(
            watching(node, secret=plan.secret_key, ticket_url=shared, revoked_url=settings.log_url)
        )
        yield node, Readiness(settings, plan.chain, feedback.store, plan.memory)


def _open_caches(settings: Settings, metrics: Metrics) -> Caches:
    return open_caches(
        settings.cache_url,
        text_bytes=settings.memory_cache_bytes,
        answer_bytes=settings.answer_cache_bytes,
        on_fault=lambda kind: metrics.count("cache_faults_total", kind),
    )


async def _open_feedback(plan: Plan, tracer: Tracer, stack: AsyncExitStack) -> Feedback:
    settings, metrics = plan.settings, plan.metrics

    def count(event: str) -> None:
        metrics.count("feedback_events_total", event)

    store = await open_record(plan, stack)
    journal = None
    if settings.log_url:
        client = RedisClient(settings.log_url)
        stack.push_async_callback(client.aclose)
        journal = RedisJournal(client, on_gap=lambda: count("journal_gap"))
        consumer = f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}"
        drainer = Drainer(
            store, journal, consumer=consumer, on_event=count, on_fatal=plan.failure.set_reason
        )
        drainer.start()
        stack.push_async_callback(drainer.aclose)
    writer = Writer(store, journal=journal, on_event=count, on_fatal=plan.failure.set_reason)
    writer.start()
    stack.push_async_callback(writer.aclose)
    return Feedback(
        store=store,
        writer=writer,
        keys=(plan.secret_key,),
        retention_ms=settings.feedback_retention_days * DAY_MS,
        wall_clock=time.time,
        on_ack=lambda seconds: metrics.observe("feedback_ack_seconds", seconds),
        tracer=tracer,
    )


async def _open_library(plan: Plan, caches: Caches, stack: AsyncExitStack) -> Library:
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


def _make_preparer(plan: Plan, library: Library) -> Preparer:
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


def _make_recorder(plan: Plan, feedback: Feedback) -> Recorder:
    settings = plan.settings
    return Recorder(
        metrics=plan.metrics,
        thresholds=Thresholds(settings.rephrase_below, settings.hedge_below),
        key=plan.secret_key,
        clock=time.monotonic,
        wall_clock=time.time,
        on_interaction=feedback.log,
    )


def _longest_answer_s(settings: Settings) -> float:
    """Both tries at the manual, its reading, and the model: a bound that only faults reach."""
    return 2 * settings.fetch_timeout_s + settings.extract_wall_s + settings.answer_timeout_s


def _make_node(
    plan: Plan,
    answering: Answering,
    library: Library,
    feedback: Feedback,
    limits: RateLimits,
) -> Node:
    settings = plan.settings
    return Node(
        catalog=plan.catalog,
        answering=answering,
        search=ProductSearch(plan.catalog),
        manuals=library,
        origins=OriginRule(settings.origins, settings.hosts),
        keys=plan.keys,
        feedback=feedback,
        metrics=plan.metrics,
        clock=time.monotonic,
        wall_clock=time.time,
        new_facts=lambda: session_facts(settings, plan.prompts),
        max_connections=settings.max_connections,
        send_buffer_bytes=settings.send_buffer_bytes,
        slow_client_s=settings.slow_client_s,
        max_body_bytes=settings.max_frame_bytes,
        rates=Rates(
            limits,
            requests=settings.http_requests_per_minute,
            user=settings.user_requests_per_minute,
            tenant=settings.tenant_requests_per_minute,
            address=settings.address_requests_per_minute,
        ),
        doors=Doorkeeper(
            settings.handshakes_per_minute,
            settings.connections_per_address,
            settings.connections_per_user,
        ),
        trusted_proxies=read_networks(settings.trusted_proxies),
        audit=AuditLog(settings.data_dir / AUDIT_FILE, time.time),
    )


def session_facts(settings: Settings, prompts: PromptLibrary) -> SessionFacts:
    """Return the facts of a new session."""
    return SessionFacts(
        id=f"sess_{uuid4().hex}",
        protocol=SUBPROTOCOL,
        server_version=SERVER_VERSION,
        scenarios=prompts.scenarios,
        limits=Limits(
            max_frame_bytes=settings.max_frame_bytes,
            max_input_chars=MAX_INPUT_CHARS,
            max_concurrent_responses=settings.max_concurrent_responses,
            requests_per_minute=settings.requests_per_minute,
        ),
        ping_interval_s=settings.ping_interval_s,
        resumable=False,
    )


def build_app(node: Node, readiness: Readiness, metrics_port: int | None = None) -> Entrance:
    """Return the ASGI application; `metrics_port` is where `/metrics` alone is served, if any."""
    settings = readiness.settings
    metrics = metrics_endpoint(node, settings.metrics_token, own_port=metrics_port is not None)
    routes = build_routes(
        node, readiness.look, SERVER_VERSION, metrics=None if metrics_port else metrics
    )
    return Entrance(
        Starlette(routes=routes),
        settings.hosts,
        metrics_app=Starlette(routes=[Route("/metrics", metrics)]) if metrics_port else None,
        metrics_port=metrics_port,
    )
