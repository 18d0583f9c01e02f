"""What was on its way when its person was erased never gets into a store."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from feedback_rig import until
from judgements import NOW_MS, NOW_S, changed, interaction, judgement

from server.feedback.drainer import Drainer
from server.feedback.writer import Writer
from server.storage.erasures import SKEW_MS, person_of
from server.storage.journal import MemoryJournal
from server.storage.memory_store import MemoryStore
from server.storage.opening import open_store
from server.storage.outbox import Notice
from server.storage.records import encode_row
from server.storage.store import Filter, StoreUnavailableError, Tally

LATER_MS = NOW_MS + SKEW_MS + 1


class Telling:
    def of_rows(self, rows):
        return [Notice(row.event_id, "a", "x", "", b"{}", row.received_at) for row in rows]

    def of_letter(self, letter):
        return [Notice(str(letter.id), "a", "x", "", b"{}", letter.received_at)]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def nodes(request, tmp_path):
    """Two nodes on one store."""
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


def theirs(user_id="ann", tenant="acme", **fields):
    return [
        judgement(user_id=user_id, tenant=tenant, **fields),
        interaction(user_id=user_id, tenant=tenant, response_id=f"{user_id}{tenant}"),
    ]


async def test_rows_received_before_are_not_stored_after(nodes):
    store, other = nodes
    await store.erase_user("ann", "acme", now=NOW_MS)
    late = theirs()
    assert await other.write(late) == ["duplicate", "duplicate"]
    assert await other.write([*late, *theirs("ben"), *theirs(tenant="x")]) == [
        *("duplicate", "duplicate"),
        *("inserted",) * 4,
    ]
    assert [one async for one in store.judged(Filter(tenant="acme", user_id="ann"))] == []
    assert await store.interaction("annacme", "acme") is None
    assert await store.tally([], Filter(tenant="acme")) == [Tally((), accepted=1)]
    assert len(await store.outbox.deliveries(10)) == 2


async def test_a_judgement_made_afterwards_is_a_new_one(store):
    await store.erase_user("ann", "acme", now=NOW_MS)
    [row, _] = theirs(received_at=LATER_MS)
    assert await store.write([row]) == ["inserted"]
    assert await store.write([changed(row, event_id=theirs()[0].event_id)]) == ["inserted"]


async def test_clocks_of_nodes_may_differ_a_little(store):
    await store.erase_user("ann", "acme", now=NOW_MS)
    assert await store.write([theirs(received_at=NOW_MS + SKEW_MS)[0]]) == ["duplicate"]


async def test_a_second_erasure_counts_from_its_own_time(store):
    await store.erase_user("ann", "acme", now=NOW_MS)
    [row, _] = theirs(received_at=LATER_MS)
    assert await store.write([row]) == ["inserted"]
    assert (await store.erase_user("ann", "acme", now=LATER_MS))["feedback"] == 1
    assert await store.write([row]) == ["duplicate"]


async def test_dead_letters_that_come_late_are_not_kept(store):
    await store.erase_user("ann", "acme", now=NOW_MS)
    for row in (*theirs(), *theirs("ben"), theirs(received_at=LATER_MS)[0]):
        await store.put_dead_letter(encode_row(row), "refused", NOW_MS)
    await store.put_dead_letter(b"[]", "unreadable", NOW_MS)
    await store.put_dead_letter(b"\xff", "unreadable", NOW_MS)
    await store.put_dead_letter(b'{"user_id": "\\ud800"}', "unreadable", NOW_MS)
    assert len(await store.dead_letters(10)) == 6
    assert len(await store.outbox.deliveries(10)) == 6


async def test_what_is_remembered_names_nobody_and_is_forgotten(store):
    await store.erase_user("ann", "acme", now=NOW_MS)
    assert "ann" not in person_of("ann", "acme")
    assert person_of("nn", "acmea") != person_of("ann", "acme")
    await store.forget_erasures(NOW_MS)
    assert await store.write(theirs()) == ["duplicate", "duplicate"]
    await store.forget_erasures(NOW_MS + 1)
    assert await store.write(theirs()) == ["inserted", "inserted"]


async def test_what_waits_in_a_writer_does_not_come_back(nodes):
    store, node = nodes
    write, away = node.write, True

    async def sometimes(rows):
        if away:
            raise StoreUnavailableError("it is away")
        return await write(rows)

    node.write = sometimes
    writer = Writer(node, deadline_s=60)
    writer.start()
    row, question = theirs()
    writer.log(question)
    sent = asyncio.create_task(writer.submit(row))
    await until(lambda: not writer.working)
    away = node is not store  # the one in memory is both nodes
    await store.erase_user("ann", "acme", now=NOW_MS)
    away = False
    assert (await sent).duplicate
    await writer.aclose()
    assert await store.feedback_of("r1", "acme") == []
    assert await store.interaction("annacme", "acme") is None


async def test_what_is_put_into_the_journal_late_does_not_come_back(store):
    journal = MemoryJournal()
    await store.erase_user("ann", "acme", now=NOW_MS)
    await journal.append([encode_row(row) for row in (*theirs(), *theirs("ben"))])
    events = []
    drainer = Drainer(store, journal, consumer="c", on_event=events.append)
    while await journal.size():
        await drainer.step()
    assert events == ["drained_duplicate"] * 2 + ["drained"] * 2
    assert {row.user_id for row in await store.feedback_of("r1", "acme")} == {"ben"}


async def test_a_commit_that_meets_an_erasure_half_way_is_not_missed(postgres_url):
    """The erasure has its locks and has not committed; the write, begun meanwhile, waits for it."""
    store = open_store(postgres_url, now=lambda: NOW_S)
    await store.open()
    await store.write([*theirs("ben"), *theirs(tenant="warm")])
    connection = await asyncpg.connect(postgres_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("LOCK TABLE feedback, interactions IN SHARE ROW EXCLUSIVE MODE")
        person = person_of("ann", "acme")
        await connection.execute("INSERT INTO erasures VALUES ($1, $2)", person, NOW_MS)
        writing = [asyncio.create_task(store.write([row])) for row in theirs()]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        await until(lambda: counted(connection, waiting, 2))
        await transaction.commit()
        assert [await one for one in writing] == [["duplicate"], ["duplicate"]]
        assert {row.user_id for row in await store.feedback_of("r1", "acme")} == {"ben"}
        assert await store.interaction("annacme", "acme") is None
    finally:
        await connection.close()
        await store.aclose()


async def counted(connection, query, number):
    return await connection.fetchval(query) == number


async def test_erasures_and_commits_at_once_leave_nothing(nodes):
    store, other = nodes
    rows = [theirs(response_id=f"r{n}") for n in range(40)]

    async def write():
        for judged, _ in rows:
            await other.write([judged])

    async def erase():
        for _ in range(10):
            await store.erase_user("ann", "acme", now=NOW_MS)

    await asyncio.gather(write(), erase())
    assert [one async for one in store.judged(Filter(tenant="acme"))] == []
