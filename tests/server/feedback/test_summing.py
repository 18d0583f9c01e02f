"""The loop that lets the store sum up."""

from __future__ import annotations

import asyncio

from server.feedback.summing import Summing
from server.storage.store import StoreUnavailableError

WAIT_S = 10.0


class Sums:
    """A store that is away at first, then sums up."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self.fault = fault

    async def sum_up(self, today: int) -> int:
        self.asked.put_nowait(today)
        fault, self.fault = self.fault, None
        if fault:
            raise fault
        return 1


def summing(store, **options):
    return Summing(store, pause_s=0.01, wall_clock=lambda: 20_000.5 * 86_400, **options)


async def test_sums_up_again_and_again_though_the_store_was_away():
    store = Sums(StoreUnavailableError("away"))
    one = summing(store)
    one.start()
    async with asyncio.timeout(WAIT_S):
        assert [await store.asked.get() for _ in range(3)] == [20_000] * 3
        await one.aclose()


async def test_a_fault_of_ours_is_told():
    told = asyncio.Event()
    one = summing(Sums(ValueError("a mistake")), on_fatal=lambda reason: told.set())
    one.start()
    async with asyncio.timeout(WAIT_S):
        await told.wait()
        await one.aclose()


async def test_ends_at_once_while_it_waits():
    one = Summing(Sums(), pause_s=3600)
    one.start()
    async with asyncio.timeout(WAIT_S):
        await one.aclose()
