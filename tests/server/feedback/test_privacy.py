"""After an erasure a person's data is nowhere, and what names nobody is still there."""

import gzip
import json

import pytest
from judgements import DAY_MS, NOW_MS, interaction, judgement, uuid7

from protocol.positions import Position
from server.datasets.service import export
from server.feedback import retention
from server.feedback.audit import AuditLog, entries, verify
from server.feedback.privacy import ErasureError, erase_user
from server.storage.journal import MemoryJournal
from server.storage.opening import open_store
from server.storage.records import encode_row
from server.storage.response_log import Entry, LogError, MemoryResponseLog
from server.storage.store import Filter

CANARY = "ada-the-canary"
OTHER = "somebody-else"


@pytest.fixture
async def store(tmp_path):
    one = open_store(f"sqlite:///{tmp_path / 'store.db'}", now=lambda: NOW_MS / 1000)
    await one.open()
    yield one
    await one.aclose()


def rows_of(user: str, tenant: str = "", at: int = NOW_MS) -> list:
    return [
        judgement(
            event_id=uuid7(at), user_id=user, tenant=tenant, response_id=f"r-{user}",
            comment=f"by {user}",
            action="modify", final_text="so",
        ),
        interaction(user_id=user, tenant=tenant, response_id=f"r-{user}"),
    ]  # fmt: skip


async def scan(store, tenant: str = "") -> str:
    """All that a store says of a tenant."""
    found = [judged async for judged in store.judged(Filter(tenant=tenant))]
    letters = await store.dead_letters(1000)
    questions = [await store.interaction(f"r-{user}", tenant) for user in (CANARY, OTHER)]
    users = await store.tally(("user_id",), Filter(tenant=tenant))
    return repr((found, letters, questions, users))


async def test_s49_nothing_of_a_person_is_left(store, tmp_path):
    archive, exported = tmp_path / "archive", tmp_path / "export"
    audit = AuditLog(tmp_path / "audit.jsonl", lambda: NOW_MS / 1000)
    old = NOW_MS - 200 * DAY_MS
    await store.write(
        [judgement(event_id=uuid7(old + n), received_at=old, user_id=user)
         for n, user in enumerate((CANARY, OTHER, CANARY))]
    )  # fmt: skip
    await retention.run(store, NOW_MS, 90, archive)
    await store.write([*rows_of(CANARY), *rows_of(OTHER)])
    await store.put_dead_letter(encode_row(rows_of(CANARY)[0]), "refused", NOW_MS)
    await store.put_dead_letter(encode_row(rows_of(OTHER)[0]), "refused", NOW_MS)
    await export(
        store, Filter(), "openai-preference", "none", exported, now=NOW_MS + 1, version="0"
    )
    journal = MemoryJournal()
    await journal.append([encode_row(row) for row in rows_of(CANARY, at=NOW_MS + 1000)])

    report = await erase_user(
        store, CANARY, now=NOW_MS, journal=journal, archive_dir=archive, datasets=[exported],
        audit=audit,
    )  # fmt: skip
    assert report.store == {"feedback": 2, "interactions": 1, "notices": 0, "dead_letters": 1}
    assert (report.journal, report.archived, report.datasets) == (2, 2, 1)
    assert report.found
    assert CANARY not in await scan(store)
    assert OTHER in await scan(store)
    assert await journal.size() == 0
    texts = [gzip.decompress(path.read_bytes()).decode() for path in archive.iterdir()]
    assert CANARY not in "".join(texts)
    assert "".join(texts).count(OTHER) == 1

    [tombstone] = (exported / "erasures.jsonl").read_text().splitlines()
    assert json.loads(tombstone) == {"erasure": report.id, "time": NOW_MS, "judgements": 1}
    [entry] = entries(audit.path)
    assert (entry.action, entry.facts["erasure"], entry.facts["feedback"]) == (
        "erase",
        report.id,
        2,
    )
    assert verify(audit.path) is None
    for text in (audit.path.read_text(), tombstone, repr(report)):
        assert CANARY not in text

    again = await erase_user(store, CANARY, now=NOW_MS, archive_dir=archive, datasets=[exported])
    assert not again.found
    assert len((exported / "erasures.jsonl").read_text().splitlines()) == 1


async def test_another_tenants_person_of_that_name_is_another(store):
    await store.write([*rows_of(CANARY, "acme"), *rows_of(CANARY, "zenith")])
    await erase_user(store, CANARY, "acme", now=NOW_MS)
    assert CANARY not in await scan(store, "acme")
    assert CANARY in await scan(store, "zenith")


async def test_answers_that_have_ended_leave_the_log(store):
    log = MemoryResponseLog()
    await store.write([*rows_of(CANARY), *rows_of(OTHER)])
    for user in (CANARY, OTHER):
        await log.append([(f"r-{user}", Entry(Position(1, 0), "{}", ends=True))])
    log.failing = "away"
    with pytest.raises(LogError):
        await erase_user(store, CANARY, now=NOW_MS, log=log)
    log.failing = None  # what failed can be repeated: the store has not forgotten what to look for
    report = await erase_user(store, CANARY, now=NOW_MS, log=log)
    assert report.answers == 1
    assert list(log.streams) == [f"r-{OTHER}"]


async def test_sums_name_nobody_and_stay(store):
    await store.write(rows_of(CANARY))
    await erase_user(store, CANARY, now=NOW_MS)
    [tally] = await store.tally(("action",), Filter())
    assert tally.modified == 1


async def test_a_journal_that_a_node_is_moving_is_waited_for(store):
    journal = MemoryJournal()
    await journal.append([encode_row(row) for row in rows_of(CANARY)])
    held = await journal.fresh("a live node", 10)  # not yet written, not given up either
    times = iter([0.0, 1.0, 100.0])
    with pytest.raises(ErasureError, match="journal"):
        await erase_user(store, CANARY, now=NOW_MS, journal=journal, clock=lambda: next(times))
    await store.write(rows_of(CANARY))
    await journal.done([entry.id for entry in held])
    report = await erase_user(store, CANARY, now=NOW_MS, journal=journal)
    assert report.found
    assert CANARY not in await scan(store)
