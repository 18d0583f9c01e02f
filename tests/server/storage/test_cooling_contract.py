"""What both kinds of cooling promise, run over the twin and over a real Redis."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis_servers import PATIENT_S

from server.llm.cooling import MemoryCooling
from server.storage.redis_client import RedisClient
from server.storage.redis_cooling import RedisCooling


@pytest.fixture(params=["memory", "redis"])
async def nodes(request):
    """Two nodes of a fleet; of the twin, the same process twice."""
    if request.param == "memory":
        one = MemoryCooling()
        yield one, one
        return
    clients = [
        RedisClient(request.getfixturevalue("redis_url"), timeout_s=PATIENT_S) for _ in range(2)
    ]
    yield tuple(RedisCooling(client) for client in clients)
    for client in clients:
        await client.aclose()


async def test_nobody_rests_at_first(nodes):
    assert await nodes[0].left(["a", "b"]) == {}
    assert await nodes[0].left([]) == {}


async def test_f41_a_rest_is_known_to_all(nodes):
    await nodes[0].cool("openai:a", 30)
    for node in nodes:
        left = await node.left(["openai:a", "openai:b"])
        assert left.keys() == {"openai:a"}
        assert 29 < left["openai:a"] <= 30


async def test_of_two_wishes_the_longer_one_holds(nodes):
    here, there = nodes
    await here.cool("a", 5)
    await there.cool("a", 60)
    await here.cool("a", 1)
    for node in nodes:
        assert 59 < (await node.left(["a"]))["a"] <= 60


async def test_a_rest_ends_by_itself(nodes):
    here, there = nodes
    await here.cool("a", 0.05)
    deadline = time.monotonic() + 10
    while await here.left(["a"]) or await there.left(["a"]):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_f41_without_redis_a_process_knows_its_own(redis_server):
    server = redis_server()
    client = RedisClient(server.url)
    cooling = RedisCooling(client)
    server.kill()
    await cooling.cool("a", 30)
    assert 29 < (await cooling.left(["a", "b"]))["a"] <= 30
    await client.aclose()


async def test_other_values_at_the_keys_rest_nobody_for_ever(nodes, redis_url):
    """A key without an end is somebody else's."""
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    await client.call("SET", "manicule:cooling:foreign", "x")
    assert await nodes[0].left(["foreign"]) == {}
    await client.aclose()
