"""Caps on a day's money: what they let through, give back, and tell."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.answering.spending import NANO, Caps, SpendCapError, Spending
from server.answering.topics import Asker
from server.storage.spend_book import MemorySpendBook
from server.telemetry.metrics import Metrics

NOON = 20_700 * 86_400.0 + 43_200
ANN, BOB = Asker("ann", "acme"), Asker("bob", "acme")
EVE = Asker("eve", "evil")


class Purse:
    """A spending with its parts at hand."""

    def __init__(self, book=None, **caps: float) -> None:
        self.now = NOON
        self.book = book or MemorySpendBook()
        self.metrics = Metrics()
        self.spending = Spending(Caps(**caps), self.metrics, lambda: self.now, self.book)

    async def spent(self, account: str) -> float:
        await self.spending.aclose()
        return await self.book.add(account, int(self.now // 86_400), 0) / NANO

    async def refused(self, asker: Asker, usd: float) -> SpendCapError:
        with pytest.raises(SpendCapError) as caught:
            await self.spending.hold(asker, usd)
        return caught.value

    def shown(self, scope: str) -> float:
        return self.metrics.registry.get_sample_value("manicule_spend_ratio", {"scope": scope})


async def test_without_caps_nothing_is_counted():
    purse = Purse()
    hold = await purse.spending.hold(ANN, 5.0)
    hold.settle(7.0)
    assert not purse.spending.has_caps
    assert await purse.spent("total:") == 0


async def test_what_was_set_aside_is_exchanged_for_the_cost():
    purse = Purse(key_usd=10, tenant_usd=10, total_usd=10)
    hold = await purse.spending.hold(ANN, 5.0)
    assert [await purse.spent(one) for one in ("key:ann", "tenant:acme", "total:")] == [5, 5, 5]
    hold.settle(1.25)
    assert [await purse.spent(one) for one in ("key:ann", "tenant:acme", "total:")] == [1.25] * 3


async def test_f53_nobody_is_let_through_past_a_cap():
    purse = Purse(key_usd=1.0)
    await purse.spending.hold(ANN, 0.6)
    error = await purse.refused(ANN, 0.6)
    assert (error.code, error.retry_after_ms) == ("rate_limited", 43_200_001)
    assert "your key" in error.message
    assert await purse.spent("key:ann") == 0.6
    await purse.spending.hold(ANN, 0.4)
    await purse.spending.hold(BOB, 1.0)


async def test_f53_who_is_over_their_own_cap_takes_nothing_from_others():
    """While the refused ones of a tenant come and go, the sum of all is not moved at all."""
    moved = []

    class Watched(MemorySpendBook):
        async def add(self, account, day, nano_usd):
            moved.append(account)
            await asyncio.sleep(0)
            return self.add_now(account, day, nano_usd)

    purse = Purse(Watched(), tenant_usd=1.0, total_usd=100.0)
    await purse.spending.hold(EVE, 1.0)
    moved.clear()
    results = await asyncio.gather(
        *(purse.spending.hold(EVE, 0.5) for _ in range(20)), return_exceptions=True
    )
    assert {type(one) for one in results} == {SpendCapError}
    assert "total:" not in moved
    await purse.spending.hold(ANN, 1.0)


async def test_the_cap_of_a_key_is_for_those_who_have_one():
    purse = Purse(key_usd=0.1)
    await purse.spending.hold(Asker(), 5.0)
    assert "your key" in (await purse.refused(ANN, 5.0)).message


async def test_a_new_day_begins_anew_and_a_call_is_settled_on_its_own():
    purse = Purse(total_usd=1.0)
    hold = await purse.spending.hold(ANN, 1.0)
    purse.now += 86_400
    await purse.spending.hold(ANN, 1.0)
    hold.settle(0.25)
    assert await purse.spent("total:") == 1.0
    purse.now -= 86_400
    assert await purse.spent("total:") == 0.25


async def test_a_caller_that_goes_away_gets_everything_back():
    entered, gate, given_back = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow(MemorySpendBook):
        async def add(self, account, day, nano_usd):
            if nano_usd > 0:
                entered.set()
                await gate.wait()
            if nano_usd < 0:
                given_back.set()
            return self.add_now(account, day, nano_usd)

    purse = Purse(Slow(), total_usd=1.0)
    asking = asyncio.create_task(purse.spending.hold(ANN, 0.5))
    await entered.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    gate.set()
    async with asyncio.timeout(10):
        await given_back.wait()
    assert await purse.spent("total:") == 0


async def test_the_gauge_shows_the_nearest_to_a_cap_of_the_day():
    purse = Purse(tenant_usd=1.0)
    for asker, usd in ((ANN, 0.5), (EVE, 0.25)):
        (await purse.spending.hold(asker, usd)).settle(usd)
        await purse.spending.aclose()
    assert purse.shown("tenant") == 0.5
    await purse.refused(ANN, 0.75)
    assert purse.shown("tenant") == 0.5
    purse.now += 86_400
    (await purse.spending.hold(EVE, 0.1)).settle(0.1)
    await purse.spending.aclose()
    assert purse.shown("tenant") == pytest.approx(0.1)


CALLS = st.lists(
    st.tuples(st.sampled_from([ANN, BOB, EVE]), st.integers(1, 50), st.integers(0, 50)),
    min_size=1,
    max_size=60,
)


@given(CALLS, st.integers(1, 200), st.integers(1, 200), st.integers(1, 200))
def test_f53_concurrent_calls_keep_every_cap_and_the_sums_are_what_they_cost(
    calls, key, tenant, total
):
    """However many ask at once: what is set aside never passes a cap, and nothing is left over."""

    async def run():
        purse = Purse(key_usd=key / 100, tenant_usd=tenant / 100, total_usd=total / 100)
        caps = {"key": key, "tenant": tenant, "total": total}
        highest: dict[str, int] = {}

        class Late(MemorySpendBook):
            async def add(self, account, day, nano_usd):
                await asyncio.sleep(0)
                return self.add_now(account, day, nano_usd)

        purse.spending._book = purse.book = Late()
        holds = await asyncio.gather(
            *(purse.spending.hold(asker, most / 100) for asker, most, _ in calls),
            return_exceptions=True,
        )
        cost: dict[str, int] = {}
        for (asker, most, spent), hold in zip(calls, holds, strict=True):
            if isinstance(hold, SpendCapError):
                continue
            hold.settle(min(most, spent) / 100)
            for account in (f"key:{asker.name}", f"tenant:{asker.tenant}", "total:"):
                highest[account] = highest.get(account, 0) + most
                cost[account] = cost.get(account, 0) + min(most, spent)
        for account, held in highest.items():
            assert held <= caps[account.partition(":")[0]]
        for account, cents in cost.items():
            assert await purse.spent(account) == cents / 100

    asyncio.run(run())
