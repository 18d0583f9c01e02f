"""What both kinds of spend book promise, run over the twin and over a real Redis."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis_servers import PATIENT_S

from server.storage.redis_client import RedisClient
from server.storage.spend_book import PREFIX, MemorySpendBook, RedisSpendBook

DAY = 20_700


@pytest.fixture(params=["memory", "redis"])
async def books(request):
    """The books of two nodes of a fleet; of the twin, the same one twice."""
    if request.param == "memory":
        one = MemorySpendBook()
        yield one, one
        return
    clients = [
        RedisClient(request.getfixturevalue("redis_url"), timeout_s=PATIENT_S) for _ in range(2)
    ]
    yield tuple(RedisSpendBook(client) for client in clients)
    for client in clients:
        await client.aclose()


async def test_sums_are_of_an_account_and_a_day(books):
    here, there = books
    assert await here.add("key:a", DAY, 5) == 5
    assert await there.add("key:a", DAY, 7) == 12
    assert await here.add("key:a", DAY, -2) == 10
    assert await here.add("key:b", DAY, 1) == 1
    assert await here.add("key:a", DAY + 1, 3) == 3


async def test_f53_no_two_of_many_adders_get_the_same_sum(books):
    sums = await asyncio.gather(*(books[n % 2].add("total:", DAY, 3) for n in range(100)))
    assert sorted(sums) == list(range(3, 301, 3))


async def test_large_sums_are_exact(books):
    here, there = books
    assert await here.add("total:", DAY, 10**15 + 1) == 10**15 + 1
    assert await there.add("total:", DAY, 10**15 + 2) == 2 * 10**15 + 3


async def test_accounts_of_any_name_are_kept_apart(books):
    for name in ("tenant:", "tenant:*", "tenant:a\r\nb", "tenant:{x}"):
        assert await books[0].add(name, DAY, 1) == 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-(10**12), 10**12)), max_size=50))
def test_the_twin_is_a_sum(steps):
    book, want = MemorySpendBook(), dict.fromkeys("abc", 0)
    for account, amount in steps:
        want[account] += amount
        assert book.add_now(account, DAY, amount) == want[account]


def test_the_twin_is_bounded():
    book = MemorySpendBook(max_accounts=2)
    for account in ("a", "b", "a", "c"):
        book.add_now(account, DAY, 1)
    assert book.add_now("a", DAY, 1) == 3, "idle for longest was b"
    assert book.add_now("b", DAY, 1) == 1


async def test_a_day_of_redis_ends_by_itself(redis_server):
    server = redis_server()
    client = RedisClient(server.url)
    await RedisSpendBook(client).add("key:a", DAY, 1)
    [key] = server.run("KEYS", f"{PREFIX}*")
    assert 0 < server.run("TTL", key) <= 2 * 86_400
    assert b"key:a" not in key
    await client.aclose()


async def test_f53_without_redis_a_node_goes_on_from_the_last_sum_and_pays_its_debts_later(
    redis_server,
):
    server = redis_server()
    clock = [0.0]
    clients = [RedisClient(server.url, clock=lambda: clock[0]) for _ in range(2)]
    here, there = (RedisSpendBook(client) for client in clients)
    await there.add("key:a", DAY, 100)
    assert await here.add("key:a", DAY, 1) == 101
    port = server.port
    server.stop()
    assert await here.add("key:a", DAY, 10) == 111
    assert await here.add("key:a", DAY, 20) == 131
    server.port = port
    server.start()
    clock[0] = 60.0  # the breaker has cooled
    assert await here.add("key:a", DAY, 1) == 31, "a Redis that lost its data starts anew"
    assert await there.add("key:a", DAY, 4) == 35
    for client in clients:
        await client.aclose()


async def test_something_else_at_the_key_is_no_error(redis_url):
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    book = RedisSpendBook(client)
    await book.add("key:a", DAY, 1)
    [key] = await client.call("KEYS", f"{PREFIX}*")
    await client.call("SET", key, "not a number")
    assert await book.add("key:a", DAY, 2) == 3
    await client.aclose()
