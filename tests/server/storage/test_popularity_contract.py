"""What both popularity counts promise, run over the twin and over a real Redis."""

from __future__ import annotations

import pytest
import redis
from redis_servers import PATIENT_S

from server.storage.popularity import EPOCH, HALF_LIFE_S, KEPT, MemoryPopularity, RedisPopularity
from server.storage.redis_client import RedisClient


class Clock:
    def __init__(self):
        self.now = EPOCH + 10 * HALF_LIFE_S

    def __call__(self):
        return self.now


@pytest.fixture(params=["memory", "redis"])
async def counted(request):
    clock = Clock()
    if request.param == "memory":
        yield MemoryPopularity(clock), clock
        return
    client = RedisClient(request.getfixturevalue("redis_url"), timeout_s=PATIENT_S)
    yield RedisPopularity(client, clock), clock
    await client.aclose()


async def test_ranks_by_asks(counted):
    popularity, _ = counted
    await popularity.add({"a": 1, "b": 5})
    await popularity.add({"a": 2, "c": 1})
    assert await popularity.top(10) == ["b", "a", "c"]
    assert await popularity.top(1) == ["b"]
    assert await popularity.top(0) == []


async def test_old_asks_fade(counted):
    popularity, clock = counted
    await popularity.add({"old": 10})
    clock.now += 4 * HALF_LIFE_S
    await popularity.add({"new": 1})
    assert await popularity.top(2) == ["new", "old"]


async def test_remembers_a_bounded_number(counted):
    popularity, _ = counted
    await popularity.add({f"m{n}": n + 1 for n in range(KEPT + 50)})
    ranked = await popularity.top(KEPT * 2)
    assert len(ranked) == KEPT
    assert ranked[0] == f"m{KEPT + 49}"


async def test_weights_last_until_2045():
    far = MemoryPopularity(lambda: 2_366_841_600.0)
    await far.add({"a": 10**6})
    await far.add({"b": 1})
    assert await far.top(2) == ["a", "b"]


async def test_f60_a_wrong_type_at_the_key_is_no_error(redis_url):
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    popularity = RedisPopularity(client, Clock())
    with redis.Redis.from_url(redis_url) as plain:
        plain.set("manual_hits", "not a sorted set")
    await popularity.add({"a": 1})
    assert await popularity.top(3) == []
    await client.aclose()
