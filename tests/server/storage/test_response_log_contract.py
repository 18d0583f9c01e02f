"""The log of answers and the board of the nodes: in memory, on Redis and on
a Redis Cluster, the same."""

import asyncio
import json

import pytest
from redis_servers import PATIENT_S
from rig import until

from protocol.positions import BEFORE_ALL, Position
from server.storage.fleet import MemoryFleet
from server.storage.redis_client import RedisClient
from server.storage.redis_fleet import RedisFleet
from server.storage.redis_response_log import PREFIX, RedisResponseLog
from server.storage.response_log import READ_ENTRIES, Entry, LogError, MemoryResponseLog


@pytest.fixture(params=["memory", "redis", "cluster"])
async def log(request):
    if request.param == "memory":
        yield MemoryResponseLog()
        return
    client = RedisClient(request.getfixturevalue(f"{request.param}_url"), timeout_s=PATIENT_S)
    yield RedisResponseLog(client)
    await client.aclose()


@pytest.fixture(params=["memory", "redis", "cluster"])
async def fleet(request):
    if request.param == "memory":
        yield MemoryFleet()
        return
    url = request.getfixturevalue(f"{request.param}_url")
    client, listener = (
        RedisClient(url, timeout_s=PATIENT_S),
        RedisClient(url, max_connections=1, timeout_s=PATIENT_S),
    )
    yield RedisFleet(client, listener)
    await client.aclose()
    await listener.aclose()


def entry(epoch, number, text="x", **fields):
    frame = json.dumps({"type": "response.in_progress", "text": text})
    return Entry(Position(epoch, number), frame, **fields)


async def append(log, *entries, id_="resp_1"):
    return await log.append([(id_, one) for one in entries])


async def test_what_is_appended_is_read_back_as_it_was(log):
    entries = [
        entry(1, 0, "é☞\x00\n", writer="node", question=b'{"a":1}'),
        entry(1, 1),
        entry(2, 0, writer="other"),
        entry(2, 1, ends=True),
    ]
    assert await append(log, *entries) == [True] * 4
    assert await log.read("resp_1", BEFORE_ALL) == entries
    for place, one in enumerate(entries):
        assert await log.read("resp_1", one.position) == entries[place + 1 :]
    assert await log.read("resp_2", BEFORE_ALL) == []


async def test_erasing_takes_the_answers_that_have_ended(log):
    entries = []
    for number in range(1200):  # more than one look
        entries += [(f"r{number}", entry(1, 0)), (f"r{number}", entry(1, 1, ends=number % 2 > 0))]
    await log.append(entries)
    meant = [f"r{number}" for number in range(1, 1200)] + ["unknown"]
    assert await log.erase(meant) == 600
    assert await log.erase(meant) == await log.erase([]) == 0
    assert [len(await log.read(f"r{number}", BEFORE_ALL)) for number in range(4)] == [2, 0, 2, 0]


async def test_f27_a_stream_takes_positions_in_ascending_order_only(log):
    await append(log, entry(1, 0), entry(1, 1), entry(2, 0))
    refused = [entry(1, 1, "y"), entry(1, 2), entry(2, 0, "y"), entry(1, 0, "y")]
    assert await append(log, *refused) == [False] * 4
    assert await append(log, entry(2, 1)) == [True]
    assert len(await log.read("resp_1", BEFORE_ALL)) == 4


async def test_f33_what_is_there_already_counts_as_appended(log):
    entries = [entry(1, 0, writer="n"), entry(1, 1)]
    await append(log, *entries)
    assert await append(log, *entries, entry(1, 2)) == [True] * 3
    assert await append(log, entry(1, 0, writer="m")) == [False]
    assert len(await log.read("resp_1", BEFORE_ALL)) == 3


async def test_entries_of_several_answers_go_together(log):
    mixed = [("a", entry(1, 0)), ("b", entry(1, 0)), ("a", entry(1, 1)), ("a", entry(1, 1, "z"))]
    assert await log.append(mixed) == [True, True, True, False]
    news = await log.read_many({"a": BEFORE_ALL, "b": Position(1, 0), "c": BEFORE_ALL})
    assert {one: [e.position.number for e in found] for one, found in news.items()} == {"a": [0, 1]}
    news = await log.read_many({"a": Position(1, 0), "b": BEFORE_ALL})
    assert {one: [e.position.number for e in found] for one, found in news.items()} == {
        "a": [1],
        "b": [0],
    }


async def test_a_new_epoch_is_news_after_any_number_of_the_old(log):
    await append(log, entry(1, 0), entry(2, 0))
    news = await log.read_many({"resp_1": Position(1, 50)})
    assert [one.position for one in news["resp_1"]] == [Position(2, 0)]


async def test_long_answers_are_read_in_pieces(log):
    await append(log, *[entry(1, number) for number in range(READ_ENTRIES + 5)])
    first = await log.read("resp_1", BEFORE_ALL)
    assert len(first) == READ_ENTRIES
    assert len(await log.read("resp_1", first[-1].position)) == 5


async def test_f30_streams_go_after_their_time(redis_url):
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    log = RedisResponseLog(client, keep_s=77)
    await append(log, entry(1, 0, writer="n"), entry(1, 1))
    assert 3000 < await client.call("TTL", PREFIX + "resp_1") <= 3600
    await append(log, entry(1, 2, ends=True))
    assert 60 < await client.call("TTL", PREFIX + "resp_1") <= 77
    await client.aclose()


async def test_f15_a_log_that_forgets_is_unfit(redis_server):
    for options, fault in (
        (("--appendonly", "no", "--maxmemory-policy", "noeviction"), "append-only"),
        (("--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"), "maxmemory-policy"),
    ):
        client = RedisClient(redis_server(*options).url, timeout_s=PATIENT_S)
        assert fault in await RedisResponseLog(client).unfit()
        await client.aclose()
    client = RedisClient(
        redis_server("--appendonly", "yes", "--maxmemory-policy", "noeviction").url,
        timeout_s=PATIENT_S,
    )
    assert await RedisResponseLog(client).unfit() is None
    await client.aclose()


async def test_a_server_that_is_away_is_an_error(redis_server):
    server = redis_server()
    client, listener = (
        RedisClient(server.url, timeout_s=PATIENT_S),
        RedisClient(server.url, timeout_s=PATIENT_S),
    )
    log, fleet = RedisResponseLog(client), RedisFleet(client, listener)
    server.kill()
    with pytest.raises(LogError):
        await append(log, entry(1, 0))
    with pytest.raises(LogError):
        await log.read("resp_1", BEFORE_ALL)
    with pytest.raises(LogError):
        await log.read_many({"resp_1": BEFORE_ALL})
    with pytest.raises(LogError):
        await fleet.attend("n", ttl_s=1)
    with pytest.raises(LogError):
        await fleet.hear("n", wait_s=0.01)
    await client.aclose()
    await listener.aclose()


async def test_a_node_attends_until_it_leaves_or_lapses(fleet):
    await fleet.attend("a", ttl_s=60)
    await fleet.attend("b", ttl_s=0.05)
    assert await fleet.absent(["a", "c"]) == {"c"}
    async with asyncio.timeout(20):
        while await fleet.absent(["b"]) != {"b"}:  # noqa: ASYNC110 - time passes elsewhere
            await asyncio.sleep(0.01)
    await fleet.leave("a")
    assert await fleet.absent(["a", "b"]) == {"a", "b"}


async def test_marks_of_readers_lapse(fleet):
    await fleet.mark_read(["r1", "r2"], ttl_s=60)
    await fleet.mark_read(["r3"], ttl_s=0.05)
    assert await fleet.is_read("r1")
    assert await fleet.is_read("r2")
    assert not await fleet.is_read("r9")
    async with asyncio.timeout(20):
        while await fleet.is_read("r3"):  # noqa: ASYNC110 - time passes elsewhere
            await asyncio.sleep(0.01)


async def test_messages_are_heard_once_in_order_by_their_node(fleet):
    await fleet.tell("n", "one")
    await fleet.tell("m", "other")
    heard = await fleet.hear("n", wait_s=0.2)
    assert heard == ["one"]
    assert await fleet.hear("n", wait_s=0.01) == []
    waiting = asyncio.create_task(fleet.hear("n", wait_s=0.4))
    await asyncio.sleep(0)
    await fleet.tell("n", "two")
    await until(waiting.done)
    heard = waiting.result() + await fleet.hear("n", wait_s=0.05)
    assert heard == ["two"]
