"""A span for each call of a model, in OpenTelemetry's words for generative AI.

The names are those of its semantic conventions for spans of clients (`gen_ai.*`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from server.llm.chain import Attempt, ChainEvent, Ended
from server.llm.port import Finish, ModelRequest, TextDelta, UpstreamError, Usage
from server.telemetry.tracing import NO_SPAN, Span, current

PROVIDERS = {"gemini": "gcp.gemini", "gemini-sdk": "gcp.gemini", "openai": "openai"}


def traced(
    events: AsyncGenerator[ChainEvent, None], request: ModelRequest
) -> AsyncGenerator[ChainEvent, None]:
    """Return the same events; each attempt among them becomes a span of the current one."""
    parent = current()
    return events if parent is NO_SPAN else _passed_on(events, ModelSpans(parent, request))


async def _passed_on(
    events: AsyncGenerator[ChainEvent, None], spans: ModelSpans
) -> AsyncGenerator[ChainEvent, None]:
    try:
        async with aclosing(events):
            async for event in events:
                spans.see(event)
                yield event
    except UpstreamError as error:
        spans.end_all(error.kind)
        raise
    except BaseException as error:
        spans.end_all(type(error).__name__)
        raise
    else:
        spans.end_all("")


class ModelSpans:
    """Follows the events of a chain; several attempts may run at once."""

    def __init__(self, parent: Span, request: ModelRequest) -> None:
        self._parent = parent
        self._request = request
        self._running: dict[int, tuple[Span, float]] = {}
        self._speaking = 0
        self._has_text: set[int] = set()

    def see(self, event: ChainEvent) -> None:
        """Take the next event."""
        match event:
            case Attempt():
                self._begin(event)
            case Ended():
                self._end(event.number, usage=event.usage, failed="failed")
                self._speaking = event.heir.number if event.heir else self._speaking
            case TextDelta() if self._speaking not in self._has_text:
                self._has_text.add(self._speaking)
                span, began = self._running.get(self._speaking, (NO_SPAN, 0.0))
                span.set({"gen_ai.response.time_to_first_chunk": time.monotonic() - began})
            case Usage():
                self._set_usage(self._speaking, event)
            case Finish():
                span, _ = self._running.get(self._speaking, (NO_SPAN, 0.0))
                span.set({"gen_ai.response.finish_reasons": [event.reason]})
                self._end(self._speaking)

    def end_all(self, failed: str) -> None:
        """End what still runs; `failed` is the kind of the failure, or nothing."""
        for number in tuple(self._running):
            self._end(number, failed=failed)

    def _begin(self, attempt: Attempt) -> None:
        provider, _, model = attempt.model.partition(":")
        span = self._parent.child(
            f"chat {model or provider}",
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": PROVIDERS.get(provider, provider),
                "gen_ai.request.model": model or provider,
                "gen_ai.request.max_tokens": self._request.max_output_tokens,
                "gen_ai.request.temperature": self._request.temperature,
                "gen_ai.request.stream": True,
                "gen_ai.output.type": "text",
                "manicule.attempt": attempt.number,
                "manicule.attempt.reason": attempt.reason,
            },
            client=provider in PROVIDERS,
        )
        self._running[attempt.number] = (span, time.monotonic())
        self._speaking = attempt.number

    def _set_usage(self, number: int, usage: Usage) -> None:
        span, _ = self._running.get(number, (NO_SPAN, 0.0))
        span.set(
            {
                "gen_ai.usage.input_tokens": usage.input_tokens,
                "gen_ai.usage.output_tokens": usage.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            }
        )

    def _end(self, number: int, *, usage: Usage | None = None, failed: str = "") -> None:
        if number not in self._running:
            return
        if usage is not None:
            self._set_usage(number, usage)
        span, _ = self._running.pop(number)
        if failed:
            span.fail(failed)
        span.end()
