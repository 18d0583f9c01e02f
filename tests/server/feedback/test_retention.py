"""What is old leaves, what is not stays, and nothing leaves before its archive is whole."""

import gzip
import stat

import pytest
from judgements import DAY_MS, NOW_MS, interaction, judgement, uuid7

from server.feedback import retention
from server.storage.opening import open_store
from server.storage.records import decode_row
from server.storage.store import Filter, StoreUnavailableError

DAYS = 90


@pytest.fixture
async def store(tmp_path):
    one = open_store(f"sqlite:///{tmp_path / 'store.db'}", now=lambda: NOW_MS / 1000)
    await one.open()
    yield one
    await one.aclose()


def at(days_ago: int, **fields):
    time = NOW_MS - days_ago * DAY_MS
    return judgement(event_id=uuid7(time), received_at=time, **fields)


async def kept(store) -> set[str]:
    return {judged.feedback.event_id async for judged in store.judged(Filter())}


async def test_s50_months_leave_when_their_last_day_is_too_old(store, tmp_path):
    new, edge = [at(0), at(89), at(91)], [at(111), at(112)]
    old = [at(113), at(200), at(201, comment="é\u2028")]
    await store.write([*new, *edge, *old])
    await store.write([interaction(response_id=str(n), started_at=NOW_MS - n * DAY_MS)
                       for n in (0, 89, 91, 200)])  # fmt: skip
    found = await retention.run(store, NOW_MS, DAYS, tmp_path / "archive")
    # 90 days before 21 November is 23 August: July, until 113 days ago, is the last to leave.
    assert await kept(store) == {row.event_id for row in (*new, *edge)}
    assert sum(found.months.values()) == 3
    assert found.interactions == 2
    assert await store.interaction("89") is not None
    assert await store.interaction("91") is None
    rows = []
    for path in sorted((tmp_path / "archive").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        rows += [decode_row(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert sorted(row.event_id for row in rows) == sorted(row.event_id for row in old)
    assert old[2] in rows
    assert await retention.run(store, NOW_MS, DAYS, tmp_path / "archive") == retention.Expired()


async def test_without_a_folder_nothing_is_archived(store, tmp_path):
    await store.write([at(0), at(200)])
    assert sum((await retention.run(store, NOW_MS, DAYS)).months.values()) == 1
    assert len(await kept(store)) == 1


async def test_rows_that_come_late_do_not_overwrite_an_archive(store, tmp_path):
    for _ in range(3):
        await store.write([at(200)])
        await retention.run(store, NOW_MS, DAYS, tmp_path / "archive")
    names = sorted(path.name for path in (tmp_path / "archive").iterdir())
    assert names == [
        "feedback-2026-05.2.jsonl.gz",
        "feedback-2026-05.3.jsonl.gz",
        "feedback-2026-05.jsonl.gz",
    ]


async def test_a_failure_leaves_rows_and_no_half_archive(store, tmp_path, monkeypatch):
    row = at(200)
    await store.write([row])
    broken = OSError(28, "No space left on device")

    def fail(path):
        raise broken

    monkeypatch.setattr(retention, "bring_to_disk", fail)
    with pytest.raises((OSError, StoreUnavailableError)):
        await retention.run(store, NOW_MS, DAYS, tmp_path / "archive")
    assert await kept(store) == {row.event_id}
    assert list((tmp_path / "archive").iterdir()) == []
