"""The store of record and what works on it beside the writer: deliveries, daily retention."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from server.config.places import store_url
from server.config.settings import Settings
from server.feedback.audit import AUDIT_FILE, AuditLog
from server.feedback.daily import DailyRetention, RunResult
from server.feedback.retention import ARCHIVE_FOLDER, Expired
from server.plan import Plan
from server.storage.opening import open_store
from server.storage.store import Store
from server.webhooks.delivering import Deliverer
from server.webhooks.notices import Announcements
from server.webhooks.sending import Sender


async def open_record(plan: Plan, stack: AsyncExitStack) -> Store:
    """Open the store, and start what works on it until `stack` is closed."""
    announcer = Announcements(plan.endpoints)
    store = open_store(store_url(plan.settings), now=time.time, announcer=announcer)
    stack.push_async_callback(store.aclose)
    await store.open()
    if plan.endpoints:
        start_deliveries(plan, store, stack)
    if plan.settings.expire != "off":
        start_retention(plan, store, stack)
    return store


def start_deliveries(plan: Plan, store: Store, stack: AsyncExitStack) -> None:
    """Deliver what the outbox holds."""
    sender = make_sender(plan.settings)
    stack.push_async_callback(sender.aclose)
    deliverer = Deliverer(
        store.outbox,
        plan.endpoints,
        sender.send,
        on_result=lambda endpoint, result: plan.metrics.count(
            "webhook_deliveries_total", endpoint, result
        ),
        on_fatal=plan.failure.set_reason,
    )
    deliverer.start()
    stack.push_async_callback(deliverer.aclose)


def start_retention(plan: Plan, store: Store, stack: AsyncExitStack) -> None:
    """Remove what is too old once a day, if no other node does."""
    settings, metrics = plan.settings, plan.metrics

    def count(result: RunResult, expired: Expired) -> None:
        metrics.count("retention_runs_total", result)
        metrics.count("expired_rows_total", "feedback", by=expired.judgements)
        metrics.count("expired_rows_total", "interactions", by=expired.interactions)

    daily = DailyRetention(
        store,
        days=settings.feedback_retention_days,
        archive_dir=settings.data_dir / ARCHIVE_FOLDER if settings.expire == "archive" else None,
        audit=AuditLog(settings.data_dir / AUDIT_FILE, time.time),
        on_run=count,
        on_fatal=plan.failure.set_reason,
    )
    daily.start()
    stack.push_async_callback(daily.aclose)


def make_sender(settings: Settings) -> Sender:
    """Return what sends to endpoints, as the settings allow."""
    return Sender(allow_http=settings.allow_http, allow_private=settings.allow_private_addresses)
