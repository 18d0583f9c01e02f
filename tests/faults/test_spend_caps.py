"""A day's money is used up: no byte goes to a model any more, over real HTTP."""

import asyncio
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from server.answering.spending import NANO, Caps
from server.answering.topics import Asker
from server.config.read import SettingsError
from server.config.settings import Settings
from server.llm.chain import build_chain
from server.llm.port import Usage
from server.plan import read_prices
from server.storage.redis_client import RedisClient
from server.storage.spend_book import MemorySpendBook, RedisSpendBook

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from rig import Rig, until
from upstream import Plan, Upstream

MODEL = "gpt-4.1"
ANSWERS = Plan(texts=["Open the lid."], usage=(100_000, 1000, 0))
COST_USD = 100_000 * 2e-6 + 1000 * 8e-6
ANN, EVE = Asker("ann", "acme"), Asker("eve", "evil")
DAY = 1_790_000_000 // 86_400  # the rig's
ASKS = 100


@asynccontextmanager
async def rigs(number: int, *plans: Plan, behind: str = "", book=MemorySpendBook, **caps: float):
    """Nodes with these caps in front of one upstream; `book()` is called for each."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream(*plans))
        nodes = []
        for _ in range(number):
            spec = f"openai:{MODEL}@{upstream.url}/v1{behind}"
            chain = build_chain(spec, first_token_timeout_s=60, inter_token_timeout_s=60)
            stack.push_async_callback(chain.aclose)
            rig = Rig(*chain.models, caps=Caps(**caps), spend_book=book(), model_concurrency=ASKS)
            nodes.append(await stack.enter_async_context(rig))
        yield upstream, *nodes


@pytest.fixture(params=["memory", "redis"])
async def shared_book(request):
    """Makes the books of the nodes: views of one sum."""
    if request.param == "memory":
        one = MemorySpendBook()
        yield lambda: one
        return
    clients = [RedisClient(request.getfixturevalue("redis_url"), timeout_s=20) for _ in range(4)]
    free = iter(clients)
    yield lambda: RedisSpendBook(next(free))
    for client in clients:
        await client.aclose()


async def spent(book, account: str = "total:") -> float:
    return await book.add(account, DAY, 0) / NANO


@pytest.mark.parametrize(
    "caps",
    [{"key_usd": 0.3}, {"tenant_usd": 0.3}, {"total_usd": 0.3}],
    ids=["key", "tenant", "all"],
)
async def test_f53_over_a_cap_no_byte_goes_to_a_model(caps):
    async with rigs(1, ANSWERS, **caps) as (upstream, rig):
        assert (await rig.ask("How do I open it?", asker=ANN)).final.status == "completed"
        await rig.ask("How do I close it?", asker=ANN)
        await rig.spending.aclose()
        before = len(upstream.requests)
        final = (await rig.ask("How do I clean it?", asker=ANN)).final
        assert len(upstream.requests) == before == 2
        assert (final.status, final.error.code) == ("failed", "rate_limited")
        assert final.error.retry_after_ms > 0
        assert (final.cost_usd, final.usage.input_tokens) == (0, 0)
        [scope] = caps
        scope = scope.removesuffix("_usd")
        assert rig.moved("spend_refused_total", scope) == 1
        assert rig.moved("spend_ratio", scope) == pytest.approx(2 * COST_USD / 0.3)
        others = (await rig.ask("How do I open it up?", asker=EVE)).final
        assert others.status == ("failed" if scope == "total" else "completed")


async def test_f53_an_answer_that_was_given_before_costs_nothing_and_is_given_again():
    async with rigs(1, ANSWERS, key_usd=0.2) as (upstream, rig):
        await rig.ask("How do I open it?", asker=ANN)
        await until(lambda: not rig.flights._by_key and not rig.flights._writes)
        assert (await rig.ask("How do I close it?", asker=ANN)).final.status == "failed"
        again = (await rig.ask("How do I open it?", asker=ANN)).final
        assert (again.status, again.cache.answer) == ("completed", "hit")
        assert len(upstream.requests) == 1


async def test_f53_the_manual_is_quoted_when_the_chain_ends_with_it():
    async with rigs(1, ANSWERS, behind=",extractive", tenant_usd=0.0001) as (upstream, rig):
        final = (await rig.ask(asker=ANN)).final
        assert (final.status, final.fallback, final.model) == (
            "completed",
            "extractive",
            "extractive",
        )
        assert final.cost_usd == 0
        assert upstream.requests == []
        assert rig.moved("spend_refused_total", "tenant") == 1


async def test_f53_a_hundred_at_once_take_what_there_is_and_not_more(shared_book):
    """As many calls go out as can be paid for at their dearest; the sum is what they then cost."""
    async with rigs(1, Plan(silent=True), total_usd=10_000.0) as (_, rig):
        listener = rig.start("How do I open number 00?", asker=ANN)
        await until(lambda: rig.spending._book._sums)
        most_usd = max(rig.spending._book._sums.values()) / NANO
        listener.answer.cancel()
    payable = 10
    cap = (payable + 0.5) * most_usd
    async with rigs(2, Plan(silent=True), book=shared_book, total_usd=cap) as (upstream, *nodes):
        book = nodes[0].spending._book
        listeners = [
            nodes[number % 2].start(f"How do I open number {number:02}?", asker=ANN)
            for number in range(ASKS)
        ]
        async with asyncio.timeout(60):
            await until(
                lambda: sum(one.answer.done.is_set() for one in listeners) >= ASKS - payable
            )
            await until(lambda: len(upstream.requests) == payable)
        refused = [one for one in listeners if one.answer.done.is_set()]
        assert len(refused) == ASKS - payable
        assert {one.final.error.code for one in refused} == {"rate_limited"}
        assert await spent(book) == pytest.approx(payable * most_usd)
        for one in listeners:
            one.answer.cancel()
            await one.end()
        for node in nodes:
            await until(lambda node=node: not node.answering.running)
            await node.flights.aclose()
        assert len(upstream.requests) == payable
        billed = sum(one.final.cost_usd for one in listeners)
        assert await spent(book) == pytest.approx(billed, rel=1e-9)


async def test_f53_the_sum_is_what_all_attempts_cost(shared_book):
    """Failures in mid-answer are paid for, and identical questions once."""
    breaking = Plan(texts=["Half an ", "answer"], reset_after=1)
    async with rigs(1, breaking, ANSWERS, book=shared_book, total_usd=100.0) as (upstream, rig):
        listeners = [rig.start("How do I open it?", asker=who) for who in (ANN, EVE, ANN)]
        for one in listeners:
            await one.end()
        await rig.flights.aclose()
        assert len(upstream.requests) in (2, 3)  # tenants never share
        total = sum(one.final.cost_usd for one in listeners)
        assert total > COST_USD
        assert await spent(rig.spending._book) == pytest.approx(total, rel=1e-6)


def test_f53_a_cap_that_could_not_hold_stops_the_start():
    chain = build_chain("openai:gpt-4.1,openai:my-own", openai_api_key="k")
    with pytest.raises(SettingsError, match=r"openai:my-own has no price"):
        read_prices(Settings(tenant_spend_cap_usd=1.0), chain)
    assert read_prices(Settings(), chain).cost_usd("openai:gpt-4.1", Usage(10**6, 0)) == 2.0


def test_f53_a_price_of_nothing_is_a_price(tmp_path):
    table = tmp_path / "prices.toml"
    table.write_text('[openai]\n"my-own" = { input = 0, output = 0 }\n')
    chain = build_chain("openai:my-own,extractive", openai_api_key="k")
    prices = read_prices(Settings(spend_cap_usd=1.0, prices=table), chain)
    assert prices.cost_usd("openai:my-own", Usage(5, 5)) == 0
