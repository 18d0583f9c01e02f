"""Invalidations from a real Redis: told, and told again after every loss."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
import redis
from redis_servers import PATIENT_S

from server.storage.redis_client import RedisClient
from server.storage.redis_tracking import RedisInvalidations
from server.storage.tracking import NoInvalidations


async def until(check, bound_s: float = 10.0):
    deadline = time.monotonic() + bound_s
    while not check():
        assert time.monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def following(url: str, **options):
    client = RedisClient(url, timeout_s=PATIENT_S)
    told: list[str | None] = []
    invalidations = RedisInvalidations(client, **options)
    invalidations.listen(told.append)
    assert not invalidations.live
    await invalidations.start()
    try:
        yield invalidations, told
    finally:
        await invalidations.aclose()
        await client.aclose()


async def test_tells_each_way_a_text_changes(redis_url):
    async with following(redis_url) as (invalidations, told):
        await until(lambda: invalidations.live)
        assert told == [None], "what changed before is not known"
        told.clear()
        with redis.Redis.from_url(redis_url) as plain:
            plain.set("doc_text:a", "1")
            plain.set("other:b", "1")
            plain.set("doc_meta:b", "1")
            plain.append("doc_text:c", "1")
            plain.delete("doc_text:a")
            plain.set("doc_text:é:x", "1", px=20)
        await until(lambda: told.count("é:x") == 2)
        assert told == ["a", "c", "a", "é:x", "é:x"]
        told.clear()
        with redis.Redis.from_url(redis_url) as plain:
            plain.flushdb()
        await until(lambda: told == [None])


async def test_tells_all_after_the_server_came_back(redis_server):
    server = redis_server()
    async with following(server.url) as (invalidations, told):
        await until(lambda: invalidations.live)
        told.clear()
        server.stop()
        await until(lambda: not invalidations.live)
        assert told == [None]
        server.start()
        await until(lambda: invalidations.live)
        assert told == [None, None]
        server.run("SET", "doc_text:a", "1")
        await until(lambda: told[-1] == "a")


async def test_tells_all_when_only_its_connection_is_cut(redis_url):
    async with following(redis_url) as (invalidations, told):
        await until(lambda: invalidations.live)
        told.clear()
        with redis.Redis.from_url(redis_url) as plain:
            plain.client_kill_filter(_type="normal", skipme=True)
            await until(lambda: len(told) == 2)
            await until(lambda: invalidations.live)
            plain.set("doc_text:a", "1")
        await until(lambda: told == [None, None, "a"])


async def test_notices_a_server_that_fell_silent(redis_server):
    server = redis_server()
    async with following(server.url, ping_s=0.1) as (invalidations, told):
        await until(lambda: invalidations.live)
        server.process.send_signal(19)  # SIGSTOP
        await until(lambda: not invalidations.live)
        server.process.send_signal(18)  # SIGCONT
        await until(lambda: invalidations.live)
        assert told == [None, None, None]


async def test_stays_through_quiet_times(redis_url):
    async with following(redis_url, ping_s=0.02) as (invalidations, told):
        await until(lambda: invalidations.live)
        with redis.Redis.from_url(redis_url) as plain:
            before = plain.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"]

            def pings():
                return plain.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"]

            await until(lambda: pings() >= before + 5)
        assert invalidations.live
        assert told == [None]


async def test_waits_for_a_server_that_is_not_there_yet(redis_server):
    server = redis_server(start=False)
    async with following(server.url) as (invalidations, told):
        assert told == []
        server.start()
        await until(lambda: invalidations.live)
        assert told == [None]


async def test_the_twin_is_always_live():
    twin = NoInvalidations()
    twin.listen(lambda manual_id: pytest.fail("nothing can change"))
    await twin.start()
    assert twin.live
    await twin.aclose()
