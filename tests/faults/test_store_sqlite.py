"""The SQLite store when its process, its disk or its file goes wrong."""

from __future__ import annotations

import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from judgements import NOW_MS, judgement, uuid7

from server.storage.sqlite_store import SqliteStore
from server.storage.store import Filter, RowRefusedError, StoreUnavailableError, Tally

WRITER = Path(__file__).with_name("store_process.py")


@pytest.fixture
async def opened(tmp_path):
    stores = []

    async def open_one(path=tmp_path / "manicule.db", busy_s=0.02):
        store = SqliteStore(path, busy_s=busy_s)
        stores.append(store)
        await store.open()
        return store

    yield open_one
    for store in stores:
        await store.aclose()


async def stored_ids(store):
    return [one.feedback.event_id async for one in store.judged(Filter())]


def kill_while_it_writes(url, seed, size, lines):
    """Run the writing process, end it with kill -9 after some lines, return the ids it printed."""
    command = [sys.executable, str(WRITER), url, str(seed), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        printed = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        rest = process.stdout.read()
    whole = "".join(printed) + rest[: rest.rfind("\n") + 1]
    return whole.split()


async def test_f01_kill_9_loses_nothing_that_was_confirmed(opened, tmp_path):
    dice = random.Random(1)
    confirmed = set()
    seed = 0
    for _ in range(8):
        size = dice.choice([1, 7, 300])
        url = f"sqlite:///{tmp_path}/manicule.db"
        acked = kill_while_it_writes(url, seed, size, dice.randrange(1, 12))
        confirmed |= set(acked)
        store = await opened()
        found = await stored_ids(store)
        assert confirmed <= set(found)
        assert len(found) == len(set(found))
        # What the process had begun without a confirmation is there once or not at all.
        begun = {uuid7(NOW_MS, seed + n) for n in range(len(acked) + size)}
        assert set(found) <= confirmed | begun
        again = await store.write([judgement(event_id=one) for one in sorted(begun)])
        assert again.count("inserted") == len(begun - set(found))
        confirmed |= begun
        assert await store.tally([], Filter()) == [Tally((), accepted=len(confirmed))]
        await store.aclose()
        seed += 10**6


async def filled(opened, tmp_path):
    """A file whose commits are all in its log, with the size of the log after each."""
    store = await opened()
    await store._writer.run(lambda connection: connection.execute("PRAGMA wal_autocheckpoint = 0"))
    log = tmp_path / "manicule.db-wal"
    commits = []
    for _ in range(12):
        rows = [judgement(comment="x" * 300) for _ in range(20)]
        await store.write(rows)
        commits.append((log.stat().st_size, {row.event_id for row in rows}))
    return log, commits


async def recovered(opened, tmp_path, name, data):
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(tmp_path / "manicule.db", folder / "manicule.db")
    (folder / "manicule.db-wal").write_bytes(data)
    found = []
    for _ in range(5):
        store = await opened(folder / "manicule.db")
        found.append(set(await stored_ids(store)))
        await store.aclose()
    assert found == [found[0]] * 5
    return found[0]


async def test_f17_a_torn_log_is_cut_at_its_last_whole_commit(opened, tmp_path):
    log, commits = await filled(opened, tmp_path)
    data = log.read_bytes()
    dice = random.Random(2)
    first = commits[0][0]
    for n, cut in enumerate([first, *(dice.randrange(first, len(data)) for _ in range(10))]):
        tail = dice.randbytes(dice.randrange(5000))
        found = await recovered(opened, tmp_path, f"cut{n}", data[:cut] + tail)
        # Each commit whose last byte was synced is there whole, and of later ones nothing.
        assert found == set().union(*(ids for size, ids in commits if size <= cut))


async def test_f19_a_flipped_bit_in_the_log_ends_it_there(opened, tmp_path):
    log, commits = await filled(opened, tmp_path)
    data = bytearray(log.read_bytes())
    at = (commits[5][0] + commits[6][0]) // 2
    data[at] ^= 1
    found = await recovered(opened, tmp_path, "flipped", bytes(data))
    assert found == set().union(*(ids for _, ids in commits[:6]))


async def test_a_file_that_another_holds_is_tried_again(opened, tmp_path):
    store = await opened()
    row = judgement()
    with sqlite3.connect(tmp_path / "manicule.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError) as caught:
            await store.write([row])
        assert caught.value.code == "SQLITE_BUSY"
        assert not caught.value.permanent
        assert await stored_ids(store) == []
        other.execute("ROLLBACK")
    other.close()
    assert await store.write([row]) == ["inserted"]


async def test_f08_a_full_disk_is_told_and_mends(opened):
    store = await opened()
    await store.write([judgement()])

    def limit(pages):
        return store._writer.run(lambda one: one.execute(f"PRAGMA max_page_count = {pages}"))

    await limit(1)  # SQLite takes the present size
    rows = [judgement(comment="x" * 1000) for _ in range(100)]
    with pytest.raises(StoreUnavailableError) as caught:
        await store.write(rows)
    assert caught.value.code == "SQLITE_FULL"
    assert caught.value.permanent
    assert len(await stored_ids(store)) == 1
    await limit(10**6)
    assert await store.write(rows) == ["inserted"] * 100


async def test_f08_a_read_only_file_is_told(opened):
    store = await opened()
    await store._writer.run(lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreUnavailableError) as caught:
        await store.write([judgement()])
    assert caught.value.code == "SQLITE_READONLY"
    assert caught.value.permanent


async def test_f18_a_write_that_the_disk_refuses_is_not_confirmed(opened, tmp_path):
    store = await opened()
    await store.write([judgement()])
    size = (tmp_path / "manicule.db-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10_000, hard))
    try:
        with pytest.raises(StoreUnavailableError) as caught:
            await store.write([judgement(comment="x" * 10_000) for _ in range(100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code.startswith("SQLITE_IOERR")
    assert caught.value.permanent
    await store.aclose()
    assert len(await stored_ids(await opened())) == 1


async def test_what_is_erased_leaves_the_files(opened, tmp_path):
    store = await opened()
    secret, kept = "Vogelscheuche" * 20, "Kaffeemaschine" * 20
    rows = [judgement(comment=secret, user_id="u") for _ in range(50)]
    await store.write([*rows, *(judgement(comment=kept) for _ in range(50))])
    await store.put_dead_letter(b'{"user_id": "u", "comment": "Vogelscheuche"}', "", 0)
    await store.erase_user("u", now=NOW_MS)
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Vogelscheuche" not in data
    assert b"Kaffeemaschine" in data


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\x00" * 100])
async def test_a_file_that_is_no_database_is_told(opened, tmp_path, content):
    (tmp_path / "manicule.db").write_bytes(content)
    with pytest.raises(StoreUnavailableError) as caught:
        await opened()
    assert caught.value.permanent
    assert (tmp_path / "manicule.db").read_bytes() == content


async def test_a_folder_that_cannot_be_made_is_told(opened, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError) as caught:
        await opened(tmp_path / "file" / "manicule.db")
    assert caught.value.permanent


async def test_f09_one_poison_row_among_a_thousand_is_found_by_halving(opened):
    store = await opened()
    rows = [judgement() for _ in range(1000)]
    rows[617] = judgement(comment="\x00")
    writes, refused = 0, []

    async def halve(batch):
        nonlocal writes
        writes += 1
        try:
            await store.write(batch)
        except RowRefusedError:
            if len(batch) == 1:
                refused.append(batch[0])
                return
            await halve(batch[: len(batch) // 2])
            await halve(batch[len(batch) // 2 :])

    await halve(rows)
    assert refused == [rows[617]]
    assert writes <= 21
    assert len(await stored_ids(store)) == 999


async def test_commits_reach_the_disk(opened):
    store = await opened()
    pragmas = {"synchronous": 2, "journal_mode": "wal", "secure_delete": 1, "fullfsync": 1}
    for name, value in pragmas.items():
        found = await store._writer.run(
            lambda connection, name=name: connection.execute(f"PRAGMA {name}").fetchall()
        )
        assert found == [(value,)], name
