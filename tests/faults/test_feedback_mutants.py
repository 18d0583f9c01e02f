"""The oracle notices what it is for: each of these mistakes is made on purpose and must be found.

A scenario runs once as the product is, which must hold, and once with the mistake switched on,
which must not.
"""

from __future__ import annotations

import asyncio

import pytest
from feedback_rig import FaultyJournal, FaultyStore, feedback, poison, until, uuid7
from msgspec import structs

from protocol.messages import FeedbackCreate
from server.feedback import drainer as drainer_module
from server.feedback import intake
from server.feedback.drainer import Drainer
from server.feedback.outcomes import Ack
from server.feedback.writer import Writer
from server.storage.records import encode_row

RIGHT, WRONG = "as it is", "with the mistake"
both = pytest.mark.parametrize("mode", [RIGHT, WRONG])


def verdict_is(verdict, mode, way) -> None:
    """As it is, nothing fails; with the mistake, exactly this way of failing is found."""
    failed = [name for name, keys in vars(verdict).items() if keys]
    assert failed == ([] if mode == RIGHT else [way]), str(verdict)


async def drain(store, journal) -> None:
    drainer = Drainer(store, journal, consumer="one", poll_s=0.01)
    drainer.start()
    await until(lambda: not journal._entries)
    await drainer.aclose()


class EagerWriter(Writer):
    """Acknowledges what it has only queued."""

    async def submit(self, row, *, min_level="logged"):
        self.queued = asyncio.create_task(super().submit(row, min_level=min_level))
        await asyncio.sleep(0)
        return Ack("committed", duplicate=False)


@both
async def test_ack_before_commit(obligations, mode):
    store = FaultyStore()
    store.hanging = True
    writer = (Writer if mode == RIGHT else EagerWriter)(store)
    writer.start()
    sending = [asyncio.create_task(obligations.submit(writer, feedback())) for _ in range(10)]
    await until(lambda: store.writes)
    # The process dies: nothing that was only in memory is stored any more.
    for task in [*writer._tasks, *sending]:
        task.cancel()
    await asyncio.gather(*writer._tasks, *sending, return_exceptions=True)
    if mode == WRONG:
        writer.queued.cancel()
    verdict_is(await obligations.settle(store), mode, "missing")


async def write_whole(store, pieces, *, received_at, on_written, on_refused):
    """Refuses a batch as a whole for one bad row in it."""
    try:
        results = await store.write([piece.row for piece in pieces])
    except Exception as error:
        for piece in pieces:
            await store.put_dead_letter(piece.data, str(error), received_at)
            on_refused(piece, str(error))
        return
    for piece, result in zip(pieces, results, strict=True):
        on_written(piece, result)


@both
async def test_no_bisection(obligations, monkeypatch, mode):
    if mode == WRONG:
        monkeypatch.setattr(drainer_module, "write_parts", write_whole)
    store, journal = FaultyStore(), FaultyJournal()
    store.down = "08006"
    writer = Writer(store, journal=journal, commit_timeout_s=0.02)
    writer.start()
    bad = feedback()
    await journal.append([encode_row(bad)])  # written by an older version, acknowledged by nobody
    await asyncio.gather(*(obligations.submit(writer, feedback()) for _ in range(99)))
    await writer.aclose()
    assert set(obligations.acked.values()) == {"logged"}
    store.down, store.fault = None, poison(bad.event_id)
    await drain(store, journal)
    assert len(await store.dead_letters(200)) == (1 if mode == RIGHT else 100)
    verdict_is(await obligations.settle(store), mode, "missing")


class TrimmingJournal(FaultyJournal):
    """Keeps the newest entries only, as MAXLEN does."""

    async def append(self, entries):
        await super().append(entries)
        for old in list(self._entries)[:-20]:
            del self._entries[old]


@both
async def test_maxlen_trimming(obligations, mode):
    store = FaultyStore()
    journal = FaultyJournal() if mode == RIGHT else TrimmingJournal()
    store.down = "08006"
    writer = Writer(store, journal=journal, commit_timeout_s=0.02)
    writer.start()
    await asyncio.gather(*(obligations.submit(writer, feedback()) for _ in range(100)))
    await writer.aclose()
    store.down = None
    await drain(store, journal)
    verdict_is(await obligations.settle(store), mode, "missing")


class ByArrival(FaultyStore):
    """Looks for an id in the month of its arrival only, as a partition by arrival does."""

    async def write(self, rows):
        before = dict(self._feedback)
        month = rows[0].received_at // (31 * 86_400_000)
        self._feedback = {k: v for k, v in before.items() if k[2:] == (month,)}
        self._feedback = {k[:2]: v for k, v in self._feedback.items()}
        results = await super().write(rows)
        self._feedback = before | {(*k, month): v for k, v in self._feedback.items()}
        return results


@both
async def test_partition_by_arrival(obligations, mode):
    store = FaultyStore() if mode == RIGHT else ByArrival()
    writer = Writer(store)
    writer.start()
    now_ms = 1_795_255_200_000
    row = feedback(event_id=uuid7(now_ms), received_at=now_ms)
    await obligations.submit(writer, row)
    later = structs.replace(row, received_at=now_ms + 40 * 86_400_000)
    obligations.ack(row, (await writer.submit(later)).level)
    await writer.aclose()
    verdict = await obligations.settle(store)
    verdict.payload.clear()  # the second row's own time of arrival differs, and is not the point
    verdict_is(verdict, mode, "duplicate")


def trusting_judge(event, **known):
    """Takes the tenant from what the client says."""
    tenant = event.metadata.get("tenant", known.pop("tenant"))
    return intake.judge(event, tenant=tenant, **known)


@both
async def test_trusting_the_payloads_tenant(obligations, mode):
    judge = intake.judge if mode == RIGHT else trusting_judge
    event = FeedbackCreate(
        event_id=uuid7(), response_id="resp-1", action="accept", metadata={"tenant": "globex"}
    )
    known = {
        "facts": intake.AnswerFacts("resp-1", "acme"),
        "now_ms": intake.UUID(event.event_id).int >> 80,
        "user_id": "ann",
        "tenant": "acme",
    }
    store = FaultyStore()
    writer = Writer(store)
    writer.start()
    owed = intake.judge(event, **known)
    obligations.send(owed)
    obligations.ack(owed, (await writer.submit(judge(event, **known))).level)
    await writer.aclose()
    verdict = await obligations.settle(store)
    if mode == WRONG:
        assert verdict.missing == [("acme", event.event_id)]
        verdict.missing.clear()
    verdict_is(verdict, mode, "spurious")
