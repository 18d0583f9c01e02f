"""Models of every kind, served by the fake upstream, and how to read what they say."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from upstream import Plan, Upstream

from server.llm.extractive import Extractive
from server.llm.gemini import Gemini
from server.llm.gemini_sdk import GeminiSdk
from server.llm.openai import OpenAI
from server.llm.port import (
    ContextPassage,
    Finish,
    Model,
    ModelEvent,
    ModelRequest,
    TextDelta,
    Turn,
    UpstreamError,
    Usage,
)
from server.llm.scripted import Scripted

KEY = "key-canary-1234"
REQUEST = ModelRequest(
    system="SYSTEM",
    manual="MANUAL",
    question="QUESTION",
    history=(Turn("user", "EARLIER"), Turn("assistant", "ANSWER")),
    max_output_tokens=64,
)
GENEROUS_S = 20.0  # no deadline of a test that is not about deadlines
SHORT_S = 0.2  # a deadline that is meant to pass

MODELS: dict[str, Callable[..., Model]] = {
    "gemini": lambda url, **limits: Gemini("m-1", api_key=KEY, base_url=url, **limits),
    "openai": lambda url, **limits: OpenAI("m-1", api_key=KEY, base_url=f"{url}/v1", **limits),
    "gemini-sdk": lambda url, **limits: GeminiSdk("m-1", api_key=KEY, base_url=url, **limits),
}
HTTP = ("gemini", "openai")
LOCAL: dict[str, Callable[[], Model]] = {
    "scripted": lambda: Scripted(first_token_timeout_s=20, inter_token_timeout_s=20),
    "extractive": Extractive,
}
PASSAGE = ContextPassage(12, "Power", "The pedal needs a 9 V supply. Use no other.", 0, 0.9)


@asynccontextmanager
async def serving(
    provider: str, *plans: Plan, first_s: float = GENEROUS_S, inter_s: float = GENEROUS_S, **more
) -> AsyncIterator[tuple[Model, Upstream]]:
    async with Upstream(*plans) as upstream:
        model = MODELS[provider](
            upstream.url, first_token_timeout_s=first_s, inter_token_timeout_s=inter_s, **more
        )
        try:
            yield model, upstream
        finally:
            await model.aclose()


async def collect(model: Model, request: ModelRequest = REQUEST) -> list[ModelEvent]:
    return [event async for event in model.stream(request)]


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def finish_of(events: list[ModelEvent]) -> str:
    """The reason, after checking the order of kinds that the port promises."""
    kinds = [type(event) for event in events]
    texts = kinds.count(TextDelta)
    assert kinds == [TextDelta] * texts + [Usage, Finish]
    return events[-1].reason


async def failure(model: Model) -> tuple[str, UpstreamError]:
    """The text that came before the error, and the error."""
    events = []
    with pytest.raises(UpstreamError) as caught:
        await collect_into(events, model)
    assert "SECRET" not in str(caught.value)
    assert KEY not in repr(caught.value)
    return text_of(events), caught.value


async def collect_into(events: list[ModelEvent], model: Model, request=REQUEST) -> None:
    async for event in model.stream(request):
        events.append(event)
