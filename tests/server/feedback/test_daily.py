"""Retention by the server itself: once a day, by one node, noted, on a clock that is moved."""

import asyncio
import gzip

import pytest
from feedback_rig import until
from judgements import DAY_MS, NOW_MS, NOW_S, interaction, judgement, uuid7

from server.feedback.audit import MemoryAudit
from server.feedback.daily import LOOK_S, DailyRetention
from server.feedback.retention import NOTICES_MS, Expired
from server.storage.erasures import KEPT_MS
from server.storage.opening import open_store
from server.storage.outbox import Notice
from server.storage.store import StoreUnavailableError

DAYS = 100
OLD_MS = NOW_MS - 200 * DAY_MS


class Telling:
    def of_rows(self, rows):
        return [Notice(row.event_id, "a", "x", "", b"{}", row.received_at) for row in rows]

    def of_letter(self, letter):
        return []


class Rig:
    """A store of one day, whose clock the test moves, and nodes that look after it."""

    def __init__(self, store):
        self.store = store
        self.now_s = NOW_S
        self.audit = MemoryAudit(lambda: self.now_s)
        self.runs = []

    def node(self, archive_dir=None, **options):
        return DailyRetention(
            self.store,
            days=DAYS,
            archive_dir=archive_dir,
            audit=self.audit,
            wall_clock=lambda: self.now_s,
            dice=lambda: 0.0,
            on_run=lambda *run: self.runs.append(run),
            **options,
        )


@pytest.fixture(params=["sqlite", "postgres"])
async def rig(request, tmp_path):
    url = f"sqlite:///{tmp_path}/manicule.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    store = open_store(url, now=lambda: NOW_S, announcer=Telling())
    await store.open()
    await store.write([judgement(event_id=uuid7(OLD_MS), received_at=OLD_MS), judgement()])
    await store.write([interaction(started_at=OLD_MS), interaction(response_id="new")])
    yield Rig(store)
    await store.aclose()


async def test_s50_what_is_too_old_leaves_and_the_rest_stays(rig, tmp_path):
    archive = tmp_path / "archive"
    expired = await rig.node(archive).step()
    assert expired == Expired({"2026-05": 1}, 1, 1)
    assert await rig.store.months() == ["2026-11"]
    assert await rig.store.interaction("r1") is None
    assert await rig.store.interaction("new") is not None
    [file] = archive.iterdir()
    assert len(gzip.decompress(file.read_bytes()).splitlines()) == 1
    assert rig.runs == [("done", expired)]
    states = [(entry.action, entry.facts["state"]) for entry in rig.audit.entries]
    assert states == [("retention", "begun"), ("retention", "done")]
    assert rig.audit.entries[1].facts["judgements"] == 1


async def test_it_runs_once_a_day_whoever_looks(rig):
    one, other = rig.node(), rig.node()
    assert await one.step() is not None
    for _ in range(3):
        assert await one.step() is None
        assert await other.step() is None
    rig.now_s += 86_399
    assert await other.step() is None
    rig.now_s += 1
    assert await other.step() == Expired()
    assert await one.step() is None


async def test_what_becomes_old_leaves_on_its_day(rig):
    node = rig.node()
    await node.step()
    rig.now_s = NOW_S + DAYS * 86_400
    assert (await node.step()).interactions == 0
    rig.now_s += 86_400
    assert (await node.step()).interactions == 1
    assert await rig.store.months() == ["2026-11"]
    rig.now_s += 31 * 86_400
    assert (await node.step()).months == {"2026-11": 1}


async def test_notices_and_erasures_are_forgotten_in_time(rig):
    node = rig.node()
    await rig.store.erase_user("ann", now=NOW_MS)
    await node.step()
    rig.now_s = (NOW_MS + KEPT_MS) / 1000
    late = judgement(user_id="ann")
    assert (await node.step()).notices == 0
    assert await rig.store.write([late]) == ["duplicate"]
    rig.now_s = (NOW_MS + max(KEPT_MS, NOTICES_MS) + DAY_MS) / 1000
    assert (await node.step()).notices == 1
    assert await rig.store.write([late]) == ["inserted"]


async def test_a_run_that_fails_is_due_still_and_removes_nothing(rig, tmp_path):
    (tmp_path / "file").write_text("")
    node = rig.node(tmp_path / "file" / "archive")
    with pytest.raises(OSError, match="Not a directory"):
        await node.step()
    assert rig.runs == [("failed", Expired())]
    assert await rig.store.months() == ["2026-05", "2026-11"]
    assert (await rig.node().step()).months == {"2026-05": 1}


async def test_what_cannot_be_noted_is_not_done(rig):
    def note(action, **facts):
        raise OSError("read-only")

    rig.audit.note = note
    with pytest.raises(OSError, match="read-only"):
        await rig.node().step()
    assert await rig.store.months() == ["2026-05", "2026-11"]


async def test_two_nodes_at_once_run_it_once(rig):
    results = await asyncio.gather(*(rig.node().step() for _ in range(4)))
    assert sum(result is not None for result in results) == 1


async def test_a_node_that_works_long_keeps_its_lease(rig):
    entered, leave = asyncio.Event(), asyncio.Event()
    months = rig.store.months

    async def slow():
        entered.set()
        await leave.wait()
        return await months()

    rig.store.months = slow
    node = rig.node(lease_ms=60)
    running = asyncio.create_task(node.step())
    await entered.wait()
    renew, renewed = rig.store.chores.renew, []

    async def seen(*args, **options):
        renewed.append(await renew(*args, **options))
        return renewed[-1]

    rig.store.chores.renew = seen
    await until(lambda: renewed)
    rig.now_s += 0.05
    count = len(renewed)
    await until(lambda: len(renewed) > count + 1)
    rig.now_s += 0.05
    assert await rig.node().step() is None
    leave.set()
    assert (await running) is not None
    assert all(renewed)


async def test_a_loop_looks_soon_and_again_and_ends_when_closed(rig):
    node = rig.node(first_look_s=0.01, look_s=0.01)
    chores, away = rig.store.chores, 2

    class Away:
        async def claim(self, *args, **options):
            nonlocal away
            away -= 1
            if not away:
                rig.store.chores = chores
            raise StoreUnavailableError("it is away")

    rig.store.chores = Away()
    node.start()
    await until(lambda: rig.runs)
    await node.aclose()
    assert rig.runs[0][0] == "done"


def test_nodes_look_often_enough_to_run_daily():
    assert LOOK_S < 3600
