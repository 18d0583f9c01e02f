"""Caps on a day's money, shared by several nodes, and questions given up at any moment."""

import asyncio
from dataclasses import dataclass

from explorer import WALL_START_S
from simulated_world import Far, Wire, World

from server.answering.spending import DAY_S, NANO, Caps, SpendCapError, Spending
from server.answering.topics import Asker
from server.storage.spend_book import MemorySpendBook
from server.telemetry.metrics import Metrics

ESTIMATE_USD = 0.01
CAP_USD = 0.2


@dataclass
class Till:
    """What calls of a tenant cost, what is aside for those that run, what more they cost."""

    spent: float = 0.0
    aside: float = 0.0
    beyond: float = 0.0

    def check(self):
        assert self.spent + self.aside <= CAP_USD + self.beyond + 1e-9


async def ask(world, spending, tenant, till):
    """One question: money is set aside, a call costs something, the rest is given back."""
    try:
        hold = await spending.hold(Asker("", tenant), ESTIMATE_USD)
    except SpendCapError as refusal:
        assert 0 < refusal.retry_after_ms <= DAY_S * 1000 + 1
        return False
    till.aside += ESTIMATE_USD
    till.check()
    cost = 0.0
    try:
        cost = world.dice.choice((0.0, ESTIMATE_USD / 2, ESTIMATE_USD, 2 * ESTIMATE_USD))
        await asyncio.sleep(world.dice.uniform(0, 0.5))
    except asyncio.CancelledError:
        cost /= 2
        raise
    finally:
        till.aside -= ESTIMATE_USD
        till.spent += cost
        till.beyond += max(0.0, cost - ESTIMATE_USD)
        hold.settle(cost)
    return True


async def many_questions(seed):
    world = World(seed)
    book, tills = MemorySpendBook(), {"greedy": Till(), "modest": Till()}
    nodes = [
        Spending(
            Caps(tenant_usd=CAP_USD),
            Metrics(),
            lambda: WALL_START_S + world.loop.time(),
            Far(book, Wire(world, RuntimeError)),
        )
        for _ in range(3)
    ]
    asking = []
    for number in range(100):
        tenant = "modest" if number % 25 == 0 else "greedy"
        work = ask(world, world.dice.choice(nodes), tenant, tills[tenant])
        asking.append(asyncio.create_task(work))
        await asyncio.sleep(world.dice.choice((0.0, 0.0, 0.02)))
        if world.chance(0.2):
            world.dice.choice(asking).cancel()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    await asyncio.gather(*(node.aclose() for node in nodes))
    await asyncio.sleep(1)  # money of who gave up while it was set aside comes back
    await asyncio.gather(*(node.aclose() for node in nodes))
    day = int((WALL_START_S + world.loop.time()) // DAY_S)
    for tenant, till in tills.items():
        assert await book.add(f"tenant:{tenant}", day, 0) == round(till.spent * NANO)
    assert False in outcomes, "nobody was refused"
    modest = [outcome for outcome in outcomes[::25] if isinstance(outcome, bool)]
    assert all(modest), "one tenant paid for another"


def test_f53_no_schedule_overshoots_a_cap_or_loses_money(explore):
    explore(many_questions)
