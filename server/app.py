"""The program: every part is built once here, in order, and handed to those that need it."""

from __future__ import annotations

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
from server.answering.attendance import Attendance
from server.answering.flights import Flights
from server.answering.kept import KeptAnswers
from server.answering.publisher import Unlogged
from server.answering.resuming import Resuming
from server.answering.running import Machinery
from server.answering.service import Answering
from server.config.settings import Settings
from server.endpoints.doorkeeper import Doorkeeper
from server.endpoints.entrance import Entrance
from server.endpoints.handshake import socket_endpoint
from server.endpoints.node import Node
from server.endpoints.origins import OriginRule
from server.endpoints.peers import read_networks
from server.endpoints.probes import metrics_endpoint
from server.endpoints.rates import Rates
from server.endpoints.routes import build_routes
from server.endpoints.socket import SUBPROTOCOL
from server.endpoints.standing import watching
from server.feedback.audit import AUDIT_FILE, AuditLog
from server.feedback.service import Feedback
from server.manuals.library import Library
from server.manuals.search import ProductSearch
from server.parts import (
    longest_answer_s,
    make_caches,
    make_preparer,
    make_recorder,
    make_sharing,
    make_topics,
    open_feedback,
    open_library,
    share_models,
)
from server.plan import Plan
from server.readiness import Readiness
from server.storage.rate_limits import RateLimits
from server.telemetry.tracing import open_tracer

SERVER_VERSION = version("manicule")


@asynccontextmanager
async def open_node(plan: Plan) -> AsyncIterator[tuple[Node, Readiness]]:
    """Open everything for one process, give it out, and close it in the opposite order."""
    settings, metrics = plan.settings, plan.metrics
    async with AsyncExitStack() as stack:
        caches = make_caches(settings, metrics)
        stack.push_async_callback(caches.aclose)
        library = await open_library(plan, caches, stack)
        answer_cache = AnswerCache(caches.answers, ttl_s=settings.answer_ttl_s)
        admission = Admission(
            slots=settings.model_concurrency,
            max_waiting=settings.max_queued_answers,
            clock=time.monotonic,
            metrics=metrics,
        )
        stack.callback(admission.close)
        spending = share_models(plan, stack)
        flights = Flights(plan.chain, answer_cache, plan.prices, metrics, admission, spending)
        stack.push_async_callback(plan.chain.aclose)
        stack.push_async_callback(flights.aclose)
        tracer = open_tracer(settings.trace_url, version=SERVER_VERSION, ratio=settings.trace_ratio)
        stack.push_async_callback(tracer.aclose)
        feedback = await open_feedback(plan, tracer, stack)
        topics = make_topics(settings)
        sharing = make_sharing(plan, topics, stack)
        attendance = (
            sharing.attendance(settings.detached_s)
            if sharing is not None
            else Attendance(grace_s=settings.detached_s)
        )
        stack.callback(attendance.close)
        machinery = Machinery(
            preparer=make_preparer(plan, library),
            cache=answer_cache,
            flights=flights,
            recorder=make_recorder(plan, feedback),
            publisher=sharing.writer if sharing is not None else Unlogged(),
            clock=time.monotonic,
            timeout_s=longest_answer_s(settings),
            link_hosts=settings.link_hosts,
            tracer=tracer,
        )
        answering = Answering(
            catalog=plan.catalog,
            prompts=plan.prompts,
            machinery=machinery,
            topics=topics,
            attendance=attendance,
            metrics=metrics,
            wall_clock=time.time,
            max_running=settings.max_running_answers,
            max_per_client=settings.max_responses_per_client,
            memory=plan.memory,
            is_resumable=sharing is not None or settings.workers == 1,
        )
        elsewhere = None
        if sharing is not None:
            elsewhere = await sharing.start(answering)
            stack.push_async_callback(sharing.aclose)
        stack.push_async_callback(answering.aclose)
        resuming = Resuming(
            answering=answering,
            topics=topics,
            elsewhere=elsewhere,
            kept=KeptAnswers(feedback.store, plan.secret_key),
            on_result=lambda result: metrics.count("resumes_total", result),
        )
        node = _make_node(plan, answering, resuming, library, feedback, caches.limits)
        if sharing is not None:
            sharing.writer.on_health = lambda healthy: node.announce(resumable=healthy)
            node.leave_fleet = sharing.leave
        stack.push_async_callback(node.finish_background)
        shared = settings.log_url or settings.cache_url
        await stack.enter_async_context(
            watching(node, secret=plan.secret_key, ticket_url=shared, revoked_url=settings.log_url)
        )
        yield node, Readiness(settings, plan.chain, feedback.store, plan.memory)


def _make_node(
    plan: Plan,
    answering: Answering,
    resuming: Resuming,
    library: Library,
    feedback: Feedback,
    limits: RateLimits,
) -> Node:
    settings = plan.settings
    return Node(
        catalog=plan.catalog,
        answering=answering,
        resuming=resuming,
        search=ProductSearch(plan.catalog),
        manuals=library,
        origins=OriginRule(settings.origins, settings.hosts),
        keys=plan.keys,
        feedback=feedback,
        metrics=plan.metrics,
        clock=time.monotonic,
        wall_clock=time.time,
        new_facts=lambda: session_facts(settings, plan.prompts, answering.is_resumable),
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


def session_facts(settings: Settings, prompts: PromptLibrary, is_resumable: bool) -> SessionFacts:
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
        resumable=is_resumable,
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
        sockets={"/ws": socket_endpoint(node)},
    )
