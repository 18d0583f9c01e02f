"""Everything that the caches do works for a user who may do nothing else."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis

from server.storage.caches import open_caches
from server.storage.checks import check_cache
from server.storage.leases import keeping
from server.storage.once import RedisOnce
from server.storage.rate_limits import Rate
from server.storage.redis_client import RedisClient
from server.storage.shared_lists import RedisList
from server.storage.texts import StoredText, fingerprint

COMMANDS = (
    "get set del strlen hstrlen hmget hset pexpire exists touch getrange "
    "incrby decrby scard smembers sadd zincrby zremrangebyrank zrevrange "
    "ping info hello auth select client|tracking"
)
KEYS = (
    "~doc_text:*",
    "~doc_meta:*",
    "~answer:*",
    "~lease:*",
    "~manual_hits",
    "~rate:*",
    "~once:*",
    "~manicule:revoked",
)


@pytest.fixture
def limited_url(redis_server):
    server = redis_server()
    rules = ["reset", "on", ">canary", *KEYS, *(f"+{name}" for name in COMMANDS.split())]
    server.run("ACL", "SETUSER", "manicule", *rules)
    return f"redis://manicule:canary@127.0.0.1:{server.port}/0"


async def test_s26_the_caches_need_no_dangerous_command_and_no_script(limited_url):
    faults = []
    caches = open_caches(limited_url, text_bytes=1000, answer_bytes=1000, on_fault=faults.append)
    told = []
    caches.invalidations.listen(told.append)
    await caches.start()
    deadline = time.monotonic() + 10
    while not caches.invalidations.live:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    one = StoredText("x", "text", fingerprint("text"), "T", 1.0)
    assert await caches.texts.put(one, ttl_s=60)
    assert await caches.texts.touch(one, ttl_s=60)
    assert await caches.texts.get("x") == one
    assert await caches.texts.present(["x"]) == {"x"}
    await caches.texts.used(["x"])
    await caches.texts.delete("x")
    await caches.answers.put("k", b"v", ttl_s=60)
    assert await caches.answers.get("k") == b"v"
    await caches.answers.delete("k")
    lease = await caches.leases.acquire("a", ttl_s=30)
    assert await caches.leases.renew(lease, ttl_s=30)
    async with keeping(caches.leases, lease, ttl_s=30):
        pass
    await caches.popularity.add({"x": 1})
    assert await caches.popularity.top(1) == ["x"]
    assert [bool((await caches.limits.take([Rate("a", 1)])).retry_after_s) for _ in "ab"] == [0, 1]
    other = open_caches(limited_url, text_bytes=1000, answer_bytes=1000, on_fault=faults.append)
    assert (await other.limits.take([Rate("a", 1)])).retry_after_s  # and puts a token back
    await other.aclose()
    await caches.aclose()
    assert faults == []
    assert all(finding.ok for finding in await check_cache(limited_url))


async def test_s26_tickets_and_revocations_need_no_more(limited_url):
    client = RedisClient(limited_url)
    once, revoked = RedisOnce(client), RedisList(client)
    assert [await once.take("ticket:a", ttl_s=30) for _ in range(2)] == [True, False]
    assert await revoked.add("sub:ada")
    assert await revoked.read() == {"sub:ada"}
    await client.aclose()


@pytest.mark.parametrize(
    "command", ["EVAL return(1) 0", "FLUSHALL", "CONFIG GET maxmemory", "KEYS *", "GET other"]
)
def test_s26_that_user_may_do_nothing_else(limited_url, command):
    with (
        redis.Redis.from_url(limited_url) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.execute_command(*command.split())
