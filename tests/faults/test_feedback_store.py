"""The store away, slow, forgetful or stubborn: what senders are told, and what is stored after.

The outages here are of the twin and take about a second each instead of 60; the bounds on time
are checked on a clock that the test moves. Real PostgreSQL is stopped and killed in
`test_feedback_postgres.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from feedback_rig import (
    FaultyJournal,
    FaultyStore,
    feedback,
    interaction,
    poison,
    unavailable,
    until,
)
from msgspec import structs

from protocol.errors import EventError
from server.feedback.drainer import Drainer
from server.feedback.outcomes import Ack
from server.feedback.writer import MAX_QUEUE_BYTES, Writer
from server.storage.records import decode_row
from server.storage.sqlite_store import SqliteStore
from server.storage.store import StoreUnavailableError


class Rig:
    """A store, a journal, a writer and a drainer, as a node has them, and what they count."""

    def __init__(self, store, **options) -> None:
        self.events = Counter()
        self.store = store
        self.journal = options.pop("journal", None) or FaultyJournal()
        self.writer = Writer(store, journal=self.journal, on_event=self.count, **options)
        self.drainer = Drainer(
            store, self.journal, consumer="one", poll_s=0.01, on_event=self.count
        )
        self.writer.start()
        self.drainer.start()

    def count(self, event) -> None:
        self.events[event] += 1

    async def drained(self) -> None:
        self.journal.failing = None
        await until(lambda: self.writer.waiting == 0 and not self.journal._entries)

    async def aclose(self) -> None:
        await self.writer.aclose(drain_s=1)
        await self.drainer.aclose()


@pytest.fixture
async def rig_of():
    rigs = []

    def make(store=None, **options):
        rigs.append(Rig(store or FaultyStore(), **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        await rig.aclose()


async def flood(rig, obligations, seconds: float, each: int = 20):
    """Send events all the time, whatever becomes of the earlier ones; their outcomes."""
    loop = asyncio.get_running_loop()
    tasks = []
    end = loop.time() + seconds
    while loop.time() < end:
        tasks += [loop.create_task(obligations.submit(rig.writer, feedback())) for _ in range(each)]
        await asyncio.sleep(0.01)
    return tasks


@pytest.mark.parametrize("how", ["refuses", "hangs", "full"])
async def test_f2_store_away(rig_of, obligations, how):
    rig = rig_of(hang_s=0.6)
    await obligations.submit(rig.writer, feedback())
    if how == "refuses":
        rig.store.down = "08006"
    elif how == "hangs":
        rig.store.hanging = True
    else:
        rig.store.fault = unavailable("53100", permanent=True)
    tasks = await flood(rig, obligations, 1.0)
    answers = await asyncio.gather(*tasks)
    assert {answer.level for answer in answers} == {"logged"}
    assert rig.writer._rows.bytes < MAX_QUEUE_BYTES
    assert await rig.journal.size() <= len(tasks)
    rig.store.down, rig.store.hanging, rig.store.fault = None, False, lambda rows: None
    await rig.drained()
    more = await asyncio.gather(*await flood(rig, obligations, 0.6))
    assert more[-1].level == "committed"
    await rig.drained()
    assert await obligations.settle(rig.store)
    assert len(obligations.acked) == len(tasks) + len(more) + 1


async def test_f2_senders_wait_less_than_a_second_whatever_is_away(rig_of, obligations):
    """On a clock moved by hand: the journal is asked at 250 ms, the sender told at 800 ms."""
    now = [0.0]
    rig = rig_of(clock=lambda: now[0], hang_s=60)
    rig.store.hanging = True
    rig.journal.hanging_s = 60
    task = asyncio.create_task(obligations.submit(rig.writer, feedback()))
    await until(lambda: rig.store.writes)
    now[0] = 0.24
    rig.writer._tend(now[0])
    assert rig.writer._spilling is None
    now[0] = 0.26
    rig.writer._tend(now[0])
    assert rig.writer._spilling is not None
    now[0] = 0.81
    rig.writer._tend(now[0])
    assert (await task).code == "store_unavailable"
    rig.store.hanging = False


async def test_f3_store_and_journal_away(rig_of, obligations):
    rig = rig_of(deadline_s=0.3)
    rig.store.down = "08006"
    rig.journal.failing = "the log does not answer"
    answers = await asyncio.gather(*await flood(rig, obligations, 0.8))
    assert {answer.code for answer in answers} == {"store_unavailable"}
    assert all(answer.retry_after_ms > 0 for answer in answers)
    assert obligations.acked == {}
    assert rig.writer.waiting == 0
    rig.store.down, rig.journal.failing = None, None
    await obligations.resend(rig.writer)
    await rig.drained()
    assert len(obligations.acked) == len(answers)
    assert await obligations.settle(rig.store)


async def test_f5_the_reply_to_a_commit_is_lost(rig_of, obligations):
    rig = rig_of()
    replies = Counter()

    def lose(rows):
        replies["sent"] += 1
        if replies["sent"] % 2:
            raise StoreUnavailableError("connection reset", code="08006")

    rig.store.afterwards = lose
    answers = await asyncio.gather(*await flood(rig, obligations, 0.3))
    assert all(isinstance(answer, Ack) for answer in answers)
    await rig.drained()
    assert await obligations.settle(rig.store)
    assert len(rig.store._feedback) == len(answers)


@pytest.mark.parametrize("with_journal", [True, False])
async def test_f6_a_slow_store_makes_larger_batches_and_drops_nothing(
    obligations, with_journal, rig_of
):
    rig = rig_of()
    if not with_journal:
        rig.journal.failing = "none is set up"
    await obligations.submit(rig.writer, feedback())
    rig.store.fault = lambda rows: 0.5
    answers = await asyncio.gather(*await flood(rig, obligations, 1.2))
    levels = Counter(answer.level for answer in answers)
    assert levels["logged"] > 0 if with_journal else levels.keys() == {"committed"}
    assert max(rig.store.writes) > 100
    rig.store.fault = lambda rows: None
    await rig.drained()
    assert await obligations.settle(rig.store)


@pytest.mark.parametrize("code", ["40001", "40P01", "57P01"])
async def test_f7_every_fifth_batch_fails_and_is_tried_again(rig_of, obligations, code):
    rig = rig_of()
    calls = Counter()

    def every_fifth(rows):
        calls["all"] += 1
        if calls["all"] % 5 == 0:
            calls["failed"] += 1
            raise StoreUnavailableError("deadlock", code=code)

    rig.store.fault = every_fifth
    answers = await asyncio.gather(*await flood(rig, obligations, 0.5))
    await rig.drained()
    assert all(isinstance(answer, Ack) for answer in answers)
    assert rig.events["retry"] + rig.events["drain_failed"] == calls["failed"] > 0
    assert await obligations.settle(rig.store)


async def test_f7_pauses_grow_and_are_thrown_by_dice():
    from server.feedback.parts import MAX_RETRY_S, retry_pause_s

    longest = [retry_pause_s(n, 1.0) for n in range(1, 30)]
    assert longest == sorted(longest)
    assert longest[-1] == MAX_RETRY_S
    assert [retry_pause_s(n, 0.0) for n in range(1, 30)] == [one / 2 for one in longest]


@pytest.mark.parametrize("code", ["53100", "25006"])
async def test_f8_full_disk_and_read_only(rig_of, obligations, code):
    rig = rig_of()
    rig.store.fault = unavailable(code, permanent=True)
    assert (await obligations.submit(rig.writer, feedback())).level == "logged"
    assert rig.events["permanent"] > 0
    assert not rig.writer.working
    rig.store.fault = lambda rows: None
    await rig.drained()
    assert await obligations.settle(rig.store)


async def test_f9_one_poison_row_in_a_thousand(rig_of, obligations):
    for place in (0, 1, 499, 500, 998, 999):
        rig = rig_of(deadline_s=60, commit_timeout_s=60)
        rows = [feedback() for _ in range(1000)]
        rig.store.fault = poison(rows[place].event_id)
        answers = await asyncio.gather(*(obligations.submit(rig.writer, row) for row in rows))
        assert isinstance(answers[place], EventError)
        assert answers[place].code == "invalid_event"
        assert sum(isinstance(one, Ack) for one in answers) == 999
        [letter] = await rig.store.dead_letters(10)
        assert decode_row(letter.original) == rows[place]
        assert len(rig.store.writes) <= 21
        rig.store.fault = lambda rows: None
        assert await obligations.settle(rig.store)
        obligations.sent.clear()
        obligations.acked.clear()
        obligations.refused.clear()


async def test_f9_nul_is_refused_by_the_store_itself(tmp_path, rig_of, obligations):
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    rig = rig_of(store)
    rows = [feedback(comment="a\x00b" if n == 7 else "fine") for n in range(100)]
    answers = await asyncio.gather(*(obligations.submit(rig.writer, row) for row in rows))
    assert [isinstance(one, EventError) for one in answers] == [n == 7 for n in range(100)]
    [letter] = await store.dead_letters(10)
    assert decode_row(letter.original) == rows[7]
    assert await obligations.settle(store)
    await rig.aclose()
    await store.aclose()


async def test_f10_one_event_a_hundred_times_on_ten_nodes(tmp_path, rig_of, obligations):
    stores = [SqliteStore(tmp_path / "store.db") for _ in range(10)]
    for store in stores:
        await store.open()
    rigs = [rig_of(store, deadline_s=60, commit_timeout_s=60) for store in stores]
    row = feedback()
    answers = await asyncio.gather(
        *(obligations.submit(rig.writer, row) for rig in rigs for _ in range(10))
    )
    assert Counter(answer.duplicate for answer in answers) == {False: 1, True: 99}
    assert await obligations.settle(stores[0])
    for rig, store in zip(rigs, stores, strict=True):
        await rig.aclose()
        await store.aclose()


async def test_f11_other_content_under_one_id(rig_of, obligations):
    told = []
    rig = rig_of(on_conflict=told.append)
    first = feedback(comment="first")
    second = structs.replace(first, comment="second", payload_sha256="f" * 64)
    await obligations.submit(rig.writer, first)
    with pytest.raises(EventError) as caught:
        await rig.writer.submit(second)
    assert caught.value.code == "conflict"
    assert [row.payload_sha256 for row in told] == [second.payload_sha256]
    assert await obligations.settle(rig.store)


async def test_f11_both_in_one_batch(rig_of, obligations):
    rig = rig_of()
    first = feedback(comment="first")
    second = structs.replace(first, comment="second", payload_sha256="f" * 64)
    answers = await asyncio.gather(
        obligations.submit(rig.writer, first),
        rig.writer.submit(second),
        rig.writer.submit(first),
        return_exceptions=True,
    )
    assert answers[0] == Ack("committed", duplicate=False)
    assert answers[1].code == "conflict"
    assert answers[2] == Ack("committed", duplicate=True)
    assert await obligations.settle(rig.store)


async def test_f11_a_conflict_found_while_draining_is_kept(rig_of, obligations):
    rig = rig_of()
    first = feedback(comment="first")
    second = structs.replace(first, comment="second", payload_sha256="f" * 64)
    await obligations.submit(rig.writer, first)
    rig.store.down = "08006"
    assert (await rig.writer.submit(second)).level == "logged"
    rig.store.down = None
    await rig.drained()
    await until(lambda: rig.events["drained_conflict"])
    [letter] = await rig.store.dead_letters(10)
    assert decode_row(letter.original) == second
    assert await obligations.settle(rig.store)


async def test_f21_ten_thousand_events_and_nobody_reads(rig_of, obligations):
    rig = rig_of()
    tasks = [asyncio.create_task(obligations.submit(rig.writer, feedback())) for _ in range(10_000)]
    await until(lambda: rig.store.writes)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: rig.writer.waiting == 0)
    await obligations.resend(rig.writer)
    assert len(obligations.acked) == 10_000
    assert await obligations.settle(rig.store)


async def test_f1_interactions_are_as_durable(rig_of):
    rig = rig_of()
    rows = [interaction() for _ in range(300)]
    for n, row in enumerate(rows):
        if n == 100:
            rig.store.down = "08006"
        if n == 200:
            await until(lambda: rig.writer.waiting == 0)
            rig.store.down = None
        rig.writer.log(row)
        await asyncio.sleep(0)
    await rig.drained()
    for row in rows:
        assert await rig.store.interaction(row.response_id, "acme") == row
    assert rig.events["interaction_lost"] == 0
