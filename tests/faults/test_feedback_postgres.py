"""Real PostgreSQL and a real log Redis, stopped, killed and cut under load.

The row of F2 asks for 60 s at 2,000 events a second; here the server is away for `AWAY_S`, which
covers every state of the writer. What a whole minute costs in memory is measured, not tested:
`make bench-outage`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from feedback_rig import feedback, interaction, until, uuid7
from obligations import ANSWER_S
from redis_servers import PATIENT_S

from protocol.errors import EventError
from server.feedback.drainer import Drainer
from server.feedback.outcomes import Ack
from server.feedback.writer import Writer
from server.storage.journal import JournalError
from server.storage.postgres_store import PostgresStore
from server.storage.records import decode_row, encode_row
from server.storage.redis_client import RedisClient
from server.storage.redis_journal import RedisJournal

AWAY_S = 3.0
LOG = ("--appendonly", "yes", "--maxmemory-policy", "noeviction")
PATIENT = {"deadline_s": 60.0, "hang_s": 60.0}
"""For stores that never fail: a machine with other work may be slow, and that is no fault."""


class Node:
    """What one server process has for feedback."""

    def __init__(self, postgres: str, redis: str | None, name: str = "one", **options) -> None:
        self.events = Counter()
        self.store = PostgresStore(postgres, now=time.time)
        self.client = RedisClient(redis) if redis else None
        self.journal = RedisJournal(self.client) if self.client else None
        self.writer = Writer(self.store, journal=self.journal, on_event=self.count, **options)
        self.drainer = None
        if self.journal:
            self.drainer = Drainer(
                self.store, self.journal, consumer=name, poll_s=0.02, on_event=self.count
            )

    def count(self, event) -> None:
        self.events[event] += 1

    async def start(self):
        await self.store.open()
        self.writer.start()
        if self.drainer:
            self.drainer.start()
        return self

    async def drained(self) -> None:
        async def empty():
            try:
                left = await self.journal.size() if self.journal else 0
            except JournalError:  # its breaker has not closed yet
                return False
            return left + self.writer.waiting == 0

        await until(empty, 60)

    async def aclose(self) -> None:
        async with asyncio.timeout(10):
            await self.writer.aclose(drain_s=2)
        if self.drainer:
            async with asyncio.timeout(10):
                await self.drainer.aclose()
            await self.client.aclose()
        async with asyncio.timeout(10):
            await self.store.aclose()


@pytest.fixture
async def node_of():
    nodes = []

    async def make(*args, **options):
        nodes.append(Node(*args, **options))
        return await nodes[-1].start()

    yield make
    for node in nodes:
        await node.aclose()


class Flood:
    """Sends all the time until told to stop; keeps how long each answer took."""

    def __init__(self, node, obligations, each: int = 10) -> None:
        self.node, self.obligations, self.each = node, obligations, each
        self.tasks: list[asyncio.Task] = []
        self.waits_s: list[float] = []
        self.stopped = False
        self.loop = asyncio.create_task(self.run())

    async def run(self) -> None:
        while not self.stopped:
            self.tasks += [asyncio.create_task(self.one()) for _ in range(self.each)]
            await asyncio.sleep(0.01)

    async def one(self):
        started = time.monotonic()
        answer = await self.obligations.submit(self.node.writer, feedback())
        self.waits_s.append(time.monotonic() - started)
        return answer

    async def stop(self) -> list[Ack | EventError]:
        self.stopped = True
        async with asyncio.timeout(ANSWER_S):
            await self.loop
            return await asyncio.gather(*self.tasks)


async def committed(node, obligations):
    """Wait until a fresh event is committed again."""

    async def check():
        answer = await obligations.submit(node.writer, feedback())
        return isinstance(answer, Ack) and answer.level == "committed"

    await until(check, 30)


async def test_f2_postgres_stopped_and_started(postgres_server, redis_server, node_of, obligations):
    postgres = postgres_server()
    node = await node_of(postgres.url, redis_server(*LOG).url)
    flood = Flood(node, obligations)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(postgres.stop)
    await asyncio.sleep(AWAY_S)
    await asyncio.to_thread(postgres.start)
    await asyncio.sleep(0.5)
    answers = await flood.stop()
    assert all(isinstance(answer, Ack) for answer in answers)
    assert node.events["logged"] > 0
    assert max(flood.waits_s) <= 1.5, "every event finds its answer while the store is away"
    await committed(node, obligations)
    await node.drained()
    assert await obligations.settle(node.store)


async def test_f3_postgres_and_redis_away(postgres_server, redis_server, node_of, obligations):
    postgres, redis = postgres_server(), redis_server(*LOG)
    node = await node_of(postgres.url, redis.url)
    await obligations.submit(node.writer, feedback())
    await asyncio.to_thread(postgres.stop)
    redis.stop()
    before = len(obligations.acked)
    flood = Flood(node, obligations)
    await asyncio.sleep(AWAY_S)
    answers = await flood.stop()
    assert {answer.code for answer in answers} == {"store_unavailable"}
    assert len(obligations.acked) == before
    redis.start()
    await asyncio.to_thread(postgres.start)
    await obligations.resend(node.writer, 30)
    await node.drained()
    assert await obligations.settle(node.store)


async def test_f4_postgres_killed_during_commits(postgres_server, node_of, obligations):
    postgres = postgres_server()
    node = await node_of(postgres.url, None)
    for _ in range(3):
        flood = Flood(node, obligations)
        await asyncio.sleep(0.4)
        await asyncio.to_thread(postgres.kill)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(postgres.start)
        await flood.stop()
        await committed(node, obligations)
    await obligations.resend(node.writer, 30)
    assert await obligations.settle(node.store)
    assert len(obligations.acked) == len(obligations.sent)


async def test_f5_sessions_cut_while_committing(postgres_server, node_of, obligations):
    postgres = postgres_server()
    node = await node_of(postgres.url, None)
    flood = Flood(node, obligations)
    for _ in range(10):
        await asyncio.sleep(0.05)
        await asyncio.to_thread(postgres.cut)
    await flood.stop()
    await obligations.resend(node.writer, 30)
    assert await obligations.settle(node.store)
    assert len(obligations.acked) == len(obligations.sent)


async def test_f8_postgres_read_only(postgres_server, redis_server, node_of, obligations):
    postgres = postgres_server()
    node = await node_of(postgres.url, redis_server(*LOG).url)
    await obligations.submit(node.writer, feedback())
    postgres.run("ALTER SYSTEM SET default_transaction_read_only = on")
    postgres.run("SELECT pg_reload_conf()")
    await until(lambda: node.events["permanent"] or _probe(node, obligations))
    assert (await obligations.submit(node.writer, feedback())).level == "logged"
    postgres.run("ALTER SYSTEM RESET default_transaction_read_only")
    postgres.run("SELECT pg_reload_conf()")
    await committed(node, obligations)
    await node.drained()
    assert await obligations.settle(node.store)


async def _probe(node, obligations):
    await obligations.submit(node.writer, feedback())
    return node.events["permanent"]


async def test_f9_poison_among_a_thousand(postgres_url, node_of, obligations):
    node = await node_of(postgres_url, None, **PATIENT)
    rows = [feedback(score=9 if n == 321 else 3, action="rate") for n in range(1000)]
    answers = await asyncio.gather(*(obligations.submit(node.writer, row) for row in rows))
    assert [n for n, one in enumerate(answers) if isinstance(one, EventError)] == [321]
    [letter] = await node.store.dead_letters(10)
    assert decode_row(letter.original) == rows[321]
    assert await obligations.settle(node.store)


async def test_f10_one_event_a_hundred_times_on_ten_nodes(postgres_url, node_of, obligations):
    nodes = [await node_of(postgres_url, None, **PATIENT) for _ in range(10)]
    row = feedback()
    answers = await asyncio.gather(
        *(obligations.submit(node.writer, row) for node in nodes for _ in range(10))
    )
    assert Counter(answer.duplicate for answer in answers) == {False: 1, True: 99}
    assert await obligations.settle(nodes[0].store)


async def test_f12_an_id_of_last_month_again(postgres_url, node_of, obligations):
    node = await node_of(postgres_url, None, **PATIENT)
    last_month = int(time.time() * 1000) - 31 * 86_400_000
    row = feedback(event_id=uuid7(last_month), received_at=last_month)
    assert not (await obligations.submit(node.writer, row)).duplicate
    again = await obligations.submit(node.writer, row)
    assert again == Ack("committed", duplicate=True)
    assert await obligations.settle(node.store)


async def test_f20_a_drainer_dies_and_another_takes_over(
    postgres_url, redis_server, node_of, obligations
):
    url = redis_server(*LOG).url
    node = await node_of(postgres_url, None, **PATIENT)
    clients = [RedisClient(url, timeout_s=PATIENT_S) for _ in range(3)]
    journals = [RedisJournal(client) for client in clients]
    rows = [feedback() for _ in range(2000)]
    rows += [interaction() for _ in range(100)]
    for row in rows[:2000]:
        obligations.send(row)
        obligations.ack(row, "logged")
    await journals[0].append([encode_row(row) for row in rows])
    # Dies with 500 entries in hand, some of them stored and not acknowledged.
    held = await journals[0].fresh("dead", 500)
    await node.store.write([decode_row(entry.data) for entry in held[:200]])
    drainers = [
        Drainer(node.store, journal, consumer=name, poll_s=0.02, idle_ms=300)
        for name, journal in zip(("two", "three"), journals[1:], strict=True)
    ]
    try:
        for drainer in drainers:
            drainer.start()

        async def taken_over():
            return await node.store.feedback_of(rows[499].response_id, "acme")

        async def empty():
            return await journals[0].size() == 0

        await until(taken_over, 10)
        await until(empty, 60)
    finally:
        # A drainer that runs on after a failure could swallow the cancellation at the loop's end.
        async with asyncio.timeout(ANSWER_S):
            await asyncio.gather(*(drainer.aclose() for drainer in drainers))
    assert await obligations.settle(node.store)
    for row in rows[2000:]:
        assert await node.store.interaction(row.response_id, "acme") == row
    for client in clients:
        await client.aclose()
