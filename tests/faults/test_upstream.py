"""Faults of the model's server as a chain of models meets them, over real HTTP."""

import asyncio
import logging
import sys
import tracemalloc
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from server.llm.chain import Attempt, Chain, Reset, build_chain
from server.llm.port import Finish, ModelRequest, TextDelta, UpstreamError, Usage

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from ports import hold_port
from upstream import TEXTS, Plan, Upstream

REQUEST = ModelRequest(system="s", manual="m", question="q", max_output_tokens=64)
GENEROUS_S = 20.0
KEY = "key-canary-1234"


@asynccontextmanager
async def chain_of(gemini: Plan, openai: Plan, spec="gemini:g,openai:o", **options):
    """A chain whose first model meets `gemini` and whose second meets `openai`."""
    limits = {"first_token_timeout_s": GENEROUS_S, "inter_token_timeout_s": GENEROUS_S} | options
    async with Upstream(gemini) as first, Upstream(openai) as second:
        chain = build_chain(
            spec,
            gemini_api_key=KEY,
            gemini_base_url=first.url,
            openai_api_key=KEY,
            openai_base_url=f"{second.url}/v1",
            **limits,
        )
        try:
            yield chain, first, second
        finally:
            await chain.aclose()


async def collect(chain: Chain) -> list:
    return [event async for event in chain.stream(REQUEST)]


async def into(events: list, chain: Chain) -> None:
    async for event in chain.stream(REQUEST):
        events.append(event)


def text_of(events: list) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def attempts_of(events: list) -> list[tuple[str, str]]:
    return [(event.model, event.reason) for event in events if isinstance(event, Attempt)]


FAILED_OVER = [("gemini:g", "first"), ("openai:o", "failover")]


@asynccontextmanager
async def no_tls():
    """The port of a server that answers a TLS handshake in plain words."""

    async def serve(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}", "https://127.0.0.1:{tls}", "http://name.invalid"],
    ids=["refused", "tls", "dns"],
)
async def test_f39_connect_dns_and_tls_failures_go_to_the_next_model(url):
    failed = []
    async with Upstream(Plan()) as good, no_tls() as tls:
        chain = build_chain(
            "gemini:g,openai:o",
            gemini_api_key=KEY,
            gemini_base_url=url.format(port=hold_port(), tls=tls),
            openai_api_key=KEY,
            openai_base_url=f"{good.url}/v1",
            on_error=lambda *seen: failed.append(seen),
        )
        events = await collect(chain)
        await chain.aclose()
    assert attempts_of(events) == FAILED_OVER
    assert text_of(events) == "".join(TEXTS)
    assert failed == [("gemini:g", "connect")]


@pytest.mark.parametrize("status", [500, 502, 503, 529])
async def test_f40_server_errors_go_to_the_next_model(status):
    async with chain_of(Plan(status=status), Plan()) as (chain, first, second):
        events = await collect(chain)
        assert (len(first.requests), len(second.requests)) == (1, 1)
    assert attempts_of(events) == FAILED_OVER
    assert text_of(events) == "".join(TEXTS)
    assert events[-1] == Finish("stop")


async def test_f41_rate_limit_goes_to_the_next_model():
    plan = Plan(status=429, headers={"retry-after": "30"})
    async with chain_of(plan, Plan()) as (chain, first, _):
        events = await collect(chain)
        assert len(first.requests) == 1
    assert attempts_of(events) == FAILED_OVER


async def test_f41_the_wish_to_wait_is_kept_when_nobody_answers():
    plan = Plan(status=429, headers={"retry-after": "30"})
    async with chain_of(plan, Plan(status=500)) as (chain, _, _):
        with pytest.raises(UpstreamError) as caught:
            await collect(chain)
    assert (caught.value.kind, caught.value.retry_after_s) == ("rate_limited", 30.0)


@pytest.mark.parametrize("plan", [Plan(silent=True), Plan(stall_after=0)], ids=["mute", "headers"])
async def test_f42_silence_goes_to_the_next_model_at_the_first_token_deadline(plan):
    async with chain_of(plan, Plan(), first_token_timeout_s=1.5) as (chain, first, _):
        events = await collect(chain)
        async with asyncio.timeout(GENEROUS_S):
            await first.left.wait()
    assert attempts_of(events) == FAILED_OVER
    assert text_of(events) == "".join(TEXTS)


MID_ANSWER = [Plan(stall_after=2), Plan(reset_after=2), Plan(error_after=2)]


@pytest.mark.parametrize("plan", MID_ANSWER, ids=["stall", "reset", "error"])
async def test_f43_f44_f45_failures_in_mid_answer_begin_anew_once(plan):
    async with chain_of(plan, Plan(), inter_token_timeout_s=1.0) as (chain, _, second):
        events = await collect(chain)
        assert len(second.requests) == 1
    [at] = [index for index, event in enumerate(events) if isinstance(event, Reset)]
    assert text_of(events[:at]) == "".join(TEXTS[:2])
    assert text_of(events[at:]) == "".join(TEXTS)
    assert attempts_of(events) == FAILED_OVER
    assert events[at + 1].number == 2


@pytest.mark.parametrize("plan", MID_ANSWER, ids=["stall", "reset", "error"])
async def test_f43_f44_f45_a_second_failure_in_mid_answer_is_typed(plan):
    events = []
    async with chain_of(plan, plan, inter_token_timeout_s=1.0) as (chain, first, second):
        with pytest.raises(UpstreamError) as caught:
            await into(events, chain)
        assert (len(first.requests), len(second.requests)) == (1, 1)
    assert caught.value.retryable
    [at] = [index for index, event in enumerate(events) if isinstance(event, Reset)]
    assert text_of(events[:at]) == text_of(events[at:]) == "".join(TEXTS[:2])


async def test_f45_error_object_before_the_first_token_goes_to_the_next_model():
    async with chain_of(Plan(error_after=0), Plan()) as (chain, _, _):
        assert attempts_of(await collect(chain)) == FAILED_OVER


async def test_f46_end_before_the_first_token_goes_to_the_next_model():
    async with chain_of(Plan(cut_after=0), Plan()) as (chain, _, _):
        events = await collect(chain)
    assert attempts_of(events) == FAILED_OVER
    assert events[-1] == Finish("stop")


async def test_f46_cut_answer_is_truncated_and_not_stop():
    async with chain_of(Plan(cut_after=2), Plan()) as (chain, _, second):
        events = await collect(chain)
        assert second.requests == []
    assert text_of(events) == "".join(TEXTS[:2])
    assert events[-1] == Finish("truncated")


async def test_f49_compressed_bomb_costs_no_memory():
    async with chain_of(Plan(gzip_bytes=2**30), Plan()) as (chain, _, _):
        await collect(chain)  # imports, connections and the bomb itself are made
        tracemalloc.start()
        try:
            events = await collect(chain)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert attempts_of(events) == FAILED_OVER
    assert peak < 32 * 2**20


async def test_f50_endless_answer_is_stopped_by_the_wall_clock():
    plan = Plan(texts=["word "], endless=True, rate_per_s=200)
    request = ModelRequest("s", "m", "q", max_output_tokens=10**6)
    async with chain_of(plan, Plan(), answer_timeout_s=1.5) as (chain, first, _):
        events = [event async for event in chain.stream(request)]
        async with asyncio.timeout(GENEROUS_S):
            await first.left.wait()
    assert text_of(events)
    assert isinstance(events[-2], Usage)
    assert events[-1] == Finish("length")


async def test_f51_extractive_answers_and_says_so_when_all_providers_are_down():
    async with chain_of(
        Plan(status=503), Plan(status=503), spec="gemini:g,openai:o,extractive"
    ) as (chain, _, _):
        events = await collect(chain)
    assert attempts_of(events) == [*FAILED_OVER, ("extractive", "fallback")]
    assert events[-1].reason == "stop"


async def test_f54_a_block_is_not_tried_elsewhere():
    async with chain_of(Plan(texts=[], finish="blocked"), Plan()) as (chain, first, second):
        events = await collect(chain)
        assert (len(first.requests), len(second.requests)) == (1, 0)
    assert events[-1] == Finish("blocked")


async def test_f35_cancel_reaches_the_provider():
    async with chain_of(Plan(stall_after=1), Plan()) as (chain, first, _):
        async with aclosing(chain.stream(REQUEST)) as events:
            assert isinstance(await anext(events), Attempt)
            assert await anext(events) == TextDelta(TEXTS[0])
        async with asyncio.timeout(GENEROUS_S):
            await first.left.wait()


async def test_keys_and_upstream_words_stay_out_of_logs_and_errors(caplog):
    caplog.set_level(logging.DEBUG)
    plans = [Plan(status=401), Plan(status=500), Plan(error_after=0), Plan(reset_after=1)]
    said = []
    for plan in plans:
        async with chain_of(plan, plan) as (chain, _, _):
            with pytest.raises(UpstreamError) as caught:
                await collect(chain)
        said.append(f"{caught.value!r} {caught.value.__cause__!r}")
    told = "\n".join(said) + caplog.text
    assert KEY not in told
    assert "SECRET" not in told


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{hold_port()}")
    for spec in ("gemini:g", "openai:o", "gemini-sdk:g"):
        async with chain_of(Plan(), Plan(), spec=spec) as (chain, _, _):
            assert text_of(await collect(chain)) == "".join(TEXTS)
