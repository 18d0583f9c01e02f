"""Monthly partitions of judgements: made ahead, by the id's own time, by many nodes at once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from judgements import NOW_MS, NOW_S, judgement, uuid7

from server.storage.months import Month, month_of_id
from server.storage.opening import open_store
from server.storage.store import Filter, Tally

THIS = Month(2026, 11)


@pytest.fixture
async def opened(postgres_url):
    stores = []

    async def open_one(now_s=NOW_S, url=postgres_url):
        store = open_store(url, now=now_s if callable(now_s) else lambda: now_s)
        stores.append(store)
        await store.open()
        return store

    yield open_one
    for store in stores:
        await store.aclose()


@pytest.fixture
async def direct(postgres_url):
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def partitions(direct):
    found = await direct.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'feedback'::regclass ORDER BY 1"
    )
    return [row[0].removeprefix("feedback_") for row in found]


async def places(direct):
    found = await direct.fetch("SELECT event_id::text, tableoid::regclass::text FROM feedback")
    return {event_id: name.removeprefix("feedback_") for event_id, name in found}


def test_months_are_ranges_of_ids():
    assert Month.of(NOW_MS) == THIS
    assert str(THIS.plus(2)) == "2027-01"
    assert THIS.plus(-11) == Month(2025, 12)
    assert Month.read("2026-11") == THIS
    first, end = THIS.id_range
    assert first <= uuid7(THIS.start_ms) < uuid7(THIS.plus(1).start_ms - 1) < end
    assert uuid7(THIS.start_ms - 1) < first
    assert end < uuid7(THIS.plus(1).start_ms)
    assert month_of_id(uuid7()) == THIS
    assert month_of_id("d9428888-122b-41e1-b85c-61cd3cbb3210") is None
    assert month_of_id("ffffffff-ffff-7fff-bfff-ffffffffffff") is None


async def test_a_new_store_has_this_month_and_two_more(opened, direct):
    await opened()
    assert await partitions(direct) == ["2026_11", "2026_12", "2027_01", "default"]


async def test_f12_the_time_of_an_id_chooses_its_partition(opened, direct):
    store = await opened()
    months = {
        "2026_10": uuid7(THIS.start_ms - 1),
        "2026_11": uuid7(THIS.start_ms),
        "2026_12": uuid7(THIS.plus(2).start_ms - 1),
        "2027_01": uuid7(THIS.plus(2).start_ms),
        "2025_01": uuid7(Month(2025, 1).start_ms),
        "default": "d9428888-122b-41e1-b85c-61cd3cbb3210",
    }
    rows = [judgement(event_id=one, received_at=NOW_MS) for one in months.values()]
    assert await store.write(rows) == ["inserted"] * 6
    assert await places(direct) == {one: name for name, one in months.items()}
    assert await store.write(rows) == ["duplicate"] * 6


async def test_ids_make_no_partitions_outside_the_months_kept(opened, direct):
    store = await opened()
    before = await partitions(direct)
    rows = [judgement(event_id=uuid7(THIS.plus(n).start_ms)) for n in (-300, -25, 3, 300, 3000)]
    await store.write(rows)
    assert await partitions(direct) == before
    assert set((await places(direct)).values()) == {"default"}


async def test_the_next_month_is_made_while_the_server_runs(opened, direct):
    clock = [NOW_S]
    store = await opened(lambda: clock[0])
    await store.write([judgement()])
    assert "2027_02" not in await partitions(direct)
    clock[0] = THIS.plus(1).start_ms / 1000
    await store.write([judgement()])
    assert "2027_02" in await partitions(direct)


async def test_rows_of_the_default_partition_move_to_their_month(opened, direct):
    store = await opened()
    early = judgement(event_id=uuid7(THIS.plus(4).start_ms + 5))
    random = judgement(event_id="d9428888-122b-41e1-b85c-61cd3cbb3210")
    await store.write([early, random])
    assert set((await places(direct)).values()) == {"default"}
    later = await opened(THIS.plus(3).start_ms / 1000)
    assert (await places(direct))[early.event_id] == "2027_03"
    assert (await places(direct))[random.event_id] == "default"
    assert await later.write([early, random]) == ["duplicate"] * 2
    # A node that made the month before the move, or knows nothing of it, agrees.
    assert await store.write([early]) == ["duplicate"]
    assert await store.tally([], Filter()) == [Tally((), accepted=2)]


async def test_many_nodes_need_the_same_new_months_at_once(opened, direct):
    stores = [await opened() for _ in range(6)]
    rows = [judgement(event_id=uuid7(THIS.plus(-n).start_ms)) for n in range(1, 13)]
    results = await asyncio.gather(*(store.write(rows) for store in stores))
    assert sorted(result.count("inserted") for result in results) == [0] * 5 + [12]
    assert len(await partitions(direct)) == 12 + 4


async def test_writes_go_on_while_partitions_are_made(opened, direct):
    writer, maker = await opened(), await opened()
    done = asyncio.Event()

    async def write():
        count = 0
        while not done.is_set():
            # Of no version, so that they go to the very partition that making one locks.
            ids = [uuid7(number=n).replace("-7", "-4", 1) for n in range(count, count + 5)]
            assert await writer.write([judgement(event_id=one) for one in ids])
            count += 5
        return count

    writing = asyncio.create_task(write())
    for n in range(1, 10):
        await maker.write([judgement(event_id=uuid7(THIS.plus(-n).start_ms))])
    done.set()
    await writing
    assert {f"2026_{month:02}" for month in range(2, 13)} <= set(await partitions(direct))


async def test_a_role_that_may_not_make_tables_still_writes(opened, direct, postgres_url):
    await opened()
    name = f"writer_{await direct.fetchval('SELECT current_database()')}"
    await direct.execute(f"CREATE ROLE {name} LOGIN")
    try:
        await direct.execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}"
        )
        store = await opened(
            THIS.plus(1).start_ms / 1000, postgres_url.replace("//manicule@", f"//{name}@")
        )
        row = judgement(event_id=uuid7(THIS.plus(3).start_ms))
        assert await store.write([row]) == ["inserted"]
        assert await places(direct) == {row.event_id: "default"}
        await store.aclose()
    finally:
        await direct.execute(f"DROP OWNED BY {name}")
        await direct.execute(f"DROP ROLE {name}")
