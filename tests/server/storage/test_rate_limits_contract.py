"""What both kinds of token bucket promise, run over the twin and over a real Redis."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from server.storage.rate_limits import (
    KEY_TTL_MS,
    LONGEST_WAIT_S,
    MemoryRateLimits,
    Rate,
    RedisRateLimits,
)
from server.storage.redis_client import RedisClient

START = 1_790_000_000.0


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["memory", "redis"])
async def limits(request, clock):
    if request.param == "memory":
        yield MemoryRateLimits(clock)
        return
    client = RedisClient(request.getfixturevalue("redis_url"), timeout_s=10)
    limits = RedisRateLimits(client, clock, longest_wait_s=10)
    yield limits
    await limits.aclose()
    await client.aclose()


def until_idle(limits):
    return limits.aclose()  # waits for what is under way and closes nothing else


async def test_a_bucket_holds_a_minutes_worth_and_not_one_more(limits):
    rate = Rate("user:a", 30)
    for left in range(29, -1, -1):
        verdict = await limits.take([rate])
        assert (verdict.remaining, verdict.retry_after_s) == (left, 0.0)
        assert verdict.reset_s == pytest.approx((30 - left) * 2, abs=1e-5)
    refused = await limits.take([rate])
    assert refused.remaining == 0
    assert refused.retry_after_s == pytest.approx(2.0, abs=1e-5)
    assert refused.reset_s == pytest.approx(60.0, abs=1e-5)


async def test_tokens_come_back_one_at_a_time_and_refusals_cost_none(limits, clock):
    rate = Rate("user:a", 30)
    for _ in range(30):
        await limits.take([rate])
    for _ in range(5):
        assert (await limits.take([rate])).retry_after_s
        await until_idle(limits)
    clock.now += 1.9
    assert (await limits.take([rate])).retry_after_s == pytest.approx(0.1, abs=1e-5)
    await until_idle(limits)
    clock.now += 0.2
    assert (await limits.take([rate])).retry_after_s == 0
    assert (await limits.take([rate])).retry_after_s


async def test_a_bucket_left_alone_holds_no_more_than_before(limits, clock):
    rate = Rate("user:a", 10)
    await limits.take([rate])
    for pause_s in (20.0, 61.0, 3600.0):
        clock.now += pause_s
        taken = 0
        while not (await limits.take([rate])).retry_after_s:
            taken += 1
            await until_idle(limits)
        assert taken == 10


async def test_names_have_buckets_of_their_own(limits):
    for name in ("user:a", "user:b", "tenant:a"):
        assert not (await limits.take([Rate(name, 1)])).retry_after_s
        assert (await limits.take([Rate(name, 1)])).retry_after_s


async def test_several_buckets_are_taken_from_together_or_not_at_all(limits):
    narrow, wide = Rate("user:a", 2), Rate("tenant:a", 4)
    for left in (1, 0):
        verdict = await limits.take([narrow, wide])
        assert (verdict.rate, verdict.remaining) == (narrow, left)
    for _ in range(3):
        refused = await limits.take([wide, narrow])
        assert refused.rate == narrow
        assert refused.retry_after_s == pytest.approx(30, abs=1e-5)
        await until_idle(limits)
    assert (await limits.take([Rate("user:b", 2), wide])).remaining == 1
    assert (await limits.take([Rate("user:b", 2), wide])).rate.name == "user:b"
    assert (await limits.take([Rate("user:c", 2), wide])).rate == wide


async def test_no_rates_limit_nobody(limits):
    assert await limits.take([]) is None


async def test_both_kinds_say_the_same_whatever_comes(limits, clock):
    """A thousand steps of any kind, each compared with a twin of its own."""
    dice = random.Random(7)
    twin = MemoryRateLimits(clock)
    for _ in range(1000):
        clock.now += dice.choice((0, 0, 0.01, 0.5, 7, 45, 500))
        sizes = {"user:a": 5, "user:b": 60, "tenant:t": 7}
        names = dice.sample(sorted(sizes), dice.randint(1, 3))
        rates = [Rate(name, sizes[name]) for name in names]
        assert await limits.take(rates) == await twin.take(rates)
        await until_idle(limits)


@given(
    st.integers(1, 100),
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), max_size=30),
)
def test_no_minute_sees_more_than_two_buckets_and_each_refusal_names_the_time(size, steps):
    clock = Clock()
    limits = MemoryRateLimits(clock)
    rate, taken = Rate("a", size), []
    for pause_s, asks in steps:
        clock.now += pause_s
        for _ in range(asks):
            verdict = limits.take_now([rate])
            if verdict.retry_after_s:
                assert 0 < verdict.retry_after_s <= 60 / size + 1e-5
                then = clock.now
                clock.now += verdict.retry_after_s + 1e-5
                assert not limits.take_now([rate]).retry_after_s
                taken.append(clock.now)
                assert clock.now > then
                break
            taken.append(clock.now)
    for at in taken:
        # a full bucket, and what came back meanwhile
        assert len([one for one in taken if at <= one < at + 60]) <= 2 * size


def test_the_twin_forgets_who_was_idle_longest(clock):
    limits = MemoryRateLimits(clock, max_names=2)
    for name in "aba":
        limits.take_now([Rate(name, 2)])
    limits.take_now([Rate("c", 2)])
    assert limits.take_now([Rate("a", 2)]).retry_after_s
    assert limits.take_now([Rate("b", 2)]).remaining == 1


async def test_a_fleet_shares_one_bucket_exactly(redis_url):
    clients = [RedisClient(redis_url, timeout_s=10) for _ in range(3)]
    fleet = [RedisRateLimits(client, time.time, longest_wait_s=10) for client in clients]
    rate = Rate("user:a", 100)
    won = Counter()

    async def ask(node):
        while not (await fleet[node].take([rate])).retry_after_s:
            won[node] += 1

    started = time.monotonic()
    await asyncio.gather(*(ask(node) for node in (0, 1, 2) for _ in range(10)))
    came_back = (time.monotonic() - started) / 60 * 100
    assert 100 <= won.total() <= 100 + came_back + 1
    for one in (*fleet, *clients):
        await one.aclose()


async def test_what_the_fleet_took_is_known_when_redis_is_lost(redis_server, clock):
    server = redis_server()
    clients = [RedisClient(server.url, timeout_s=10) for _ in range(2)]
    here, there = (RedisRateLimits(client, clock, longest_wait_s=10) for client in clients)
    rate = Rate("user:a", 10)
    for _ in range(7):
        await there.take([rate])
    assert (await here.take([rate])).remaining == 2
    server.kill()
    assert (await here.take([rate])).remaining == 1
    for one in (here, there, *clients):
        await one.aclose()


async def test_keys_end_by_themselves_and_tell_nobody_whose_they_are(redis_url, clock):
    client = RedisClient(redis_url, timeout_s=10)
    limits = RedisRateLimits(client, clock, longest_wait_s=10)
    await limits.take([Rate("address:203.0.113.7", 5), Rate("user:ann", 5)])
    with redis.Redis.from_url(redis_url) as plain:
        keys = plain.keys("*")
        assert len(keys) == 2
        for key in keys:
            assert key.startswith(b"rate:")
            assert b"203" not in key
            assert b"ann" not in key
            assert 0 < plain.pttl(key) <= KEY_TTL_MS
    await client.aclose()


async def test_foreign_values_at_the_key_limit_nobody_and_raise_nothing(redis_url, clock):
    client = RedisClient(redis_url, timeout_s=10)
    limits = RedisRateLimits(client, clock, longest_wait_s=10)
    rate = Rate("user:a", 5)
    await limits.take([rate])
    with redis.Redis.from_url(redis_url) as plain:
        [key] = plain.keys("*")
        for plant in (lambda: plain.set(key, "words"), lambda: plain.hset(key, "f", "v")):
            plain.delete(key)
            plant()
            assert not (await limits.take([rate])).retry_after_s
        plain.delete(key)
        plain.set(key, -(2**62))  # a bucket that was full ages ago is full now
        assert not (await limits.take([rate])).retry_after_s
        await limits.aclose()
        assert int(plain.get(key)) == int(START * 1e6) + rate.interval_us
    await client.aclose()


async def test_f55_without_redis_each_process_goes_by_its_own_count(redis_server, clock):
    server = redis_server()
    client = RedisClient(server.url)
    limits = RedisRateLimits(client, clock, longest_wait_s=10)
    rate = Rate("user:a", 10)
    for _ in range(4):
        await limits.take([rate])
    server.kill()
    for left in range(5, -1, -1):
        assert (await limits.take([rate])).remaining == left
    assert (await limits.take([rate])).retry_after_s
    server.start()
    deadline = time.monotonic() + 20
    with redis.Redis(port=server.port) as plain:
        while not plain.keys("rate:*"):  # asked again as soon as the breaker lets one through
            assert time.monotonic() < deadline
            await limits.take([Rate("user:b", 100_000)])
            await asyncio.sleep(0.01)
    await limits.aclose()
    await client.aclose()


async def test_f55_a_redis_that_says_nothing_delays_nobody_for_long():
    async def swallow(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        client = RedisClient(f"redis://127.0.0.1:{port}/0")
        limits = RedisRateLimits(client, time.time)
        waits = []
        for number in range(200):
            started = time.monotonic()
            assert not (await limits.take([Rate(f"user:{number}", 5)])).retry_after_s
            waits.append(time.monotonic() - started)
        assert sorted(waits)[100] < LONGEST_WAIT_S  # the breaker is open for most of them
        assert max(waits) < LONGEST_WAIT_S + 0.5  # and a busy machine gets some room
        await limits.aclose()
        await client.aclose()
