"""What both kinds of lease promise, run over the twin and over a real Redis."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis
from redis_servers import PATIENT_S

from server.storage.leases import Lease, MemoryLeases, RedisLeases, keeping
from server.storage.redis_client import RedisClient


@pytest.fixture(params=["memory", "redis"])
async def leases(request):
    if request.param == "memory":
        yield MemoryLeases()
        return
    client = RedisClient(request.getfixturevalue("redis_url"), timeout_s=PATIENT_S)
    yield RedisLeases(client)
    await client.aclose()


async def until(check, bound_s: float = 10.0):
    deadline = time.monotonic() + bound_s
    while not (found := await check()):
        assert time.monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.01)
    return found


async def test_one_of_many_gets_it(leases):
    got = await asyncio.gather(*(leases.acquire("a", ttl_s=30) for _ in range(50)))
    assert len([lease for lease in got if lease]) == 1
    assert await leases.acquire("b", ttl_s=30), "another name is another lease"


async def test_is_free_after_release(leases):
    lease = await leases.acquire("a", ttl_s=30)
    await leases.release(lease)
    assert await leases.acquire("a", ttl_s=30)


async def test_lapses_by_itself(leases):
    lease = await leases.acquire("a", ttl_s=0.1)
    assert await until(lambda: leases.acquire("a", ttl_s=30))
    assert await leases.renew(lease, ttl_s=30) is None


async def test_renewing_keeps_it(leases):
    lease = await leases.acquire("a", ttl_s=5)
    renewed = await leases.renew(lease, ttl_s=30)
    assert renewed.until > lease.until
    assert await leases.acquire("a", ttl_s=30) is None


async def test_a_wrong_release_leaves_it_alone(leases):
    await leases.acquire("a", ttl_s=30)
    stranger = Lease("a", "not the token", time.monotonic() + 30)
    await leases.release(stranger)
    assert await leases.renew(stranger, ttl_s=30) is None
    assert await leases.acquire("a", ttl_s=30) is None


async def test_keeping_renews_while_it_runs_and_releases_after(leases):
    lease = await leases.acquire("a", ttl_s=3.5)
    async with keeping(leases, lease, ttl_s=3.5):
        assert await leases.acquire("a", ttl_s=30) is None
    assert await leases.acquire("a", ttl_s=30)


async def test_keeping_outlives_the_first_term(redis_url):
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    leases = RedisLeases(client)
    lease = await leases.acquire("a", ttl_s=0.5)

    async def extended():
        return time.monotonic() > lease.until + 0.2

    async with keeping(leases, lease, ttl_s=0.5):
        await until(extended)
        assert await leases.acquire("a", ttl_s=30) is None
    await client.aclose()


async def test_a_late_release_lets_it_lapse(redis_url):
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    now = 1000.0
    leases = RedisLeases(client, clock=lambda: now)
    lease = await leases.acquire("a", ttl_s=30)
    now = 1029.5
    await leases.release(lease)
    with redis.Redis.from_url(redis_url) as plain:
        assert plain.exists("lease:a") == 1
    await client.aclose()


async def test_without_a_server_everybody_may_work(free_port):
    client = RedisClient(f"redis://127.0.0.1:{free_port}")
    leases = RedisLeases(client)
    lease = await leases.acquire("a", ttl_s=30)
    assert lease
    assert not lease.shared
    assert (await leases.renew(lease, ttl_s=60)).until > lease.until
    await leases.release(lease)
    await client.aclose()
