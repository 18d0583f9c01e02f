"""One suite for all models: what the port promises, over real HTTP to a fake upstream."""

import asyncio
import warnings
from contextlib import aclosing
from dataclasses import replace

import pytest
from serving import (
    GENEROUS_S,
    HTTP,
    KEY,
    LOCAL,
    MODELS,
    PASSAGE,
    REQUEST,
    collect,
    failure,
    finish_of,
    serving,
    text_of,
)
from upstream import TEXTS, Plan

from server.llm.gemini_sdk import GeminiSdk
from server.llm.pacing import TimingWheel
from server.llm.port import (
    Finish,
    TextDelta,
    UpstreamError,
    Usage,
)


@pytest.fixture(params=MODELS)
def provider(request):
    return request.param


@pytest.fixture(params=HTTP)
def http_provider(request):
    return request.param


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


async def test_an_end_that_came_with_the_text_is_not_waited_for():
    raw = (
        b'data: {"choices": [{"delta": {"content": "whole"}}]}\n\n'
        b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
        b"data: [DONE]\n\n"
    )
    async with serving("openai", Plan(raw=raw), pace=TimingWheel(60)) as (model, _):
        async with asyncio.timeout(GENEROUS_S):
            events = await collect(model)
    assert [events[0], events[-1]] == [TextDelta("whole", is_last=True), Finish("stop")]


async def test_texts_come_as_they_are_sent(http_provider):
    plan = Plan(stall_after=2)
    async with (
        serving(http_provider, plan) as (model, _),
        aclosing(model.stream(REQUEST)) as events,
    ):
        text = ""
        while text != "".join(TEXTS[:2]):  # two writes that come together are one delta
            text += (await anext(events)).text


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


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_refusals_are_not_retryable(provider, status):
    async with serving(provider, Plan(status=status)) as (model, _):
        _, error = await failure(model)
    assert (error.kind, error.status, error.retryable) == ("refused", status, False)


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
