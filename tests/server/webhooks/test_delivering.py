"""Borrowing, sending, settling: what becomes of a notice, by a clock that the test moves."""

import pytest
from feedback_rig import until
from judgements import NOW_MS, NOW_S, judgement
from receiver import SECRET, status

from server.storage.memory_store import MemoryStore
from server.storage.outbox import Backlog
from server.storage.store import StoreUnavailableError
from server.webhooks.delivering import (
    BATCH,
    FIRST_RETRY_S,
    LOAN_MS,
    MAX_ATTEMPTS,
    MAX_RETRY_S,
    Deliverer,
    retry_pause_s,
)
from server.webhooks.endpoints import Endpoint
from server.webhooks.notices import Announcements
from server.webhooks.sending import TIMEOUT_S, Reply, Sender
from server.webhooks.signing import read_key

KEYS = (read_key(SECRET),)


def endpoint(name="a", url="https://hooks.example.com"):
    return Endpoint(name, url, KEYS, events=("feedback.created",))


class Rig:
    """A store in memory, an endpoint that replies as told, and a clock."""

    def __init__(self, *endpoints):
        self.endpoints = endpoints or (endpoint(),)
        self.store = MemoryStore(announcer=Announcements(self.endpoints))
        self.now_s = NOW_S
        self.reply = Reply(200)
        self.sent = []
        self.counts = []
        self.deliverer = self.node()

    def node(self, **options):
        return Deliverer(
            self.store.outbox,
            self.endpoints,
            self.send,
            wall_clock=lambda: self.now_s,
            dice=lambda: 1.0,
            on_result=lambda *result: self.counts.append(result),
            **options,
        )

    async def send(self, endpoint, message_id, body, *, now_s):
        self.sent.append(message_id)
        return self.reply

    async def step(self, node=None):
        return await (node or self.deliverer).step(self.endpoints[0])


@pytest.fixture
async def rig():
    made = Rig()
    await made.store.open()
    return made


async def test_what_was_delivered_is_gone(rig):
    await rig.store.write([judgement(), judgement()])
    assert await rig.step() == ["delivered"] * 2
    assert await rig.step() == []
    assert await rig.store.backlog() == Backlog()
    assert rig.counts == [("a", "delivered")] * 2


async def test_a_failure_is_tried_again_after_growing_pauses_then_given_up(rig):
    await rig.store.write([judgement()])
    rig.reply = Reply(500)
    pauses = []
    for attempt in range(1, MAX_ATTEMPTS):
        assert await rig.step() == ["failed"]
        [one] = await rig.store.outbox.deliveries(1)
        assert (one.attempts, one.error) == (attempt, "HTTP 500")
        pauses.append(one.next_at / 1000 - rig.now_s)
        rig.now_s = one.next_at / 1000 - 0.001
        assert await rig.step() == []
        rig.now_s += 0.001
    assert await rig.step() == ["dead"]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (FIRST_RETRY_S, MAX_RETRY_S)
    assert 30 * 3600 < sum(pauses) < 33 * 3600
    rig.now_s += 10**6
    assert await rig.step() == []
    assert await rig.store.backlog() == Backlog(dead=1)
    assert len(set(rig.sent)) == 1
    rig.reply = Reply(200)
    assert await rig.store.outbox.revive(None, now=int(rig.now_s * 1000)) == 1
    assert await rig.step() == ["delivered"]
    assert len(set(rig.sent)) == 1


def test_pauses_are_thrown_between_half_and_all():
    for attempts in (1, 2, 5, MAX_ATTEMPTS, 1000):
        assert retry_pause_s(attempts, 0.0) * 2 == retry_pause_s(attempts, 1.0) <= MAX_RETRY_S


async def test_what_the_receiver_never_wants_is_given_up_at_once(rig):
    await rig.store.write([judgement()])
    rig.reply = Reply(410)
    assert await rig.step() == ["dead"]


async def test_a_receiver_that_asks_for_patience_gets_it(rig):
    await rig.store.write([judgement()])
    rig.reply = Reply(503, retry_after_s=600)
    await rig.step()
    [one] = await rig.store.outbox.deliveries(1)
    assert one.next_at == NOW_MS + 600_000


async def test_a_store_that_cannot_be_told_has_it_sent_again_under_the_same_id(rig):
    await rig.store.write([judgement()])
    rig.store.outbox.delivered = away
    assert await rig.step() == ["repeats"]
    del rig.store.outbox.delivered
    assert await rig.step() == []
    rig.now_s += LOAN_MS / 1000
    assert await rig.step() == ["delivered"]
    assert len(rig.sent) == 2
    assert len(set(rig.sent)) == 1


async def away(*_, **__):
    raise StoreUnavailableError("it is away")


async def test_a_loan_outlasts_the_longest_delivery():
    assert LOAN_MS / 1000 > 3 * TIMEOUT_S


async def test_a_delivery_that_took_longer_than_its_loan_settles_nothing(rig):
    await rig.store.write([judgement()])
    other = rig.node()

    async def slow(endpoint, message_id, body, *, now_s):
        rig.now_s += LOAN_MS / 1000
        assert await rig.step(other) == ["delivered"]
        return Reply(500)

    late = Deliverer(rig.store.outbox, rig.endpoints, slow, wall_clock=lambda: rig.now_s)
    assert await late.step(rig.endpoints[0]) == ["repeats"]
    assert await rig.store.backlog() == Backlog()


async def test_one_batch_is_no_larger_than_its_bound(rig):
    await rig.store.write([judgement() for _ in range(BATCH + 1)])
    assert len(await rig.step()) == BATCH
    assert len(await rig.step()) == 1


async def test_loops_deliver_what_comes_and_end_when_closed(receiver):
    rig = Rig(endpoint("a", receiver.url), endpoint("b", receiver.url))
    await rig.store.open()
    sender = Sender(allow_http=True, allow_private=True)
    node = Deliverer(rig.store.outbox, rig.endpoints, sender.send, poll_s=0.01)
    node.start()
    rows = [judgement(received_at=1000 + n) for n in range(50)]
    for row in rows:
        await rig.store.write([row])
    await until(lambda: len(receiver.requests) == 100)
    await until(lambda: not rig.store.outbox.count("waiting"))
    await node.aclose()
    await sender.aclose()
    told = sorted(one.event["data"]["event_id"] for one in receiver.requests)
    assert told == sorted([row.event_id for row in rows] * 2)
    assert all(one.signed_with(SECRET) for one in receiver.requests)


async def test_an_endpoint_that_hangs_keeps_no_other_waiting(receiver):
    def answer(request):
        return None if "hang" in request.line else status(204)

    receiver.answer = answer
    rig = Rig(endpoint("hangs", receiver.url + "/hang"), endpoint("works", receiver.url))
    await rig.store.open()
    sender = Sender(allow_http=True, allow_private=True, timeout_s=30)
    node = Deliverer(rig.store.outbox, rig.endpoints, sender.send, poll_s=0.01)
    node.start()
    await rig.store.write([judgement() for _ in range(3 * BATCH)])
    await until(lambda: sum("hang" not in one.line for one in receiver.requests) == 3 * BATCH)
    await until(lambda: rig.store.outbox.count("waiting") == 3 * BATCH)
    await node.aclose(wait_s=0)
    await sender.aclose()
    left = await rig.store.outbox.deliveries(100)
    assert {one.endpoint for one in left} == {"hangs"}


async def test_a_store_that_is_away_is_asked_again(rig):
    borrow, failures = rig.store.outbox.borrow, 2

    async def sometimes(*args, **options):
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnavailableError("it is away")
        return await borrow(*args, **options)

    rig.store.outbox.borrow = sometimes
    await rig.store.write([judgement()])
    node = rig.node(poll_s=0.01)
    node.start()
    await until(lambda: rig.sent)
    await node.aclose()
    assert failures == 0


async def test_a_fault_of_ours_is_told(rig):
    told = []
    await rig.store.write([judgement()])

    async def broken(endpoint, message_id, body, *, now_s):
        raise RuntimeError("a mistake")

    node = Deliverer(rig.store.outbox, rig.endpoints, broken, on_fatal=told.append)
    node.start()
    await until(lambda: told)
    await node.aclose()
    assert "a mistake" in told[0]
