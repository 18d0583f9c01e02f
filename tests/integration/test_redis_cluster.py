"""Everything that is kept in Redis, in a real cluster of three."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
from nodes import Nodes
from reader import Reader
from redis.crc import key_slot
from redis_servers import LOG_OF_A_CLUSTER, PATIENT_S, join

from protocol.positions import BEFORE_ALL, Position
from server.storage.blobs import RedisBlobCache
from server.storage.checks import check_cache, check_log
from server.storage.journal import JournalError
from server.storage.leases import RedisLeases
from server.storage.once import RedisOnce
from server.storage.popularity import RedisPopularity
from server.storage.rate_limits import Rate, RedisRateLimits
from server.storage.redis_client import RedisClient
from server.storage.redis_cooling import RedisCooling
from server.storage.redis_fleet import RedisFleet
from server.storage.redis_journal import JOURNAL_KEY, RedisJournal
from server.storage.redis_response_log import RedisResponseLog
from server.storage.redis_texts import RedisTextCache
from server.storage.redis_tracking import RedisInvalidations
from server.storage.response_log import Entry
from server.storage.shared_lists import RedisList
from server.storage.spend_book import RedisSpendBook
from server.storage.texts import Miss, StoredText, fingerprint

USERS = Path(__file__).parents[2] / "kubernetes" / "redis" / "log-users.acl"
IDS = [f"manual-{n}" for n in range(12)]


async def until(check, bound_s: float = 20.0):
    deadline = time.monotonic() + bound_s
    while not check():
        assert time.monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.01)


JOURNAL_SLOT = key_slot(JOURNAL_KEY.encode())


def slots_of(node) -> range:
    """The slots that a node of `join` was given."""
    [[first, last, *_]] = [
        one for one in node.run("CLUSTER", "SLOTS", raw=True) if one[2][1] == node.port
    ]
    return range(first, last + 1)


def stored(manual_id: str) -> StoredText:
    text = f"text of {manual_id}"
    return StoredText(manual_id, text, fingerprint(text), "T", 1.0)


async def test_every_port_works_over_all_nodes(cluster_url):
    faults = []
    client = RedisClient(cluster_url, on_fault=faults.append, timeout_s=PATIENT_S)
    texts = RedisTextCache(client)
    for manual_id in IDS:
        assert await texts.put(stored(manual_id), ttl_s=60)
        assert await texts.touch(stored(manual_id), ttl_s=60)
        assert await texts.get(manual_id) == stored(manual_id)
        assert not isinstance(await texts.head(manual_id), Miss)
    assert await texts.present([*IDS, "other"]) == set(IDS)
    await texts.used(IDS)
    await texts.delete(IDS[0])
    assert await texts.get(IDS[0]) is Miss.ABSENT

    blobs = RedisBlobCache(client)
    for n in range(10):
        await blobs.put(f"k{n}", b"v", ttl_s=60)
        assert await blobs.get(f"k{n}") == b"v"

    leases = RedisLeases(client)
    lease = await leases.acquire("a", ttl_s=30)
    assert await leases.acquire("a", ttl_s=30) is None
    assert await leases.renew(lease, ttl_s=30)
    await leases.release(lease)
    assert await leases.acquire("a", ttl_s=30)

    popularity = RedisPopularity(client, lambda: 1_790_000_000.0)
    await popularity.add({"a": 1, "b": 2})
    assert await popularity.top(2) == ["b", "a"]
    assert faults == []
    await client.aclose()


async def test_invalidations_come_from_every_node(cluster_url):
    client = RedisClient(cluster_url, timeout_s=PATIENT_S)
    invalidations = RedisInvalidations(client)
    told = []
    invalidations.listen(told.append)
    await invalidations.start()
    await until(lambda: invalidations.live)
    assert len(await client.primaries()) == 3
    told.clear()
    for manual_id in IDS:
        await client.call("SET", f"doc_text:{manual_id}", "1")
    await until(lambda: set(told) == set(IDS))
    await invalidations.aclose()
    await client.aclose()


async def test_checks_read_a_cluster_and_notice_a_missing_mark(cluster_url):
    assert all(finding.ok for finding in await check_cache(cluster_url))
    assert [finding.ok for finding in await check_log(cluster_url)] == [True] * 4
    [finding, *_] = await check_cache(cluster_url.replace("+cluster", ""))
    assert not finding.ok
    assert "redis+cluster://" in finding.remedy


async def test_f61_a_cluster_addressed_as_one_server_is_only_a_cache_that_misses(cluster_url):
    faults = []
    client = RedisClient(
        cluster_url.replace("+cluster", ""), on_fault=faults.append, timeout_s=PATIENT_S
    )
    texts = RedisTextCache(client)
    written = [await texts.put(stored(manual_id), ttl_s=60) for manual_id in IDS]
    found = [await texts.get(manual_id) for manual_id in IDS]
    assert not all(written)
    assert all(one == stored(i) or isinstance(one, Miss) for i, one in zip(IDS, found, strict=True))
    assert set(faults) == {"moved"}
    await client.aclose()


async def test_a_log_is_unfit_when_one_node_of_its_cluster_is(cluster_url, shared_cluster):
    odd = shared_cluster[1]
    odd.run("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        [finding] = [one for one in await check_log(cluster_url) if not one.ok]
        assert f"127.0.0.1:{odd.port}" in finding.what
        client = RedisClient(cluster_url)
        assert "noeviction" in await RedisJournal(client).unfit()
        await client.aclose()
    finally:
        odd.run("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_a_journal_notices_that_the_node_of_its_stream_is_another(redis_server):
    nodes = [redis_server(*LOG_OF_A_CLUSTER) for _ in range(3)]
    url = join(nodes)
    [holder] = [node for node in nodes if JOURNAL_SLOT in slots_of(node)]
    gaps = []
    client = RedisClient(url, timeout_s=PATIENT_S)
    journal = RedisJournal(client, on_gap=lambda: gaps.append(1))
    assert await journal.unfit() is None
    await journal.append([b"one"])
    holder.kill()
    for file in holder.folder.glob("appendonlydir/*"):
        file.unlink()  # what it acknowledged is gone with its disk
    holder.start()
    await until(lambda: b"cluster_state:ok" in holder.run("CLUSTER", "INFO", raw=True))
    deadline = time.monotonic() + 20
    while True:
        try:
            await journal.append([b"two"])
            break
        except JournalError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    assert gaps == [1]
    assert await journal.size() == 1
    await client.aclose()


async def test_what_a_fleet_counts_together_is_counted_over_all_nodes(cluster_url):
    faults = []
    client = RedisClient(cluster_url, on_fault=faults.append, timeout_s=PATIENT_S)
    limits = RedisRateLimits(client, time.time, longest_wait_s=PATIENT_S)
    verdict = await limits.take([Rate(f"tenant:{n}", 60 + n) for n in range(6)])
    assert (verdict.rate.per_minute, verdict.remaining) == (60, 59)
    assert [await RedisSpendBook(client).add("all", 20_000, 5) for _ in range(2)] == [5, 10]
    assert [await RedisOnce(client).take("ticket", ttl_s=60) for _ in range(2)] == [True, False]
    cooling = RedisCooling(client)
    await cooling.cool("gemini", 60)
    assert set(await RedisCooling(client).left(["gemini", "openai", "other"])) == {"gemini"}
    revoked = RedisList(client)
    assert await revoked.add("sub:ada")
    assert await revoked.read() == {"sub:ada"}
    assert faults == []
    await limits.aclose()
    await client.aclose()


async def test_another_node_takes_an_answer_over_whose_log_is_in_a_cluster(
    shared_cluster, cluster_url, tmp_path
):
    script = [{"text": "First "}, {"tokens": 80, "rate_per_s": 20}]
    port = shared_cluster[0].port
    urls = {"log_url": cluster_url, "cache_url": cluster_url}
    with Nodes(tmp_path, port, script=script, **urls) as fleet:
        reader = Reader("Who goes on?")
        reading = asyncio.create_task(reader.read(fleet.urls))
        await reader.until_text()
        fleet.proxies[0].reset_all()  # read on at the other node, from the log
        await reader.until(lambda event: event["type"] == "response.output_text.delta")
        fleet.nodes[0].kill()  # its writer
        await reading
    assert reader.cuts >= 1
    assert reader.epoch == 2
    assert reader.final["status"] == "completed"


MORE_IN_A_CLUSTER = ("+cluster|slots", "+command", "+command|getkeys")
"""What docs/scaling.md tells to add to the users of kubernetes/redis."""


@pytest.fixture
def production_url(cluster_url, shared_cluster):
    """The cluster as the log's user of production sees it."""
    [rule] = re.findall(r"^user manicule (.*)$", USERS.read_text(), re.MULTILINE)
    words = rule.replace("PASSWORD", "secret").split()
    for node in shared_cluster:
        node.run("ACL", "SETUSER", "manicule", *words, *MORE_IN_A_CLUSTER)
    yield cluster_url.replace("://", "://manicule:secret@")
    for node in shared_cluster:
        node.run("ACL", "DELUSER", "manicule")


async def test_the_users_of_production_need_three_commands_more(production_url):
    client = RedisClient(production_url, timeout_s=PATIENT_S)
    listener = RedisClient(production_url, max_connections=1, timeout_s=PATIENT_S)
    log, fleet, journal = (
        RedisResponseLog(client),
        RedisFleet(client, listener),
        RedisJournal(client),
    )
    assert await log.unfit() is None
    entries = [(f"r{n}", Entry(Position(1, 0), "frame", writer="a", ends=True)) for n in range(9)]
    assert await log.append(entries) == [True] * 9
    found = await log.read_many({name: BEFORE_ALL for name, _ in entries})
    assert found == {name: [entry] for name, entry in entries}
    await fleet.attend("a", ttl_s=60)
    assert await fleet.absent(["a", "b", "c"]) == {"b", "c"}
    await fleet.tell("a", "hello")
    assert await fleet.hear("a", wait_s=1) == ["hello"]
    await journal.append([b"row"])
    [entry] = await journal.fresh("one", 10)
    await journal.done([entry.id])
    assert await journal.size() == 0
    await client.aclose()
    await listener.aclose()
