"""Everything that the product does works for users who may do nothing else (kubernetes/redis)."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
import redis
from redis_servers import PATIENT_S

from protocol.positions import BEFORE_ALL, Position
from server.storage.caches import open_caches
from server.storage.checks import check_cache, check_log
from server.storage.leases import keeping
from server.storage.once import RedisOnce
from server.storage.rate_limits import Rate
from server.storage.redis_client import RedisClient
from server.storage.redis_cooling import RedisCooling
from server.storage.redis_fleet import RedisFleet
from server.storage.redis_journal import RedisJournal
from server.storage.redis_response_log import RedisResponseLog
from server.storage.response_log import Entry
from server.storage.shared_lists import RedisList
from server.storage.spend_book import RedisSpendBook
from server.storage.texts import StoredText, fingerprint

FOLDER = Path(__file__).parents[2] / "kubernetes" / "redis"


@pytest.fixture
def configured(redis_server, tmp_path):
    """Starts a Redis as the pod of that name does; gives its URL for the server's user."""

    def start(name):
        users = (FOLDER / f"{name}-users.acl").read_text().replace("PASSWORD", "canary")
        (tmp_path / "users.acl").write_text(users)
        conf = (FOLDER / f"{name}.conf").read_text()
        conf = conf.replace("/run/redis/users.acl", str(tmp_path / "users.acl"))
        (tmp_path / "redis.conf").write_text(
            re.sub(r"^dir .*$", f"dir {tmp_path}", conf, flags=re.M)
        )
        server = redis_server(start=False)
        server.options = ("--include", str(tmp_path / "redis.conf"))
        server.start()
        return f"redis://manicule:canary@127.0.0.1:{server.port}/0"

    return start


async def test_s26_the_caches_need_no_dangerous_command_and_no_script(configured):
    url = configured("cache")
    faults = []
    caches = open_caches(url, text_bytes=1000, answer_bytes=1000, on_fault=faults.append)
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
    other = open_caches(url, text_bytes=1000, answer_bytes=1000, on_fault=faults.append)
    assert (await other.limits.take([Rate("a", 1)])).retry_after_s  # and puts a token back
    await other.aclose()
    await caches.aclose()
    assert faults == []
    assert [finding for finding in await check_cache(url) if not finding.ok] == []


async def test_s26_the_log_takes_and_gives_back_what_is_acknowledged(configured):
    url = configured("log")
    assert [finding for finding in await check_log(url) if not finding.ok] == []
    client = RedisClient(url, timeout_s=PATIENT_S)
    journal = RedisJournal(client)
    assert await journal.unfit() is None
    await journal.append([b"one", b"two"])
    assert await journal.size() == 2
    assert await journal.oldest_ms() is not None
    [first, second] = await journal.fresh("a", 10)
    assert [entry.id for entry in await journal.own("a", 10)] == [first.id, second.id]
    assert [entry.id for entry in await journal.claim("b", 10, idle_ms=0)] == [first.id, second.id]
    await journal.done([first.id, second.id])
    assert await journal.size() == 0
    await journal._look_for_gap()
    await client.aclose()


async def test_s26_answers_are_shared_with_no_more(configured):
    url = configured("log")
    client, listener = (
        RedisClient(url, timeout_s=PATIENT_S),
        RedisClient(url, max_connections=1, timeout_s=PATIENT_S),
    )
    log, fleet = RedisResponseLog(client), RedisFleet(client, listener)
    assert await log.unfit() is None
    entries = [
        Entry(Position(1, 0), '{"type":"a"}', writer="n", question=b"{}"),
        Entry(Position(1, 1), '{"type":"b"}', ends=True),
    ]
    for _ in "ab":  # the second time it looks for its own
        assert await log.append([("resp_1", one) for one in entries]) == [True, True]
    assert await log.read("resp_1", BEFORE_ALL) == entries
    assert await log.read_many({"resp_1": BEFORE_ALL}) == {"resp_1": entries}
    assert await log.erase(["resp_1", "unknown"]) == 1
    await fleet.attend("n", ttl_s=60)
    assert await fleet.absent(["n", "m"]) == {"m"}
    await fleet.mark_read(["resp_1"], ttl_s=60)
    assert await fleet.is_read("resp_1")
    await fleet.tell("n", "resp_1")
    assert await fleet.hear("n", wait_s=0.2) == ["resp_1"]
    await fleet.leave("n")
    await client.aclose()
    await listener.aclose()


@pytest.mark.parametrize("name", ["cache", "log"])
async def test_s26_tickets_and_revocations_need_no_more(configured, name):
    client = RedisClient(configured(name), timeout_s=PATIENT_S)
    once, revoked = RedisOnce(client), RedisList(client)
    assert [await once.take("ticket:a", ttl_s=30) for _ in range(2)] == [True, False]
    assert await revoked.add("sub:ada")
    assert await revoked.read() == {"sub:ada"}
    await client.aclose()


@pytest.mark.parametrize("name", ["cache", "log"])
async def test_s26_models_at_rest_and_what_was_spent_need_no_more(configured, name):
    faults = []
    client = RedisClient(configured(name), on_fault=faults.append, timeout_s=PATIENT_S)
    cooling = RedisCooling(client)
    await cooling.cool("openai:m", 30)
    assert await RedisCooling(client).left(["openai:m"])
    assert [await RedisSpendBook(client).add("total:", 1, 5) for _ in "ab"] == [5, 10]
    assert faults == []
    await client.aclose()


@pytest.mark.parametrize("name", ["cache", "log"])
def test_s26_that_user_may_do_nothing_else(configured, name):
    with redis.Redis.from_url(configured(name)) as client:
        for command in (
            "EVAL return(1) 0",
            "FLUSHALL",
            "FLUSHDB",
            "CONFIG GET maxmemory",
            "KEYS *",
            "SCAN 0",
            "GET other",
            "XTRIM manicule:journal MAXLEN 0",
            "SHUTDOWN",
            "ACL LIST",
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())


@pytest.mark.parametrize("name", ["cache", "log"])
def test_s26_without_a_password_nobody_gets_in_and_a_probe_may_ping_only(configured, name):
    port = configured(name).rsplit(":", 1)[1].partition("/")[0]
    with (
        redis.Redis(port=int(port)) as nobody,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        nobody.ping()
    with redis.Redis(port=int(port), username="probe", password="none") as probe:
        assert probe.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            probe.get("doc_text:x")
