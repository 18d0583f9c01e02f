"""Spans: how long each part of an answer took, for a collector that puts them together.

The current span travels in the context, from a task to those it starts, so what is called needs
no span passed to it: `span("retrieve")` is a child of whatever runs, and nothing at all when
nothing is traced. Only the one who begins an answer needs a `Tracer`. Spans carry ids, names and
numbers: never a question, an answer, a manual's words or a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Protocol

Value = str | bool | int | float | list[str]


class Span(Protocol):
    """One piece of work. `trace_id` and `span_id` are hexadecimal, empty when nothing is traced."""

    @property
    def trace_id(self) -> str:
        """What all spans of one answer share."""
        ...

    @property
    def span_id(self) -> str:
        """This piece."""
        ...

    def child(self, name: str, attributes: dict[str, Value], *, client: bool = False) -> Span:
        """Begin a piece of this piece; `client` when another machine does the work."""
        ...

    def set(self, attributes: dict[str, Value]) -> None:
        """Add attributes."""
        ...

    def fail(self, kind: str) -> None:
        """Mark it as failed; `kind` is from a closed set, never a message."""
        ...

    def end(self) -> None:
        """It is over."""
        ...


class Tracer(Protocol):
    """Begins spans that are a child of nothing here."""

    def begin(self, name: str, attributes: dict[str, Value], *, traceparent: str = "") -> Span:
        """Begin a span; `traceparent` (W3C) makes it part of a trace that began elsewhere."""
        ...

    async def aclose(self) -> None:
        """Send what waits, within a bound, and end."""
        ...


class NoSpan:
    """The span of what is not traced."""

    trace_id = ""
    span_id = ""

    def child(self, name: str, attributes: dict[str, Value], *, client: bool = False) -> Span:
        """Return itself."""
        return self

    def set(self, attributes: dict[str, Value]) -> None:
        """Do nothing."""

    def fail(self, kind: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class NoTracer:
    """The tracer of a server that traces nothing; it imports nothing either."""

    def begin(self, name: str, attributes: dict[str, Value], *, traceparent: str = "") -> Span:
        """Return the span that does nothing."""
        return NO_SPAN

    async def aclose(self) -> None:
        """Nothing waits."""


NO_SPAN = NoSpan()
NO_TRACER = NoTracer()

_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")

_current: ContextVar[Span] = ContextVar("span", default=NO_SPAN)
_heard: ContextVar[str] = ContextVar("traceparent", default="")


def can_send() -> bool:
    """Return whether the extra `tracing` is installed."""
    try:
        return all(find_spec(name) for name in _NEEDED)
    except ModuleNotFoundError:  # not even the package around it
        return False


def open_tracer(url: str, *, version: str, ratio: float) -> Tracer:
    """Return what sends spans to the collector at `url`, or without one the tracer of nothing.

    `ratio` is the part of answers that is traced where the caller has not decided.
    """
    if not url:
        return NO_TRACER
    from server.telemetry import otel

    return otel.open_tracer(url, version=version, ratio=ratio)


def current() -> Span:
    """Return the span of what runs now."""
    return _current.get()


@contextmanager
def using(span: Span) -> Iterator[Span]:
    """Make `span` the current one inside the block, without ending it."""
    token = _current.set(span)
    try:
        yield span
    finally:
        _current.reset(token)


@contextmanager
def span(name: str, **attributes: Value) -> Iterator[Span]:
    """Time the block as a child of the current span; an exception marks it as failed."""
    one = current().child(name, attributes)
    try:
        with using(one):
            yield one
    except BaseException as error:
        one.fail(type(error).__name__)
        raise
    finally:
        one.end()


def hear(traceparent: str) -> None:
    """Note what the header of this connection or request said, for answers asked through it."""
    _heard.set(traceparent)


def heard() -> str:
    """Return the header of the connection or request that this runs for."""
    return _heard.get()
