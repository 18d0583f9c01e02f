"""Faults of a model's server as each adapter meets them, over real HTTP."""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from server.llm.port import ModelRequest, TextDelta, UpstreamError, Usage

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from serving import (
    GENEROUS_S,
    HTTP,
    MODELS,
    SHORT_S,
    collect,
    collect_into,
    failure,
    finish_of,
    serving,
    text_of,
)
from upstream import TEXTS, Plan, Upstream


@pytest.fixture(params=MODELS)
def provider(request):
    return request.param


@pytest.fixture(params=HTTP)
def http_provider(request):
    return request.param


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
        serving(http_provider, plan) as (model, upstream),
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
            await collect_into(events, model, request)
        async with asyncio.timeout(GENEROUS_S):
            await upstream.left.wait()
    assert caught.value.kind == "too_large"
    assert len(text_of(events)) < 8 * 2**20


async def test_f50_endless_generation_is_stopped_at_the_tokens_asked_for(provider):
    async with serving(provider, Plan(texts=["word "], endless=True)) as (model, upstream):
        events = await collect(model)
        assert finish_of(events) == "length"
        assert sum(e.text.count("word") for e in events if isinstance(e, TextDelta)) == 65
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
