"""What both journals promise, run over the twin and over a real Redis."""

from __future__ import annotations

import time

import pytest
from redis_servers import PATIENT_S

from server.storage.journal import JournalError, MemoryJournal
from server.storage.redis_client import RedisClient
from server.storage.redis_journal import RedisJournal


@pytest.fixture(params=["memory", "redis", "cluster"])
async def journal_of(request):
    """Makes journals over one and the same stream."""
    if request.param == "memory":
        made = []

        def remember(**options):
            made.append(made[0] if made else MemoryJournal(**options))
            return made[0]

        yield remember
        return
    if request.param == "cluster":
        url = request.getfixturevalue("cluster_url")
    else:
        start = request.getfixturevalue("redis_server")
        url = start("--appendonly", "yes", "--maxmemory-policy", "noeviction").url
    clients = []

    def connect(**options):
        clients.append(RedisClient(url, timeout_s=PATIENT_S))
        return RedisJournal(clients[-1], **options)

    yield connect
    for client in clients:
        await client.aclose()


def data(entries):
    return [entry.data for entry in entries]


async def test_keeps_entries_in_order_byte_for_byte(journal_of):
    journal = journal_of()
    written = [b"one", b"\x00\xff\r\n", b"x" * 100_000, b""]
    await journal.append(written[:2])
    await journal.append(written[2:])
    assert await journal.size() == 4
    entries = await journal.fresh("a", 10)
    assert data(entries) == written
    assert len({entry.id for entry in entries}) == 4


async def test_gives_an_entry_to_one_consumer(journal_of):
    one, two = journal_of(), journal_of()
    await one.append([b"%d" % n for n in range(10)])
    first = await one.fresh("a", 4)
    second = await two.fresh("b", 100)
    assert data(first + second) == [b"%d" % n for n in range(10)]
    assert await one.fresh("a", 10) == []


async def test_keeps_what_was_delivered_until_it_is_acknowledged(journal_of):
    journal = journal_of()
    await journal.append([b"one", b"two", b"three"])
    entries = await journal.fresh("a", 10)
    await journal.done([entries[1].id])
    assert data(await journal.own("a", 10)) == [b"one", b"three"]
    assert await journal.own("b", 10) == []
    assert await journal.size() == 2
    await journal.done([entries[0].id, entries[1].id, entries[2].id])
    await journal.done([])
    assert await journal.own("a", 10) == []
    assert await journal.size() == 0


async def test_hands_over_what_lay_idle(journal_of):
    one, two = journal_of(), journal_of()
    await one.append([b"one", b"two"])
    entries = await one.fresh("a", 1)
    assert await two.claim("b", 10, idle_ms=60_000) == []
    assert await two.claim("b", 10, idle_ms=0) == entries
    assert await one.own("a", 10) == []
    assert await two.own("b", 10) == entries


async def test_claims_nothing_that_nobody_got(journal_of):
    journal = journal_of()
    await journal.append([b"one"])
    assert await journal.claim("a", 10, idle_ms=0) == []
    assert await journal.own("a", 10) == []


async def test_an_empty_journal_has_nothing(journal_of):
    journal = journal_of()
    assert await journal.unfit() is None
    assert await journal.size() == 0
    assert await journal.fresh("a", 10) == []
    assert await journal.claim("a", 10, idle_ms=0) == []


async def test_refuses_when_full_and_takes_again_when_drained(journal_of):
    journal = journal_of(max_entries=3)
    await journal.append([b"one", b"two"])
    with pytest.raises(JournalError, match="full"):
        await journal.append([b"three", b"four"])
    assert await journal.size() == 2
    entries = await journal.fresh("a", 10)
    await journal.done([entry.id for entry in entries])
    await journal.append([b"three", b"four"])
    assert data(await journal.fresh("a", 10)) == [b"three", b"four"]


async def test_says_when_the_oldest_entry_came_in(journal_of):
    journal = journal_of()
    assert await journal.oldest_ms() is None
    before = time.time() * 1000
    await journal.append([b"one"])
    first = await journal.oldest_ms()
    assert before - 1000 <= first <= time.time() * 1000 + 1000
    await journal.append([b"two"])
    assert await journal.oldest_ms() == first
    await journal.done([entry.id for entry in await journal.fresh("a", 2)])
    assert await journal.oldest_ms() is None
