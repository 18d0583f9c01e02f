"""Providers that are down, slow or over their limit, met by many questions over real HTTP."""

import asyncio
import itertools
import statistics
import sys
import time
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from redis_servers import PATIENT_S

from server.llm.breaker import PROBE_S, BreakerState
from server.llm.budgets import FREE_RETRIES
from server.llm.chain import Attempt, Chain, Ended, build_chain
from server.llm.port import Finish, ModelRequest, TextDelta, UpstreamError, Usage
from server.storage.redis_client import RedisClient
from server.storage.redis_cooling import RedisCooling

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from upstream import TEXTS, Plan, Upstream
from wire import DELTA, open_client

REQUEST = ModelRequest(system="s", manual="m" * 36, question="q", max_output_tokens=64)
GENEROUS_S = 20.0
DOWN = Plan(status=503)
WHOLE = {"texts": ["A whole ", "answer. "], "stall_after": None, "reset_after": None}


@asynccontextmanager
async def chain_of(*upstreams: Upstream, behind: str = "", **options):
    """A chain of one deployment of `openai:m` on each upstream, and what stands `behind`."""
    limits = {"first_token_timeout_s": GENEROUS_S, "inter_token_timeout_s": GENEROUS_S} | options
    spec = ",".join(f"openai:m@{upstream.url}/v1" for upstream in upstreams)
    chain = build_chain(spec + behind, **limits)
    try:
        yield chain
    finally:
        await chain.aclose()


async def ask(chain: Chain) -> list:
    return [event async for event in chain.stream(REQUEST)]


async def outcome(chain: Chain) -> UpstreamError | str:
    """The text of the answer, or why there is none."""
    try:
        return text_of(await ask(chain))
    except UpstreamError as error:
        return error


def text_of(events: list) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def attempts_of(events: list) -> list[tuple[int, str]]:
    return [(event.number, event.reason) for event in events if isinstance(event, Attempt)]


async def until(check, message: str) -> None:
    deadline = time.monotonic() + GENEROUS_S
    while not check():
        assert time.monotonic() < deadline, message
        await asyncio.sleep(0.005)


async def test_f39_the_next_deployment_answers_at_once_when_the_first_cannot_be_reached():
    async with Upstream() as gone:
        url = gone.url
    async with Upstream() as good:
        chain = build_chain(f"openai:m@{url}/v1,openai:m@{good.url}/v1")
        times_s = []
        for _ in range(3):
            began = time.monotonic()
            events = await ask(chain)
            times_s.append(time.monotonic() - began)
            assert attempts_of(events) == [(1, "first"), (2, "retry")]
            assert text_of(events) == "".join(TEXTS)
        await chain.aclose()
    assert min(times_s) < 0.3


@pytest.mark.parametrize("status", [500, 502, 503, 529])
async def test_f40_three_calls_at_most_for_one_question(status):
    plan = Plan(status=status)
    async with Upstream(plan) as a, Upstream(plan) as b, Upstream(plan) as c, Upstream() as d:
        async with chain_of(a, b, c, d) as chain:
            assert isinstance(await outcome(chain), UpstreamError)
        assert [len(one.requests) for one in (a, b, c, d)] == [1, 1, 1, 0]


async def test_f40_retries_are_a_tenth_of_the_questions():
    """Failures too rare for the breaker, too many for the budget."""
    plans = [Plan(status=503) if number % 3 == 0 else Plan() for number in range(600)]
    withheld = []
    async with Upstream(*plans) as shaky, Upstream() as spare:
        async with chain_of(shaky, spare, on_withheld=lambda *seen: withheld.append(seen)) as chain:
            for _ in range(300):
                await outcome(chain)
            assert chain.deployments[0].state is BreakerState.CLOSED
        assert len(shaky.requests) == 300
        assert FREE_RETRIES <= len(spare.requests) <= 30
    assert ("openai:m#2", "retry_budget") in withheld


async def test_f40_a_quotation_needs_no_budget():
    async with (
        Upstream(Plan(status=400)) as refusing,
        chain_of(refusing, behind=",extractive") as chain,
    ):
        for _ in range(FREE_RETRIES * 3):
            assert attempts_of(await ask(chain)) == [(1, "first"), (2, "fallback")]


async def test_f41_a_limited_deployment_rests_for_as_long_as_it_asks_on_every_node(redis_url):
    limited = Plan(status=429, headers={"retry-after": "30"})
    clients = [RedisClient(redis_url, timeout_s=PATIENT_S) for _ in range(3)]
    async with Upstream(limited) as first, Upstream() as second, asyncio.timeout(GENEROUS_S):
        async with (
            chain_of(first, second) as a,
            chain_of(first, second) as b,
            chain_of(first) as c,
        ):
            for chain, client in zip((a, b, c), clients, strict=True):
                chain.share_cooling(RedisCooling(client))
            began = time.monotonic()
            assert attempts_of(await ask(a)) == [(1, "first"), (2, "retry")]
            for chain in (a, b) * 10:
                assert attempts_of(await ask(chain)) == [(1, "failover")]
            error = await outcome(c)
            took = time.monotonic() - began
        assert len(first.requests) == 1
    for client in clients:
        await client.aclose()
    assert isinstance(error, UpstreamError)
    assert error.kind == "unavailable"
    assert 29 - took < error.retry_after_s <= 30


async def test_f41_the_rest_ends_when_it_is_over():
    async with Upstream(Plan(status=429, headers={"retry-after": "1"}), Plan()) as upstream:
        async with chain_of(upstream) as chain:
            assert (await outcome(chain)).kind == "rate_limited"
            assert (await outcome(chain)).kind == "unavailable"
            async with asyncio.timeout(GENEROUS_S):
                while isinstance(found := await outcome(chain), UpstreamError):
                    assert found.kind == "unavailable"
                    await asyncio.sleep(0.02)
            assert found == "".join(TEXTS)
        assert len(upstream.requests) == 2


async def test_f51_all_down_fails_fast_and_says_when_to_come_back():
    async with (
        Upstream(DOWN) as a,
        Upstream(DOWN) as b,
        chain_of(a, b) as chain,
    ):
        began = time.monotonic()
        while any(one.state is BreakerState.CLOSED for one in chain.deployments):
            assert isinstance(await outcome(chain), UpstreamError)
            assert time.monotonic() - began < 5, "the breakers open within 5 s"
        before = len(a.requests) + len(b.requests)
        times_s = []
        asked = time.monotonic()
        for _ in range(50):
            now = time.monotonic()
            error = await outcome(chain)
            times_s.append(time.monotonic() - now)
            assert isinstance(error, UpstreamError)
            if error.kind == "unavailable":
                assert 0 < error.retry_after_s <= PROBE_S * 2
        lasted_s = time.monotonic() - asked
        probes = len(a.requests) + len(b.requests) - before
        assert probes <= 2 * (1 + lasted_s / PROBE_S)
        assert statistics.median(times_s) < 0.05


async def test_f51_probes_find_a_model_that_is_back_and_are_one_a_second_at_most():
    plans = [DOWN] * 6
    async with Upstream(*plans, Plan()) as upstream, chain_of(upstream) as chain:
        times = []
        async with asyncio.timeout(GENEROUS_S):
            while (found := await outcome(chain)) != "".join(TEXTS):
                if found.kind != "unavailable" and chain.deployments[0].state is BreakerState.OPEN:
                    times.append(time.monotonic())
                await asyncio.sleep(0.02)
        assert chain.deployments[0].state is BreakerState.CLOSED
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps
    assert min(gaps) > PROBE_S * 0.95


async def test_f51_one_question_probes_while_a_hundred_others_are_told_at_once():
    async with Upstream(*[DOWN] * 4, Plan(silent=True)) as upstream, chain_of(upstream) as chain:
        while chain.deployments[0].state is BreakerState.CLOSED:
            await outcome(chain)
        before = len(upstream.requests)
        [one] = chain.deployments
        await until(lambda: one.wait_s(asyncio.get_running_loop().time()) == 0, "no probe was due")
        async with aclosing(chain.stream(REQUEST)) as probe:
            assert isinstance(await anext(probe), Attempt)
            waiting = asyncio.create_task(anext(probe))
            await until(lambda: len(upstream.requests) > before, "the probe did not go out")
            told = await asyncio.gather(*(outcome(chain) for _ in range(100)))
            assert {error.kind for error in told} == {"unavailable"}
            assert len(upstream.requests) == before + 1
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        assert chain.deployments[0].state is BreakerState.OPEN


async def test_f51_the_manual_is_quoted_at_once_while_all_are_down():
    async with (
        Upstream(DOWN) as a,
        Upstream(DOWN) as b,
        chain_of(a, b, behind=",extractive") as chain,
    ):
        while any(one.state is BreakerState.CLOSED for one in chain.deployments[:2]):
            await ask(chain)
        before = len(a.requests) + len(b.requests)
        events = await ask(chain)
        assert len(a.requests) + len(b.requests) == before
        assert events[0] == Attempt(1, "extractive", "fallback", "extractive")
        assert isinstance(events[-1], Finish)


FAST = Plan(texts=["fast"])
SLOW = Plan(texts=["slow"], first_token_s=60)
SLOWISH = Plan(texts=["slowish"], first_token_s=0.8)
FLOOR_S = 0.5
PAYING = 40  # quick questions before, which pay for two hedges


@asynccontextmanager
async def hedged(first: Plan, *others: Plan, floor_s: float = FLOOR_S, behind: str = ""):
    """The chain and its upstreams; the next question meets `first` on the first of them."""
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(Upstream(*[FAST] * PAYING, first))]
        upstreams += [await stack.enter_async_context(Upstream(plan)) for plan in others]
        chain = await stack.enter_async_context(
            chain_of(*upstreams, behind=behind, hedge_floor_s=floor_s)
        )
        for _ in range(PAYING):
            await ask(chain)
        yield chain, *upstreams


async def gone(upstream: Upstream) -> None:
    """Return when the upstream has noticed that its client left in mid-answer."""
    async with asyncio.timeout(GENEROUS_S):
        await upstream.left.wait()


async def test_f52_the_faster_of_two_answers_and_the_other_is_closed_and_billed():
    async with hedged(SLOW, Plan(texts=["other"])) as (chain, first, _):
        events = []
        async with aclosing(chain.stream(REQUEST)) as stream:
            async for event in stream:
                events.append(event)
                if isinstance(event, Ended):
                    lost_at = time.monotonic()
        await gone(first)
        assert time.monotonic() - lost_at < 0.25
    hedge = Attempt(2, "openai:m", "hedge")
    assert events[:3] == [
        Attempt(1, "openai:m", "first"),
        hedge,
        Ended(1, Usage(10, 0, estimated=True), hedge),
    ]
    assert text_of(events) == "other"
    assert events[-2:] == [Usage(100, 7, 40), Finish("stop")]


async def test_f52_the_first_model_may_still_win():
    async with hedged(SLOWISH, SLOW) as (chain, _, second):
        events = await ask(chain)
        await gone(second)
    assert attempts_of(events) == [(1, "first"), (2, "hedge")]
    assert Ended(2, Usage(10, 0, estimated=True), events[0]) in events
    assert text_of(events) == "slowish"


async def test_f52_a_hedge_that_fails_leaves_the_first_one_alone():
    async with hedged(SLOWISH, DOWN) as (chain, *_):
        events = await ask(chain)
    assert Ended(2, Usage(0, 0), events[0]) in events
    assert text_of(events) == "slowish"


async def test_f52_when_first_and_hedge_fail_the_third_is_asked():
    dying = Plan(first_token_s=0.8, cut_after=0)
    async with hedged(dying, DOWN, FAST) as (chain, *_):
        events = await ask(chain)
    assert attempts_of(events) == [(1, "first"), (2, "hedge"), (3, "retry")]
    assert text_of(events) == "fast"


async def test_f52_a_slow_provider_is_hedged_for_a_twentieth_of_the_questions():
    rounds, at_once = 5, 8
    async with hedged(SLOWISH, FAST) as (chain, first, second):
        reasons = []
        for _ in range(rounds):
            for events in await asyncio.gather(*(ask(chain) for _ in range(at_once))):
                reasons += [reason for _, reason in attempts_of(events)]
        assert reasons.count("first") == rounds * at_once
        assert 1 <= reasons.count("hedge") <= 0.05 * (PAYING + rounds * at_once)
        assert len(second.requests) == reasons.count("hedge")
        assert len(first.requests) == PAYING + rounds * at_once


async def test_f52_cancelling_a_race_closes_both():
    async with hedged(SLOW, SLOW) as (chain, first, second):
        asking = asyncio.create_task(ask(chain))
        async with asyncio.timeout(GENEROUS_S):
            await second.asked.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await gone(first)
        await gone(second)


@pytest.mark.parametrize(
    ("others", "behind", "floor_s"),
    [((FAST,), "", 0.0), ((), ",extractive", FLOOR_S)],
    ids=["off", "one model"],
)
async def test_f52_no_hedging_when_it_is_off_or_there_is_one_model(others, behind, floor_s):
    async with hedged(SLOWISH, *others, floor_s=floor_s, behind=behind) as (chain, *_):
        events = await ask(chain)
    assert attempts_of(events) == [(1, "first")]
    assert text_of(events) == "slowish"


@pytest.mark.parametrize("plan", [Plan(stall_after=2), Plan(reset_after=2)], ids=["stall", "reset"])
async def test_f43_f44_a_client_of_a_real_server_sees_one_reset_and_can_resume_behind_it(
    server, plan
):
    async with Upstream(plan) as first, Upstream(replace(plan, **WHOLE)) as second:
        target = await asyncio.to_thread(
            server,
            None,
            "--model",
            f"openai:gpt-4.1@{first.url}/v1,openai:gpt-4o@{second.url}/v1,extractive",
            inter_token_timeout_s="1",
        )
        async with open_client(target.url) as client:
            await client.ask(event_id="q")
            seen = await client.until(DELTA)
        async with open_client(target.url) as client:
            id_, at = seen["response_id"], (seen["epoch"], seen["sequence_number"])
            await client.send("response.resume", response_id=id_, epoch=1, starting_after=at[1])
            resumed = await client.until("response.resumed")
            assert (resumed["recovered"], resumed["epoch"]) == (True, 1)
            done = await client.until("response.completed")
            events = [e for e in client.seen if "sequence_number" in e]
    positions = [(e["epoch"], e["sequence_number"]) for e in events]
    assert positions == sorted(set(positions))
    assert positions[0] == (1, at[1] + 1)
    assert [e["type"] for e in events].count("response.reset") == 1
    second_epoch = [e for e in events if e["epoch"] == 2]
    assert (second_epoch[0]["type"], second_epoch[0]["sequence_number"]) == (
        "response.attempt.started",
        0,
    )
    text = "".join(e["delta"] for e in second_epoch if e["type"] == DELTA)
    final = done["response"]
    assert text == final["output_text"] == "A whole answer. "
    assert (final["model"], final["fallback"]) == ("openai:gpt-4o", None)
    assert final["usage"]["output_tokens"] > 7, "what the first model wrote is billed too"
    assert final["cost_usd"] > 0


async def test_f51_a_client_of_a_real_server_is_told_at_once_and_when_to_come_back(server):
    async with Upstream(DOWN) as upstream:
        target = await asyncio.to_thread(
            server, None, "--model", f"openai:gpt-4.1@{upstream.url}/v1"
        )
        async with open_client(target.url) as client:
            times_s = []
            for number in range(30):
                began = time.monotonic()
                await client.ask(f"How do I change battery {number}?", event_id=f"q{number}")
                final = await client.final(f"q{number}")
                assert (final["status"], final["error"]["code"]) == ("failed", "upstream_error")
                if "retry_after_ms" in final["error"]:
                    times_s.append(time.monotonic() - began)
                    assert 0 < final["error"]["retry_after_ms"] <= 16_000
    assert times_s, "the breaker did not open"
    assert statistics.median(times_s) < 0.05


async def test_each_server_gets_its_own_key_and_never_that_of_the_provider():
    async with Upstream(DOWN) as a, Upstream(DOWN) as b, Upstream() as c:
        host = f"127.0.0.1:{a.port}"
        chain = build_chain(
            f"openai:m@{a.url}/v1,gemini:g@{a.url},openai:m@{b.url}/v1,openai:m",
            model_keys={host: "key-of-a"},
            openai_api_key="key-of-the-provider",
            openai_base_url=f"{c.url}/v1",
            gemini_api_key="key-of-gemini",
        )
        for deployment in chain.deployments:
            with suppress(UpstreamError):
                async for _ in deployment.model.stream(REQUEST):
                    pass
        await chain.aclose()
    assert [seen.headers.get("authorization") for seen in a.requests] == ["Bearer key-of-a", None]
    assert a.requests[1].headers["x-goog-api-key"] == "key-of-a"
    assert [seen.headers.get("authorization") for seen in b.requests] == [None]
    assert [seen.headers["authorization"] for seen in c.requests] == ["Bearer key-of-the-provider"]
