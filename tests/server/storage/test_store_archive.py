"""Old months leave every store of record whole, or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from judgements import DAY_MS, NOW_MS, interaction, judgement, uuid7

from server.storage.months import Month
from server.storage.records import decode_row
from server.storage.store import Filter

MAY = Month(2026, 5)
RANDOM_ID = "d9428888-122b-41e1-b85c-61cd3cbb3210"


class Shelf:
    """Keeps what it is given; fails when told to, at a chunk or at the seal."""

    def __init__(self, fail_at=None):
        self.data = b""
        self.sealed = False
        self._fail_at = fail_at

    async def write(self, chunk):
        assert not self.sealed
        assert chunk.endswith(b"\n")
        if self._fail_at == "write":
            raise OSError("no space")
        self.data += chunk

    async def seal(self):
        if self._fail_at == "seal":
            raise OSError("no space")
        self.sealed = True

    def rows(self):
        return [decode_row(line) for line in self.data.splitlines()]


def of_may():
    first, last = MAY.start_ms, MAY.plus(1).start_ms - 1
    rows = [judgement(event_id=uuid7(first + n), tenant=str(n % 2)) for n in range(1201)]
    rows += [judgement(event_id=uuid7(last), comment="é\u2028\n", received_at=NOW_MS)]
    return [*rows, judgement(event_id=RANDOM_ID, received_at=last)]


def of_others():
    times = (MAY.start_ms - 1, MAY.plus(1).start_ms, NOW_MS)
    rows = [judgement(event_id=uuid7(time), received_at=MAY.start_ms) for time in times]
    random = RANDOM_ID.replace("d9428888", "e9428888")
    return [*rows, judgement(event_id=random, received_at=MAY.start_ms - 1)]


async def everything(store):
    found = []
    for tenant in ("", "0", "1"):
        found += [one.feedback async for one in store.judged(Filter(tenant=tenant))]
    return sorted(found, key=lambda row: row.event_id)


def by_id(rows):
    return sorted(rows, key=lambda row: row.event_id)


async def test_a_month_is_written_out_and_then_removed(store):
    gone, kept = of_may(), of_others()
    await store.write([*gone, *kept, interaction()])
    before = await store.tally(["day"], Filter())
    assert await store.months() == ["2026-04", "2026-05", "2026-06", "2026-11"]
    shelf = Shelf()
    assert await store.archive_month("2026-05", shelf) == len(gone)
    assert shelf.sealed
    assert by_id(shelf.rows()) == by_id(gone)
    assert await everything(store) == by_id(kept)
    assert await store.months() == ["2026-04", "2026-06", "2026-11"]
    assert await store.tally(["day"], Filter()) == before
    assert await store.interaction("r1") is not None
    assert await store.archive_month("2026-05", Shelf()) == 0


@pytest.mark.parametrize("step", ["write", "seal"])
async def test_an_archive_that_fails_removes_nothing(store, step):
    rows = of_may()
    await store.write(rows)
    with pytest.raises(Exception, match="no space"):
        await store.archive_month("2026-05", Shelf(step))
    assert await everything(store) == by_id(rows)
    shelf = Shelf()
    assert await store.archive_month("2026-05", shelf) == len(rows)
    assert by_id(shelf.rows()) == by_id(rows)


async def test_a_month_that_is_gone_can_be_written_again(store):
    rows = of_may()[:3]
    await store.write(rows)
    await store.archive_month("2026-05", Shelf())
    assert await store.write(rows) == ["inserted"] * 3
    assert await store.months() == ["2026-05"]


async def test_refuses_what_is_no_month(store):
    for text in ("2026-13", "2026", "", "2026-05; DROP TABLE feedback"):
        with pytest.raises(ValueError, match=r"does not match format|unconverted data"):
            await store.archive_month(text, Shelf())


async def test_old_interactions_are_removed(store):
    rows = [interaction(response_id=f"r{n}", started_at=NOW_MS - n * DAY_MS) for n in range(10)]
    many = [interaction(response_id=f"old{n}", started_at=n) for n in range(4500)]
    await store.write([*rows, *many])
    assert await store.expire_interactions(NOW_MS - 4 * DAY_MS) == 5 + 4500
    assert await store.interaction("r4") == rows[4]
    assert await store.interaction("r5") is None
    assert await store.expire_interactions(NOW_MS - 4 * DAY_MS) == 0
