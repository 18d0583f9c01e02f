"""One suite for all models: what the port promises, over real HTTP to a fake upstream."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest
from upstream import TEXTS, Plan, Upstream

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


@pytest.fixture(params=MODELS)
def provider(request):
    return request.param


@pytest.fixture(params=HTTP)
def http_provider(request):
    return request.param


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
        await _into(events, model)
    assert "SECRET" not in str(caught.value)
    assert KEY not in repr(caught.value)
    return text_of(events), caught.value


async def _into(events: list[ModelEvent], model: Model, request=REQUEST) -> None:
    async for event in model.stream(request):
        events.append(event)


async def test_happy_path_is_byte_exact_with_usage(provider):
    async with serving(provider) as (model, upstream):
        events = await collect(model)
    assert text_of(events) == "".join(TEXTS)
    assert events[-2] == Usage(100, 7, 40)
    assert events[-1] == Finish("stop")
    assert finish_of(events) == "stop"
    assert len(upstream.requests) == 1
    assert model.name == f"{provider}:m-1"


@pytest.mark.parametrize("name", LOCAL)
async def test_local_models_keep_the_order_and_their_name(name):
    model = LOCAL[name]()
    question = replace(REQUEST, question="Which supply does the pedal need?", passages=(PASSAGE,))
    events = await collect(model, question)
    assert text_of(events)
    assert finish_of(events) == "stop"
    assert events[-2].estimated
    assert model.name == name
    assert await collect(model, question) == events
    await model.check()
    await model.aclose()


@pytest.mark.parametrize("name", LOCAL)
async def test_local_models_can_be_closed_in_mid_answer(name):
    model = LOCAL[name]()
    question = replace(REQUEST, question="Which supply does the pedal need?", passages=(PASSAGE,))
    async with aclosing(model.stream(question)) as events:
        assert isinstance(await anext(events), TextDelta)
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_texts_come_as_they_are_sent(http_provider):
    plan = Plan(stall_after=2)
    async with (
        serving(http_provider, plan) as (model, _),
        aclosing(model.stream(REQUEST)) as events,
    ):
        assert [(await anext(events)).text for _ in range(2)] == list(TEXTS[:2])


async def test_connection_is_used_again(http_provider):
    async with serving(http_provider) as (model, upstream):
        for _ in range(3):
            await collect(model)
        assert len(upstream._connections) == 1


async def test_usage_is_estimated_and_says_so_when_absent(provider):
    async with serving(provider, Plan(usage=None)) as (model, _):
        usage = (await collect(model))[-2]
    assert usage.estimated
    assert usage.output_tokens == -(-len("".join(TEXTS)) // 4)
    assert usage.input_tokens > 0


async def test_request_keeps_system_manual_and_question_apart(provider):
    async with serving(provider) as (model, upstream):
        await collect(model)
    (seen,) = upstream.requests
    assert KEY not in seen.path
    assert seen.headers["accept-encoding"] == "identity"
    if provider == "openai":
        assert seen.path == "/v1/chat/completions"
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.body == {
            "model": "m-1",
            "messages": [
                {"role": "system", "content": "SYSTEM"},
                {"role": "user", "content": "EARLIER"},
                {"role": "assistant", "content": "ANSWER"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "MANUAL"},
                        {"type": "text", "text": "QUESTION"},
                    ],
                },
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 64,
            "temperature": 0.2,
        }
    else:
        assert seen.path.startswith("/v1beta/models/m-1:streamGenerateContent?")
        assert seen.headers["x-goog-api-key"] == KEY
        assert seen.body["systemInstruction"]["parts"] == [{"text": "SYSTEM"}]
        assert seen.body["contents"] == [
            {"role": "user", "parts": [{"text": "EARLIER"}]},
            {"role": "model", "parts": [{"text": "ANSWER"}]},
            {
                "role": "user",
                "parts": [{"text": "MANUAL"}, {"text": "QUESTION"}],
            },
        ]
        assert seen.body["generationConfig"]["maxOutputTokens"] == 64


@pytest.mark.parametrize(("said", "reason"), [("length", "length"), ("OTHER", "truncated")])
async def test_finish_reasons(provider, said, reason):
    async with serving(provider, Plan(finish=said)) as (model, _):
        assert finish_of(await collect(model)) == reason


async def test_close_in_mid_answer_closes_the_upstream(provider):
    plan = Plan(stall_after=3)
    async with serving(provider, plan) as (model, upstream):
        async with aclosing(model.stream(REQUEST)) as events:
            await anext(events)
            assert not upstream.left.is_set()
        async with asyncio.timeout(GENEROUS_S):
            await upstream.left.wait()


async def test_cancel_in_mid_answer_closes_the_upstream(provider):
    plan = Plan(stall_after=3)
    async with serving(provider, plan) as (model, upstream):
        task = asyncio.create_task(collect(model))
        async with asyncio.timeout(GENEROUS_S):
            await upstream.started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await upstream.left.wait()


async def test_cancel_before_the_response_closes_the_upstream(http_provider):
    async with serving(http_provider, Plan(silent=True)) as (model, upstream):
        task = asyncio.create_task(collect(model))
        async with asyncio.timeout(GENEROUS_S):
            await upstream.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await upstream.left.wait()


async def test_f39_connect_refused(provider):
    async with Upstream() as upstream:
        url = upstream.url
    model = MODELS[provider](url, first_token_timeout_s=5, inter_token_timeout_s=5)
    text, error = await failure(model)
    await model.aclose()
    assert (text, error.kind, error.retryable) == ("", "connect", True)


@pytest.mark.parametrize("status", [500, 502, 503, 529])
async def test_f40_server_errors(provider, status):
    async with serving(provider, Plan(status=status)) as (model, upstream):
        text, error = await failure(model)
    assert (text, error.kind, error.status) == ("", "server", status)
    assert error.retryable
    assert len(upstream.requests) == 1


async def test_f41_rate_limit_with_retry_after(provider):
    plan = Plan(status=429, headers={"retry-after": "30"})
    async with serving(provider, plan) as (model, upstream):
        _, error = await failure(model)
    assert (error.kind, error.retry_after_s) == ("rate_limited", 30.0)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_refusals_are_not_retryable(provider, status):
    async with serving(provider, Plan(status=status)) as (model, _):
        _, error = await failure(model)
    assert (error.kind, error.status, error.retryable) == ("refused", status, False)


async def test_f42_accepts_then_silence(provider):
    # The SDK cannot be woken before the response: it leaves when its own read times out.
    limits = {"first_s": SHORT_S, "inter_s": SHORT_S}
    async with serving(provider, Plan(silent=True), **limits) as (model, upstream):
        text, error = await failure(model)
        assert (text, error.kind) == ("", "timeout")
        async with asyncio.timeout(GENEROUS_S):
            await upstream.left.wait()


async def test_f42_headers_then_silence(provider):
    async with serving(provider, Plan(stall_after=0), first_s=SHORT_S) as (model, upstream):
        text, error = await failure(model)
        assert (text, error.kind) == ("", "timeout")
        async with asyncio.timeout(GENEROUS_S):
            await upstream.left.wait()


async def test_f43_stall_in_mid_answer(provider):
    async with serving(provider, Plan(stall_after=3), inter_s=SHORT_S) as (model, upstream):
        text, error = await failure(model)
        assert text
        assert "".join(TEXTS[:3]).startswith(text)
        assert error.kind == "timeout"
        async with asyncio.timeout(GENEROUS_S):
            await upstream.left.wait()


async def test_f44_reset_in_mid_answer(provider):
    async with serving(provider, Plan(reset_after=3)) as (model, _):
        text, error = await failure(model)
    assert text
    assert "".join(TEXTS[:3]).startswith(text)
    assert error.kind == "connect"


async def test_f45_error_object_inside_a_200(http_provider):
    async with serving(http_provider, Plan(error_after=2)) as (model, _):
        text, error = await failure(model)
    assert text == "".join(TEXTS[:2])
    assert (error.kind, error.status) == ("server", 503)


async def test_f45_error_object_before_any_text(provider):
    async with serving(provider, Plan(error_after=0)) as (model, _):
        text, error = await failure(model)
    assert text == ""
    assert error.retryable


async def test_f45_error_event_by_name(http_provider):
    raw = b"event: error\ndata: SECRET\n\n"
    async with serving(http_provider, Plan(raw=raw)) as (model, _):
        _, error = await failure(model)
    assert error.kind == "server"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, "rate_limited"),
        ({"code": "rate_limit_exceeded", "type": "requests"}, "rate_limited"),
        ({"code": None, "type": "invalid_request_error"}, "refused"),
        ({"code": "503"}, "server"),
        ({"message": "SECRET"}, "server"),
        ("SECRET", "server"),
    ],
)
async def test_f45_error_kinds(http_provider, error, kind):
    async with serving(http_provider, Plan(error_after=0, error=error)) as (model, _):
        assert (await failure(model))[1].kind == kind


async def test_f46_end_without_a_reason_is_truncated(provider):
    plan = Plan(finish=None, done=False, usage=None)
    async with serving(provider, plan) as (model, _):
        events = await collect(model)
    assert text_of(events) == "".join(TEXTS)
    assert finish_of(events) == "truncated"


async def test_f46_done_without_a_reason_is_truncated():
    async with serving("openai", Plan(finish=None)) as (model, _):
        assert finish_of(await collect(model)) == "truncated"


async def test_f46_end_without_a_token_is_an_error(http_provider):
    async with serving(http_provider, Plan(cut_after=0)) as (model, _):
        _, error = await failure(model)
    assert (error.kind, error.retryable) == ("malformed", True)


async def test_f46_reason_without_done_is_complete():
    async with serving("openai", Plan(done=False)) as (model, _):
        events = await collect(model)
    assert finish_of(events) == "stop"
    assert events[-2] == Usage(100, 7, 40)


async def test_f46_response_left_open_after_the_end_is_complete(http_provider):
    async with serving(http_provider, Plan(linger=True)) as (model, upstream):
        events = await collect(model)
        assert finish_of(events) == "stop"
        assert events[-2] == Usage(100, 7, 40)
        async with asyncio.timeout(GENEROUS_S):
            await upstream.left.wait()


async def test_f47_malformed_events_are_counted_and_the_text_is_exact(http_provider):
    noise = b": comment\r\nno colon\n:\rdata: {not json\r\n\r\nretry: 5\rid: 1\n\n"
    skipped = []
    plan = Plan(texts=TEXTS[:2], noise=noise, newline=b"\r\n")
    async with serving(http_provider, plan, on_malformed=skipped.append) as (model, _):
        events = await collect(model)
    assert text_of(events) == "".join(TEXTS[:2])
    assert finish_of(events) == "stop"
    assert skipped == [model.name] * 3


async def test_f47_too_many_malformed_events_fail(http_provider):
    plan = Plan(texts=["a"] * 20, noise=b"data: [1, 2]\n\n")
    async with serving(http_provider, plan) as (model, _):
        text, error = await failure(model)
    assert text == "a" * 8
    assert error.kind == "malformed"


async def test_f47_line_over_the_cap_fails(http_provider):
    plan = Plan(raw=b"data: " + b"x" * 10 * 2**20)
    async with serving(http_provider, plan) as (model, _):
        _, error = await failure(model)
    assert error.kind == "malformed"


async def test_f47_one_byte_slices(provider):
    async with serving(provider, Plan(slice_bytes=1, newline=b"\r")) as (model, _):
        events = await collect(model)
    assert text_of(events) == "".join(TEXTS)
    assert finish_of(events) == "stop"


async def test_f47_bom_and_multi_line_data(http_provider):
    event = {
        "gemini": b'data: {"candidates": [\ndata: {"content": {"parts": [{"text": "ok\\u0000"}]},\n'
        b'data: "finishReason": "STOP"}]}\n\n',
        "openai": b'data: {"choices": [\ndata: {"delta": {"content": "ok\\u0000"},\n'
        b'data: "finish_reason": "stop"}]}\n\n',
    }[http_provider]
    async with serving(http_provider, Plan(raw=b"\xef\xbb\xbf" + event)) as (model, _):
        events = await collect(model)
    assert text_of(events) == "ok\0"
    assert finish_of(events) == "stop"


async def test_f48_a_trickle_of_bytes_is_ended_by_the_first_token_deadline(provider):
    plan = Plan(slice_bytes=1, slice_s=0.02, texts=["x" * 5000])
    async with serving(provider, plan, first_s=SHORT_S) as (model, upstream):
        text, error = await failure(model)
        assert (text, error.kind) == ("", "timeout")
        async with asyncio.timeout(GENEROUS_S):
            await upstream.left.wait()


async def test_f48_comments_do_not_keep_an_answer_alive(http_provider):
    plan = Plan(raw=b": ping\n\n" * 4000, slice_bytes=8, slice_s=0.02)
    async with serving(http_provider, plan, first_s=SHORT_S) as (model, _):
        text, error = await failure(model)
        assert (text, error.kind) == ("", "timeout")


async def test_f48_a_slow_consumer_holds_the_upstream_back(http_provider):
    plan = Plan(texts=["x" * 1000] * 4000)
    request = ModelRequest("s", "m", "q", max_output_tokens=10**6)
    async with (
        serving(http_provider, plan, inter_s=SHORT_S) as (model, upstream),
        aclosing(model.stream(request)) as events,
    ):
        await anext(events)
        sent = -1
        while upstream.texts_sent > sent:  # until the sockets between us are full
            sent = upstream.texts_sent
            await asyncio.sleep(2 * SHORT_S)
        assert sent < 4000
        assert finish_of([event async for event in events]) == "stop"


async def test_f49_compressed_bomb_is_refused_unopened(provider):
    async with serving(provider, Plan(gzip_bytes=2**30)) as (model, _):
        text, error = await failure(model)
        assert (text, error.kind) == ("", "malformed")


async def test_f49_plain_flood_is_cut_at_the_cap(http_provider):
    plan = Plan(texts=[": x" + "y" * 60_000], endless=True)
    request = ModelRequest("s", "m", "q", max_output_tokens=10**9)
    async with serving(http_provider, plan) as (model, upstream):
        events = []
        with pytest.raises(UpstreamError) as caught:
            await _into(events, model, request)
        async with asyncio.timeout(GENEROUS_S):
            await upstream.left.wait()
    assert caught.value.kind == "too_large"
    assert len(text_of(events)) < 8 * 2**20


async def test_f50_endless_generation_is_stopped_at_the_tokens_asked_for(provider):
    async with serving(provider, Plan(texts=["word "], endless=True)) as (model, upstream):
        events = await collect(model)
        assert finish_of(events) == "length"
        assert len(events) - 2 == 65
        async with asyncio.timeout(GENEROUS_S):
            await upstream.left.wait()


async def test_f54_safety_block(provider):
    async with serving(provider, Plan(texts=[], finish="blocked")) as (model, upstream):
        events = await collect(model)
    assert finish_of(events) == "blocked"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("name", ["gemini", "gemini-sdk"])
@pytest.mark.parametrize(
    "plan", [Plan(texts=[], block_reason="SAFETY"), Plan(texts=[], no_candidates=True)]
)
async def test_f54_refused_prompt_and_empty_candidates(name, plan):
    async with serving(name, plan) as (model, _):
        assert finish_of(await collect(model)) == "blocked"


@pytest.mark.parametrize("reason", ["RECITATION", "SPII", "PROHIBITED_CONTENT", "BLOCKLIST"])
async def test_f54_block_in_mid_answer_keeps_what_was_said(reason):
    async with serving("gemini", Plan(finish=reason)) as (model, _):
        events = await collect(model)
    assert text_of(events) == "".join(TEXTS)
    assert finish_of(events) == "blocked"


@pytest.mark.parametrize("name", ["gemini", "gemini-sdk"])
async def test_thoughts_are_billed_and_not_shown(name):
    plan = Plan(thoughts=9 if name == "gemini" else 0)
    async with serving(name, plan) as (model, _):
        events = await collect(model)
    assert text_of(events) == "".join(TEXTS)
    assert events[-2].output_tokens == 7 + plan.thoughts


async def test_reasoning_deltas_are_ignored():
    raw = (
        b'data: {"choices": [{"delta": {"reasoning_content": "SECRET", "content": null}}]}\n\n'
        b'data: {"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}\n\n'
    )
    async with serving("openai", Plan(raw=raw)) as (model, _):
        assert text_of(await collect(model)) == "ok"


async def test_check_reaches_the_server(provider):
    async with serving(provider) as (model, upstream):
        await model.check()
    assert [seen.method for seen in upstream.requests] == ["GET"]


@pytest.mark.parametrize(("status", "kind"), [(403, "refused"), (500, "server")])
async def test_check_says_why_not(provider, status, kind):
    async with serving(provider, Plan(status=status)) as (model, _):
        with pytest.raises(UpstreamError) as caught:
            await model.check()
    assert caught.value.kind == kind


def test_importing_the_sdk_warns_nobody():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GeminiSdk(
            "m-1",
            api_key=KEY,
            base_url="http://127.0.0.1:9",
            first_token_timeout_s=1,
            inter_token_timeout_s=1,
        )
    assert not caught
