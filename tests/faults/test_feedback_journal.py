"""The writer on a real log Redis: one that crashes, and ones that must not be trusted."""

from __future__ import annotations

import asyncio

import pytest
from feedback_rig import FaultyStore, feedback, until

from server.feedback.drainer import Drainer
from server.feedback.writer import Writer
from server.storage.journal import JournalError
from server.storage.redis_client import RedisClient
from server.storage.redis_journal import JOURNAL_KEY, RedisJournal

FIT = ("--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction")


@pytest.fixture
async def parts_of():
    """A store that is away, a journal on a Redis, and a writer over both."""
    made = []

    def make(url):
        client = RedisClient(url)
        journal = RedisJournal(client)
        store = FaultyStore()
        store.down = "08006"
        writer = Writer(store, journal=journal)
        writer.start()
        made.append((writer, client))
        return store, journal, writer

    yield make
    for writer, client in made:
        await writer.aclose(drain_s=0.1)
        await client.aclose()


async def test_f14_log_killed_with_acknowledged_events(redis_server, parts_of, obligations):
    redis = redis_server(*FIT)
    store, journal, writer = parts_of(redis.url)
    for _ in range(5):
        sending = [asyncio.create_task(obligations.submit(writer, feedback())) for _ in range(300)]
        await until(lambda: any(one.done() for one in sending))  # noqa: B023 - awaited here
        redis.kill()
        redis.start()
        await asyncio.gather(*sending)
    assert obligations.answers["logged"] > 0
    await obligations.resend(writer)
    store.down = None
    drainer = Drainer(store, journal, consumer="one", poll_s=0.01)
    drainer.start()

    async def empty():
        try:
            return await journal.size() == 0
        except JournalError:  # it is still loading
            return False

    await until(empty)
    await drainer.aclose()
    assert len(obligations.acked) == 1500
    assert await obligations.settle(store)


@pytest.mark.parametrize(
    "options", [(), ("--appendonly", "yes", "--maxmemory-policy", "allkeys-lru")]
)
async def test_f15_nothing_is_acknowledged_into_an_unfit_log(
    redis_server, parts_of, obligations, options
):
    redis = redis_server(*options)
    store, journal, writer = parts_of(redis.url)
    answers = await asyncio.gather(*(obligations.submit(writer, feedback()) for _ in range(50)))
    assert {answer.code for answer in answers} == {"store_unavailable"}
    assert redis.run("EXISTS", JOURNAL_KEY) == 0
    assert await journal.unfit()
    store.down = None
    await obligations.resend(writer)
    assert set(obligations.acked.values()) == {"committed"}
    assert await obligations.settle(store)
