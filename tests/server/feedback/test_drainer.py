"""What the drainer promises: from the journal only after the store has it, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from feedback_rig import FaultyJournal, feedback, interaction, poison, unavailable, until
from msgspec import structs

from server.feedback.drainer import Drainer
from server.storage.journal import JournalError, MemoryJournal
from server.storage.memory_store import MemoryStore
from server.storage.records import decode_row, encode_row
from server.storage.store import StoreUnavailableError


@pytest.fixture
def journal():
    return FaultyJournal()


@pytest.fixture
def drainer_of(store, journal):
    def make(consumer="one", **options):
        return Drainer(store, journal, consumer=consumer, **options)

    return make


async def test_moves_all_kinds_of_rows(store, journal, drainer_of):
    judged, asked = feedback(), interaction()
    await journal.append([encode_row(judged), encode_row(asked)])
    assert await drainer_of().step() == 2
    assert await store.feedback_of(judged.response_id, "acme") == [judged]
    assert await store.interaction(asked.response_id, "acme") == asked
    assert await journal.size() == 0


async def test_keeps_what_the_store_did_not_take_and_takes_it_up_again(store, journal, drainer_of):
    drainer = drainer_of()
    await journal.append([encode_row(feedback()) for _ in range(3)])
    store.fault = unavailable()
    with pytest.raises(StoreUnavailableError):
        await drainer.step()
    assert await journal.size() == 3
    store.fault = lambda rows: None
    assert await drainer.step() == 3
    assert await drainer.step() == 0


async def test_what_was_stored_and_not_acknowledged_is_no_second_row(store, journal, drainer_of):
    events = Counter()
    drainer = drainer_of(on_event=lambda event: events.update([event]))
    await journal.append([encode_row(feedback()) for _ in range(3)])
    done, journal.done = journal.done, refuse
    with pytest.raises(JournalError):
        await drainer.step()
    journal.done = done
    assert await drainer.step() == 3
    assert len(store._feedback) == 3
    assert events == {"drained": 3, "drained_duplicate": 3}


async def refuse(ids):
    raise JournalError("no reply")


async def test_what_the_store_refuses_is_kept_with_its_bytes(store, journal, drainer_of):
    rows = [feedback() for _ in range(20)]
    store.fault = poison(rows[3].event_id)
    await journal.append([encode_row(row) for row in rows] + [b"\xff no row", b"{}"])
    assert await drainer_of().step() == 22
    letters = await store.dead_letters(10)
    assert {letter.original for letter in letters} == {
        encode_row(rows[3]),
        b"\xff no row",
        b"{}",
    }
    assert len(store._feedback) == 19


async def test_the_first_of_two_contents_stays(store, journal, drainer_of):
    first = feedback()
    second = structs.replace(first, comment="other", payload_sha256="0" * 64)
    await journal.append([encode_row(first), encode_row(second)])
    assert await drainer_of().step() == 2
    [letter] = await store.dead_letters(10)
    assert decode_row(letter.original) == second
    assert letter.reason.startswith("conflict")
    assert list(store._feedback.values()) == [first]


async def test_batches_are_bounded_and_shared_between_drainers(store, journal, drainer_of):
    await journal.append([encode_row(feedback()) for _ in range(25)])
    one, two = drainer_of("one", batch_rows=10), drainer_of("two", batch_rows=10)
    assert [await one.step(), await two.step(), await one.step()] == [10, 10, 5]
    assert store.writes == [10, 10, 5]


async def test_the_loop_outlives_outages_of_both(store, journal, drainer_of):
    events = Counter()
    drainer = drainer_of(poll_s=0.01, on_event=lambda event: events.update([event]))
    journal.failing = "away"
    drainer.start()
    await until(lambda: events["drain_failed"] >= 2)
    journal.failing = None
    store.down = "08006"
    await journal.append([encode_row(feedback())])
    seen = events["drain_failed"]
    await until(lambda: events["drain_failed"] > seen)
    store.down = None
    await until(lambda: events["drained"])
    await drainer.aclose()
    assert await journal.size() == 0


async def test_a_fault_of_ours_stops_loudly(store, journal, drainer_of):
    def broken(rows):
        raise ZeroDivisionError

    reasons = []
    store.fault = broken
    await journal.append([encode_row(feedback())])
    drainer = drainer_of(on_fatal=reasons.append)
    drainer.start()
    await until(lambda: reasons)
    assert "ZeroDivisionError" in reasons[0]
    assert await journal.size() == 1


async def test_ends_when_cancelled_though_the_journal_swallows_it():
    entered = asyncio.Event()

    class Swallowing(MemoryJournal):
        async def claim(self, *args, **options):
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise JournalError("the connection is lost") from None

    drainer = Drainer(MemoryStore(), Swallowing(), consumer="one")
    drainer.start()
    async with asyncio.timeout(10):
        await entered.wait()
        await drainer.aclose()
