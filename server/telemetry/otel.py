"""Spans for an OpenTelemetry collector, over OTLP and HTTP. Needs the extra `tracing`.

Imported only when traces are wanted: its parts take a quarter of a second and 20 MB.
"""

from __future__ import annotations

import asyncio

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import (
    SpanKind,
    StatusCode,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace import Tracer as OtelTracer_
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server.telemetry.tracing import Value

EXPORT_S = 5
"""Longest that one delivery may take; a collector that is away costs spans, never answers."""

CLOSE_S = 3.0
"""Longest that the end of the process waits for the last delivery."""

QUEUE_SPANS = 2048
"""Spans that wait for delivery; beyond it the oldest are dropped: about 2 MB."""


class _Span:
    """One span of the SDK in the shape of the port."""

    def __init__(self, tracer: OtelTracer_, span: OtelSpan) -> None:
        self._tracer = tracer
        self._span = span
        context = span.get_span_context()
        self.trace_id = format_trace_id(context.trace_id)
        self.span_id = format_span_id(context.span_id)

    def child(self, name: str, attributes: dict[str, Value], *, client: bool = False) -> _Span:
        kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
        parent = set_span_in_context(self._span)
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=attributes)
        return _Span(self._tracer, span)

    def set(self, attributes: dict[str, Value]) -> None:
        self._span.set_attributes(attributes)

    def fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()


class OtelTracer:
    """Sends spans in batches, from a thread of its own."""

    def __init__(self, exporter: SpanExporter, *, version: str, ratio: float) -> None:
        resource = Resource.create({"service.name": "manicule", "service.version": version})
        sampler = ParentBased(TraceIdRatioBased(ratio))
        self._provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        processor = BatchSpanProcessor(
            exporter, max_queue_size=QUEUE_SPANS, schedule_delay_millis=1000
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("manicule", version)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, attributes: dict[str, Value], *, traceparent: str = "") -> _Span:
        """Begin a span; a `traceparent` that cannot be read counts as none."""
        parent = self._propagator.extract({"traceparent": traceparent})
        span = self._tracer.start_span(
            name, context=parent, kind=SpanKind.SERVER, attributes=attributes
        )
        return _Span(self._tracer, span)

    async def aclose(self) -> None:
        """Send what waits, for at most `CLOSE_S` seconds."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.to_thread(self._provider.shutdown)
        except TimeoutError:
            return


def open_tracer(url: str, *, version: str, ratio: float) -> OtelTracer:
    """Return a tracer that sends to `url`, such as http://localhost:4318/v1/traces.

    Headers, as collectors with keys want them, are OpenTelemetry's own variable
    OTEL_EXPORTER_OTLP_HEADERS.
    """
    return OtelTracer(OTLPSpanExporter(url, timeout=EXPORT_S), version=version, ratio=ratio)
