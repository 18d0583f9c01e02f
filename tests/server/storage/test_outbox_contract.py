"""What every outbox promises: in memory, in SQLite, in a real PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from judgements import NOW_MS, NOW_S, interaction, judgement

from server.storage.memory_store import MemoryStore
from server.storage.opening import open_store
from server.storage.outbox import MAX_ERROR_CHARS, Backlog, Notice
from server.storage.store import RowRefusedError, StoreUnavailableError

LOAN_MS = 60_000


class Telling:
    """Tells two endpoints of each judgement, one of each dead letter."""

    def of_rows(self, rows):
        return [
            Notice(
                f"msg-{row.event_id}",
                name,
                "feedback.created",
                row.tenant,
                row.event_id.encode() + b"\xff",
                row.received_at,
                row.user_id,
            )
            for row in rows
            for name in ("a", "b")
        ]

    def of_letter(self, letter):
        body = b"%d" % letter.id
        return [Notice(f"letter-{letter.id}", "a", "letter", "", body, letter.received_at)]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def nodes(request, tmp_path):
    """Two nodes on one store; the twin in memory is one process, so it is both."""
    stores = []
    if request.param == "memory":
        stores = [MemoryStore(announcer=Telling())] * 2
    else:
        url = f"sqlite:///{tmp_path}/manicule.db"
        if request.param == "postgres":
            url = request.getfixturevalue("postgres_url")
        stores = [open_store(url, now=lambda: NOW_S, announcer=Telling()) for _ in range(2)]
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.aclose()


@pytest.fixture
def store(nodes):
    return nodes[0]


async def borrow(store, now=NOW_MS, *, endpoint="a", loan="x", limit=10):
    until = now + LOAN_MS
    return await store.outbox.borrow(endpoint, limit=limit, now=now, until=until, loan=loan)


async def test_a_new_judgement_is_told_to_each_endpoint_once(store):
    row = judgement(tenant="acme")
    await store.write([row, interaction()])
    await store.write([row])
    [mine], [yours] = await borrow(store), await borrow(store, endpoint="b")
    assert mine.body == row.event_id.encode() + b"\xff"
    assert (mine.message_id, mine.tenant) == (f"msg-{row.event_id}", "acme")
    assert (mine.event, mine.created_at) == ("feedback.created", NOW_MS)
    assert (mine.attempts, mine.next_at, mine.state) == (1, NOW_MS + LOAN_MS, "waiting")
    assert yours.endpoint == "b"
    assert yours.message_id == mine.message_id
    assert await store.backlog() == Backlog(waiting=2)


async def test_a_batch_that_is_refused_tells_nothing(store):
    with pytest.raises(RowRefusedError):
        await store.write([judgement(), judgement(comment="\x00")])
    assert await store.outbox.deliveries(10) == []


async def test_a_dead_letter_is_told(store):
    await store.put_dead_letter(b"\xff", "no", NOW_MS)
    [letter] = await store.dead_letters(1)
    [told] = await borrow(store)
    assert told.body == b"%d" % letter.id
    assert await store.backlog() == Backlog(dead_letters=1, waiting=1)


async def test_what_is_lent_is_lent_to_nobody_else_until_the_loan_ends(nodes):
    one, other = nodes
    await one.write([judgement()])
    [held] = await borrow(one, loan="one")
    assert await borrow(other, loan="other") == []
    assert await borrow(other, NOW_MS + LOAN_MS - 1, loan="other") == []
    [taken] = await borrow(other, NOW_MS + LOAN_MS, loan="other")
    assert (taken.number, taken.attempts) == (held.number, 2)
    assert not await one.outbox.delivered(held.number, "one")
    assert not await one.outbox.failed(held.number, "one", next_at=None, error="late")
    assert await other.outbox.delivered(taken.number, "other")
    assert await one.backlog() == Backlog(waiting=1)


async def test_two_nodes_share_what_is_due_without_overlap(nodes):
    await nodes[0].write([judgement(received_at=NOW_MS + n % 7) for n in range(100)])

    async def take(store, loan):
        numbers = []
        while some := await borrow(store, NOW_MS + 10, loan=loan, limit=7):
            numbers += [one.number for one in some]
            for one in some:
                assert await store.outbox.delivered(one.number, loan)
        return numbers

    first, second = await asyncio.gather(take(nodes[0], "one"), take(nodes[1], "two"))
    assert len(first) + len(second) == 100
    assert len({*first, *second}) == 100


async def test_it_is_not_lent_before_it_is_due(store):
    await store.write([judgement()])
    [one] = await borrow(store)
    assert await store.outbox.failed(one.number, "x", next_at=NOW_MS + 5000, error="HTTP 503")
    assert await borrow(store, NOW_MS + 4999) == []
    [again] = await borrow(store, NOW_MS + 5000)
    assert (again.attempts, again.error) == (2, "HTTP 503")


async def test_the_oldest_due_come_first(store):
    rows = [judgement(received_at=NOW_MS - age) for age in (1, 5, 3)]
    await store.write(rows)
    found = await borrow(store, limit=2)
    assert {one.created_at for one in found} == {NOW_MS - 5, NOW_MS - 3}


async def test_the_dead_are_lent_no_more_until_revived(store):
    await store.write([judgement(), judgement()])
    first, second = await borrow(store)
    long = "e" * (MAX_ERROR_CHARS + 1)
    for one in (first, second):
        assert await store.outbox.failed(one.number, "x", next_at=None, error=long)
    assert await borrow(store, NOW_MS + 10 * LOAN_MS) == []
    assert await store.backlog() == Backlog(waiting=2, dead=2)
    [shown, _] = await store.outbox.deliveries(10, state="dead", endpoint="a")
    assert (shown.number, shown.error) == (first.number, long[:-1])
    assert await store.outbox.deliveries(10, state="dead", endpoint="b") == []
    assert await store.outbox.revive([first.number, 10**6], now=NOW_MS) == 1
    [again] = await borrow(store)
    assert (again.number, again.attempts) == (first.number, 1)
    assert await store.outbox.revive(None, now=NOW_MS) == 1
    assert await store.outbox.revive(None, now=NOW_MS) == 0


async def test_numbers_page_through_all(store):
    await store.write([judgement() for _ in range(3)])
    found, after = [], 0
    while page := await store.outbox.deliveries(4, after):
        found += page
        after = page[-1].number
    assert len({one.number for one in found}) == len(found) == 6
    assert found == sorted(found, key=lambda one: one.number)


async def test_old_ones_are_forgotten(store):
    await store.write([judgement(received_at=NOW_MS - 1), judgement()])
    assert await store.outbox.forget(NOW_MS) == 2
    assert {one.created_at for one in await store.outbox.deliveries(10)} == {NOW_MS}


async def test_erasing_a_person_takes_what_was_not_delivered(store):
    await store.write([judgement(user_id="ann"), judgement(user_id="ben"), judgement()])
    report = await store.erase_user("ann", now=NOW_MS)
    assert report["notices"] == 2
    assert len(await store.outbox.deliveries(10)) == 4


async def test_it_is_unavailable_before_the_store_is_open(tmp_path):
    url = f"sqlite:///{tmp_path}/closed.db"
    for store in (MemoryStore(), open_store(url, now=lambda: NOW_S)):
        with pytest.raises(StoreUnavailableError):
            await store.outbox.deliveries(1)
        with pytest.raises(StoreUnavailableError):
            await store.backlog()
