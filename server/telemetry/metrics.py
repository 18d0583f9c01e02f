"""Every Prometheus metric in one table, and the one object that moves them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

PREFIX = "manicule_"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
_SHORT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: `name` without the prefix; every label has a closed set of values.

    `of_workers` says what a gauge of several processes is: their sum, or, where each sees the
    same thing, the highest.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = _SECONDS
    of_workers: Literal["livesum", "livemax"] = "livesum"


def _seen_by_all(name: str, help_text: str, labels: tuple[str, ...] = ()) -> Metric:
    """Return a gauge of something that every process sees alike."""
    return Metric(name, "gauge", help_text, labels, of_workers="livemax")


METRICS: tuple[Metric, ...] = (
    Metric("connections", "gauge", "Open sockets."),
    Metric("connections_closed_total", "counter", "Closed sockets by close code.", ("code",)),
    Metric("errors_total", "counter", "Errors told to clients, by code.", ("code",)),
    Metric("answers_running", "gauge", "Answers that are running."),
    Metric("model_calls_running", "gauge", "Model calls that have a slot."),
    Metric("queue_length", "gauge", "Questions that wait for a model, by class.", ("priority",)),
    Metric("queue_wait_seconds", "histogram", "Wait for a model, 0 included."),
    Metric("queue_refused_total", "counter", "Refused: the queue was full.", ("priority",)),
    Metric("resumes_total", "counter", "Resumed answers by where they were.", ("result",)),
    Metric("response_log_events_total", "counter", "What the log of answers did.", ("event",)),
    Metric("queries_total", "counter", "Answers by outcome and scenario.", ("outcome", "scenario")),
    Metric("query_duration_seconds", "histogram", "Question to terminal event."),
    Metric("first_token_seconds", "histogram", "Question to first text."),
    Metric("retrieval_seconds", "histogram", "Choosing passages.", buckets=_SHORT_SECONDS),
    Metric("manual_requests_total", "counter", "Where the manual came from.", ("status",)),
    Metric("manual_events_total", "counter", "What the manual caches did.", ("event",)),
    Metric("manual_memory_bytes", "gauge", "Prepared manuals in this process."),
    Metric("cache_faults_total", "counter", "Faults of the cache by kind.", ("kind",)),
    Metric("answer_cache_total", "counter", "Whole-answer cache: hit, miss, shared.", ("result",)),
    Metric("tokens_total", "counter", "Tokens by model and kind.", ("model", "kind")),
    Metric("cost_usd_total", "counter", "Cost of answers with a known price.", ("model",)),
    _seen_by_all("spend_ratio", "Highest share of a daily cap that was spent today.", ("scope",)),
    Metric("spend_refused_total", "counter", "Calls over a cap: key, tenant, total.", ("scope",)),
    Metric("upstream_attempts_total", "counter", "Model calls by reason.", ("model", "reason")),
    Metric(
        "model_breaker",
        "gauge",
        "Processes whose breaker for a model is closed, open or half_open.",
        ("model", "state"),
    ),
    Metric(
        "calls_withheld_total",
        "counter",
        "Model calls not made: breaker, cooling, retry_budget, hedge_budget.",
        ("model", "reason"),
    ),
    Metric("upstream_errors_total", "counter", "Model failures by kind.", ("model", "kind")),
    Metric("citations_total", "counter", "Citations verified, or why dropped.", ("verdict",)),
    Metric("items_total", "counter", "Items sent by type.", ("type",)),
    Metric("guidance_total", "counter", "Answers by guidance.", ("guidance",)),
    Metric("feedback_total", "counter", "Judgements acknowledged, by action.", ("action",)),
    Metric("feedback_events_total", "counter", "What writer and drainer did.", ("event",)),
    Metric("stripped_characters_total", "counter", "Hidden characters removed.", ("source",)),
    Metric("searches_total", "counter", "Catalog searches."),
    Metric("search_seconds", "histogram", "One catalog search.", buckets=_SHORT_SECONDS),
    Metric("slow_clients_total", "counter", "Sockets closed because they did not read."),
    Metric(
        "event_loop_lag_seconds",
        "histogram",
        "Lateness of the loop.",
        buckets=(0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5),
    ),
    Metric("event_loop_blocked_total", "counter", "Times the loop was over 50 ms late."),
    Metric("dependency_up", "gauge", "1 when a dependency works, else 0.", ("dependency",)),
    Metric("build_info", "gauge", "1, with the version as a label.", ("version",)),
    Metric("memory_bytes", "gauge", "Resident memory."),
    Metric("tasks", "gauge", "Tasks of the event loop."),
    Metric("memory_used_ratio", "gauge", "Memory over its mark; from 1 on questions are refused."),
    Metric("feedback_ack_seconds", "histogram", "Judgement to its acknowledgement."),
    Metric(
        "webhook_deliveries_total",
        "counter",
        "Deliveries to endpoints: delivered, failed (tried again), dead (given up), repeats.",
        ("endpoint", "result"),
    ),
    Metric("retention_runs_total", "counter", "Daily removals of what is too old.", ("result",)),
    Metric("expired_rows_total", "counter", "Rows that daily removals took away.", ("table",)),
    _seen_by_all("dead_letters", "Dead letters that wait for somebody to look."),
    _seen_by_all("webhooks_waiting", "Notices for endpoints that wait or are being sent."),
    _seen_by_all("webhooks_dead", "Notices for endpoints that were given up."),
    _seen_by_all("journal_entries", "Entries of the feedback journal."),
    _seen_by_all("journal_capacity_entries", "Entries that the feedback journal may hold."),
    _seen_by_all("journal_oldest_seconds", "Age of the oldest entry of the feedback journal."),
    _seen_by_all(
        "certificate_expiry_timestamp_seconds", "When a watched certificate ends.", ("certificate",)
    ),
)

_Child = Counter | Gauge | Histogram


class Metrics:
    """The metrics of one process.

    Methods take names of the table without the prefix; an unknown name is a `KeyError`.
    """

    def __init__(self) -> None:
        self._shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self.registry = CollectorRegistry()
        self._metrics: dict[str, _Child] = {row.name: self._build(row) for row in METRICS}
        self._children: dict[tuple[str, tuple[str, ...]], _Child] = {}
        if not self._shared:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)

    def _build(self, row: Metric) -> _Child:
        name = PREFIX + row.name
        if row.kind == "counter":
            return Counter(name, row.help, row.labels, registry=self.registry)
        if row.kind == "gauge":
            return Gauge(
                name,
                row.help,
                row.labels,
                registry=self.registry,
                multiprocess_mode=row.of_workers,
            )
        return Histogram(name, row.help, row.labels, registry=self.registry, buckets=row.buckets)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter; labels in the table's order."""
        child = self._child(name, labels)
        assert isinstance(child, Counter)
        child.inc(by)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        child = self._child(name, labels)
        assert isinstance(child, Gauge)
        child.set(value)

    def add(self, name: str, change: float) -> None:
        """Move a gauge."""
        child = self._child(name, ())
        assert isinstance(child, Gauge)
        child.inc(change)

    def observe(self, name: str, value: float) -> None:
        """Put a value into a histogram; seconds."""
        child = self._child(name, ())
        assert isinstance(child, Histogram)
        child.observe(value)

    def render(self) -> bytes:
        """Return the Prometheus text format, of all processes when there are several."""
        if not self._shared:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    @staticmethod
    def forget_process(pid: int) -> None:
        """Take the gauges of a worker that has ended out of the sums."""
        mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def names(self) -> Iterable[str]:
        """Return the names of the table."""
        return self._metrics.keys()

    def _child(self, name: str, labels: tuple[str, ...]) -> _Child:
        key = (name, labels)
        child = self._children.get(key)
        if child is None:
            parent = self._metrics[name]
            child = parent.labels(*labels) if labels else parent
            self._children[key] = child
        return child
