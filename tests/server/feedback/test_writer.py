"""What the writer promises: an ack only for what is durable, one outcome for each sender."""

from __future__ import annotations

import asyncio

import pytest
from feedback_rig import (
    FaultyJournal,
    feedback,
    interaction,
    poison,
    unavailable,
    until,
    uuid7,
)
from msgspec import structs

from protocol.errors import EventError
from server.feedback.outcomes import Ack
from server.feedback.writer import Writer
from server.storage.memory_store import MemoryStore
from server.storage.records import decode_row
from server.storage.store import StoreUnavailableError


async def test_acknowledges_after_the_commit(store, writer_of):
    committed = []
    store.afterwards = lambda rows: committed.extend(rows)
    row = feedback()
    assert await writer_of(store).submit(row) == Ack("committed", duplicate=False)
    assert committed == [row]


async def test_a_repetition_is_one_row(store, writer_of, events):
    writer = writer_of(store)
    row = feedback()
    await writer.submit(row)
    assert await writer.submit(row) == Ack("committed", duplicate=True)
    assert await store.feedback_of(row.response_id, "acme") == [row]
    assert events == {"committed": 1, "duplicate": 1}


async def test_other_content_under_a_used_id_is_a_conflict(store, writer_of):
    told = []
    writer = writer_of(store, on_conflict=told.append)
    row = feedback()
    other = structs.replace(row, comment="other", payload_sha256="0" * 64)
    await writer.submit(row)
    with pytest.raises(EventError) as caught:
        await writer.submit(other)
    assert caught.value.code == "conflict"
    assert caught.value.event_id == row.event_id
    assert told == [other]
    assert await store.feedback_of(row.response_id, "acme") == [row]


async def test_a_batch_is_what_gathered_meanwhile(store, writer_of):
    store.fault = lambda rows: 0.01
    writer = writer_of(store, max_rows=100)
    acks = await asyncio.gather(*(writer.submit(feedback()) for _ in range(250)))
    assert acks == [Ack("committed", duplicate=False)] * 250
    assert store.writes == [100, 100, 50]


async def test_a_batch_is_bounded_in_bytes(store, writer_of):
    store.fault = lambda rows: 0.01
    writer = writer_of(store, max_bytes=6000)
    await asyncio.gather(*(writer.submit(feedback(comment="x" * 2000)) for _ in range(6)))
    assert store.writes == [2, 2, 2]
    await writer.submit(feedback(comment="x" * 9000))
    assert store.writes[-1] == 1


async def test_the_queue_is_bounded_in_bytes(store, writer_of, events):
    store.hanging = True
    writer = writer_of(store, max_queue_bytes=12_000)
    waiting = [asyncio.create_task(writer.submit(feedback(comment="x" * 2000))) for _ in range(4)]
    await until(lambda: store.writes)
    with pytest.raises(EventError) as caught:
        await writer.submit(feedback(comment="x" * 6000))
    assert caught.value.code == "store_unavailable"
    assert caught.value.retry_after_ms >= 500
    assert events["full"] == 1
    store.hanging = False
    assert {(await one).level for one in waiting} == {"committed"}
    assert (await writer.submit(feedback(comment="x" * 6000))).level == "committed"


async def test_a_slow_store_gets_help_from_the_journal(store, writer_of):
    journal = FaultyJournal()
    store.hanging = True
    writer = writer_of(store, journal=journal, commit_timeout_s=0.05)
    row = feedback()
    assert await writer.submit(row) == Ack("logged", duplicate=False)
    [entry] = await journal.fresh("drainer", 10)
    assert decode_row(entry.data) == row
    store.hanging = False
    assert (await writer.submit(feedback())).level == "committed"


async def test_committed_never_means_logged(store, writer_of):
    store.hanging = True
    journal = FaultyJournal()
    writer = writer_of(store, journal=journal, commit_timeout_s=0.02, deadline_s=0.1)
    with pytest.raises(EventError) as caught:
        await writer.submit(feedback(), min_level="committed")
    assert caught.value.code == "store_unavailable"
    assert await journal.size() == 0


async def test_without_store_and_journal_nothing_is_acknowledged(store, writer_of, events):
    store.down = "08006"
    journal = FaultyJournal()
    journal.failing = "the log does not answer"
    writer = writer_of(store, journal=journal, commit_timeout_s=0.05, deadline_s=0.2)
    with pytest.raises(EventError) as caught:
        await writer.submit(feedback())
    assert caught.value.code == "store_unavailable"
    assert caught.value.retryable
    assert events["committed"] == events["logged"] == 0


async def test_takes_rows_again_once_the_store_is_back(store, writer_of):
    """A pause between attempts is shorter than senders wait."""
    store.down = "08006"
    writer = writer_of(store)
    waiting = asyncio.create_task(writer.submit(feedback()))
    await until(lambda: len(store.writes) > 3)
    store.down = None
    assert (await waiting).level == "committed"
    assert writer.working


async def test_a_lost_reply_gives_one_outcome(store, writer_of):
    def lose_once(rows):
        store.afterwards = lambda rows: None
        raise StoreUnavailableError("connection reset", code="08006")

    store.afterwards = lose_once
    writer = writer_of(store)
    rows = [feedback() for _ in range(20)]
    acks = await asyncio.gather(*(writer.submit(row) for row in rows))
    assert {ack.level for ack in acks} == {"committed"}
    assert sorted(store._feedback) == sorted((row.event_id, "acme") for row in rows)


async def test_a_commit_that_hangs_is_given_up_and_tried_again(store, writer_of, events):
    store.hanging = True
    writer = writer_of(store, hang_s=0.05, deadline_s=60)
    waiting = asyncio.create_task(writer.submit(feedback()))
    await until(lambda: len(store.writes) >= 2)
    store.hanging = False
    assert (await waiting).level == "committed"
    assert events["retry"] >= 1


async def test_a_permanent_failure_is_told_apart(store, writer_of, events):
    store.fault = unavailable("53100", permanent=True)
    writer = writer_of(store, journal=FaultyJournal())
    assert (await writer.submit(feedback())).level == "logged"
    assert events["permanent"] >= 1


async def test_a_refused_row_is_told_its_sender_only(store, writer_of, events):
    bad = feedback()
    store.fault = poison(bad.event_id)
    writer = writer_of(store)
    outcomes = await asyncio.gather(
        *(writer.submit(row) for row in [feedback(), bad, feedback()]), return_exceptions=True
    )
    assert [type(one) for one in outcomes] == [Ack, EventError, Ack]
    assert outcomes[1].code == "invalid_event"
    assert outcomes[1].event_id == bad.event_id
    [letter] = await store.dead_letters(10)
    assert decode_row(letter.original) == bad
    assert events["refused"] == 1


async def test_text_that_cannot_be_encoded_is_refused_at_once(store, writer_of):
    with pytest.raises(EventError) as caught:
        await writer_of(store).submit(feedback(comment="\ud800"))
    assert caught.value.code == "invalid_event"
    assert store.writes == []


async def test_interactions_are_stored_without_waiting(store, writer_of):
    writer = writer_of(store)
    row = interaction()
    writer.log(row)
    await until(lambda: store.interaction(row.response_id, "acme"))
    assert await store.interaction(row.response_id, "acme") == row


async def test_interactions_go_to_the_journal_while_the_store_is_away(store, writer_of):
    store.down = "08006"
    journal = FaultyJournal()
    writer = writer_of(store, journal=journal, commit_timeout_s=0.02)
    rows = [interaction() for _ in range(5)]
    for row in rows:
        writer.log(row)
    await until(lambda: writer.waiting == 0)
    assert [decode_row(one.data) for one in await journal.fresh("drainer", 10)] == rows


async def test_interactions_keep_while_both_are_away_and_are_counted_when_lost(
    store, writer_of, events
):
    store.down = "08006"
    writer = writer_of(store, max_queue_bytes=1500)
    rows = [interaction() for _ in range(50)]
    for row in rows:
        writer.log(row)
    kept = writer.waiting
    assert 0 < kept < 50
    assert events["interaction_lost"] == 50 - kept
    with pytest.raises(EventError, match="send it again"):
        await writer.submit(feedback(), min_level="committed")
    store.down = None
    await until(lambda: writer.waiting == 0)
    assert len(store._interactions) == kept


async def test_closing_writes_what_waits(store, writer_of):
    store.fault = lambda rows: 0.02
    writer = writer_of(store, max_rows=10)
    waiting = [asyncio.create_task(writer.submit(feedback())) for _ in range(50)]
    await until(lambda: store.writes)
    await writer.aclose()
    assert {(await one).level for one in waiting} == {"committed"}
    with pytest.raises(EventError) as caught:
        await writer.submit(feedback())
    assert caught.value.code == "draining"


async def test_closing_logs_what_the_store_does_not_take(store, writer_of):
    store.hanging = True
    journal = FaultyJournal()
    writer = writer_of(store, journal=journal, commit_timeout_s=60)
    waiting = asyncio.create_task(writer.submit(feedback()))
    sure = asyncio.create_task(writer.submit(feedback(), min_level="committed"))
    await until(lambda: store.writes)
    await writer.aclose(drain_s=0.01)
    assert (await waiting).level == "logged"
    with pytest.raises(EventError, match="send it again"):
        await sure


async def test_a_sender_that_leaves_disturbs_nobody(store, writer_of):
    store.hanging = True
    writer = writer_of(store)
    row, other = feedback(), feedback()
    leaving = asyncio.create_task(writer.submit(row))
    staying = asyncio.create_task(writer.submit(other))
    await until(lambda: store.writes)
    leaving.cancel()
    store.hanging = False
    assert (await staying).level == "committed"
    assert await store.feedback_of(row.response_id, "acme") == [row]


async def test_a_fault_of_ours_stops_loudly(store, writer_of):
    def broken(rows):
        raise ZeroDivisionError

    reasons = []
    store.fault = broken
    writer = writer_of(store, on_fatal=reasons.append)
    with pytest.raises(EventError):
        await writer.submit(feedback())
    assert "ZeroDivisionError" in reasons[0]
    with pytest.raises(EventError):
        await writer.submit(feedback())


async def test_ids_of_two_tenants_do_not_meet(store, writer_of):
    writer = writer_of(store)
    event_id = uuid7()
    for tenant in ("acme", "globex"):
        ack = await writer.submit(feedback(event_id=event_id, tenant=tenant))
        assert ack == Ack("committed", duplicate=False)


async def test_ends_when_cancelled_though_the_store_swallows_it():
    class Swallowing(MemoryStore):
        entered = asyncio.Event()

        async def write(self, rows):
            self.entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise StoreUnavailableError("the connection is lost", code="08006") from None

    store = Swallowing()
    writer = Writer(store)
    writer.start()
    sending = asyncio.create_task(writer.submit(feedback()))
    await store.entered.wait()
    [task] = [one for one in asyncio.all_tasks() if one.get_name() == "feedback-writer"]
    task.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([task])
        await writer.aclose(drain_s=0)
        with pytest.raises(EventError):
            await sending
