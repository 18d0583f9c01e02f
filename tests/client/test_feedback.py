"""Judgements: acknowledged, queued, sent again under the same id, refused for good."""

import asyncio
import time

import pytest
from told_server import WAIT_S, acknowledge, be_silent, final_response, refuse_with, until

import manicule
from manicule import feedback
from protocol.events import FeedbackAcknowledged, ProTip


@pytest.fixture(params=["memory", "file"])
def outbox(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "feedback.db"


async def test_each_action_is_acknowledged(told, outbox):
    final = final_response()
    tip = ProTip(id="item_1", offset=0, text="Save first.")
    async with manicule.connect(told.url, outbox=outbox) as client:
        done = [
            await client.accept(final),
            await client.reject(final, item=tip, tags=["factual_error"], comment="No."),
            await client.modify(final, "Better.", min_level="committed"),
            await client.rate(final, 4, metadata={"a": "b"}),
            await client.dismiss("resp_2", item="item_2"),
        ]
        assert client.pending == 0
    assert all(isinstance(each, FeedbackAcknowledged) for each in done)
    sent = told.events("feedback.create")
    assert [each["event_id"] for each in sent] == [each.event_id for each in done]
    assert [each["action"] for each in sent] == ["accept", "reject", "modify", "rate", "dismiss"]
    assert sent[1]["item_id"] == "item_1"
    assert {each["receipt"] for each in sent[:4]} == {"receipt of resp_1"}
    assert "receipt" not in sent[4]


async def test_a_thousand_at_once_are_sent_once_and_in_order(told, outbox):
    async with manicule.connect(told.url, outbox=outbox, ack_wait_s=WAIT_S) as client:
        done = await asyncio.gather(*(client.accept(f"resp_{n}") for n in range(1000)))
        assert client.pending == 0
    sent = told.events("feedback.create")
    assert [each["response_id"] for each in sent] == [f"resp_{n}" for n in range(1000)]
    assert [each.event_id for each in done] == [each["event_id"] for each in sent]
    ids = [each["event_id"] for each in sent]
    assert ids == sorted(ids)


async def test_a_full_outbox_is_sent_at_a_pace_that_is_no_flood(told, outbox):
    many = 2 * feedback.WINDOW + 300
    started = time.monotonic()
    async with manicule.connect(told.url, outbox=outbox, ack_wait_s=WAIT_S) as client:
        await asyncio.gather(*(client.accept(f"resp_{n}") for n in range(many)))
    took_s = time.monotonic() - started
    sent = len(told.events("feedback.create"))
    assert sent == many
    assert sent <= feedback.WINDOW + 1 + took_s * feedback.PACE_PER_S


async def test_never_more_than_a_window_is_under_way(told, outbox, monkeypatch):
    monkeypatch.setattr(feedback, "WINDOW", 10)
    told.on["feedback.create"] = be_silent
    async with manicule.connect(told.url, outbox=outbox, ack_wait_s=WAIT_S) as client:
        judging = [asyncio.create_task(client.accept(f"resp_{n}")) for n in range(35)]
        for answered in range(35):
            expected = min(answered + 10, 35)
            await until(lambda least=expected: len(told.events("feedback.create")) >= least)
            await client.search("a round trip")
            sent = told.events("feedback.create")
            assert len(sent) == expected
            await acknowledge(told, told.connections[0], sent[answered])
        await asyncio.gather(*judging)


async def test_what_is_not_acknowledged_in_time_is_queued_and_sent_again(told, outbox, monkeypatch):
    monkeypatch.setattr(feedback, "ACK_S", 0.05)
    told.on["feedback.create"] = be_silent
    async with manicule.connect(told.url, outbox=outbox, ack_wait_s=0.01) as client:
        queued = await client.accept("resp_1")
        assert queued == manicule.Queued(queued.event_id)
        await until(lambda: len(told.events("feedback.create")) >= 3)
        told.on["feedback.create"] = acknowledge
        assert await client.flush(WAIT_S) == 0
    assert {each["event_id"] for each in told.events("feedback.create")} == {queued.event_id}


async def test_a_connection_lost_before_the_acknowledgement(told, outbox, sleeps):
    async def drop(told, socket, event):
        await socket.close(1012, "restart")

    told.on["feedback.create"] = drop
    async with manicule.connect(told.url, outbox=outbox, environment=sleeps.environment) as client:
        queued = await client.accept("resp_1")
        assert isinstance(queued, manicule.Queued)
        assert queued.reason.close_code == 1012
        told.on["feedback.create"] = acknowledge
        assert await client.flush(WAIT_S) == 0
    sent = told.events("feedback.create")
    assert len(sent) >= 2
    assert {each["event_id"] for each in sent} == {queued.event_id}


async def test_a_store_that_is_away_makes_feedback_wait(told, outbox):
    told.on["feedback.create"] = refuse_with("store_unavailable", retryable=True, retry_after_ms=20)
    async with manicule.connect(told.url, outbox=outbox, ack_wait_s=WAIT_S) as client:
        queued = await client.accept("resp_0")
        assert (queued.reason.code, client.pending) == ("store_unavailable", 1)
        more = await asyncio.gather(*(client.accept(f"resp_{n}") for n in range(1, 40)))
        assert all(isinstance(each, manicule.Queued) for each in more)
        told.on["feedback.create"] = acknowledge
        before = len(told.received)
        assert await client.flush(WAIT_S) == 0
        assert isinstance(await client.accept("resp_40"), FeedbackAcknowledged)
    sent = [event["response_id"] for _, event in told.received[before:]]
    assert [one for n, one in enumerate(sent) if one not in sent[:n]] == sorted(
        set(sent), key=lambda name: int(name[5:])
    )


async def test_what_is_refused_for_good_is_told_and_forgotten(told, outbox):
    told.on["feedback.create"] = refuse_with("response_not_found", retryable=False)
    reported = []
    async with manicule.connect(
        told.url, outbox=outbox, on_refused=lambda *told: reported.append(told)
    ) as client:
        with pytest.raises(manicule.Error) as caught:
            await client.accept("resp_1")
        assert (caught.value.code, client.pending) == ("response_not_found", 0)
    assert reported == []


async def test_what_is_refused_when_nobody_waits_is_reported(told, outbox, free_port, sleeps):
    reported = []
    told.on["feedback.create"] = be_silent
    async with manicule.connect(
        told.url, outbox=outbox, ack_wait_s=0.01, on_refused=lambda *one: reported.append(one)
    ) as client:
        queued = await client.accept("resp_1")
        refuse = refuse_with("conflict", retryable=False)
        await refuse(told, told.connections[0], told.events("feedback.create")[0])
        assert await client.flush(WAIT_S) == 0
        await until(lambda: reported)
    [(event_id, error)] = reported
    assert (event_id, error.code) == (queued.event_id, "conflict")


async def test_duplicate_and_strange_acknowledgements_change_nothing(told, outbox):
    async def twice(told, socket, event):
        await told.send(socket, {"type": "feedback.acknowledged", "event_id": 3})
        await told.send(socket, {"type": "feedback.acknowledged", "event_id": event["event_id"]})
        for duplicate in (False, True, True):
            ack = {"type": "feedback.acknowledged", "event_id": event["event_id"]}
            await told.send(socket, ack | {"level": "logged", "duplicate": duplicate})
        await told.send(
            socket,
            {
                "type": "feedback.acknowledged",
                "event_id": "x",
                "level": "logged",
                "duplicate": False,
            },
        )
        facts = {"code": "internal_error", "message": "", "retryable": True, "event_id": "y"}
        await told.send(socket, {"type": "error", "error": facts})

    told.on["feedback.create"] = twice
    async with manicule.connect(told.url, outbox=outbox) as client:
        for _ in range(3):
            done = await client.accept("resp_1")
            assert (done.level, done.duplicate) == ("logged", False)
        assert client.pending == 0
    assert len(told.events("feedback.create")) == 3


async def test_one_that_is_too_large_for_the_server_does_not_block_the_next(told, outbox):
    told.limits = type(told.limits)(
        max_frame_bytes=1000, max_input_chars=9, max_concurrent_responses=1, requests_per_minute=1
    )
    async with manicule.connect(told.url, outbox=outbox) as client:
        with pytest.raises(manicule.Error) as caught:
            await client.accept("resp_1", comment="x" * 1000)
        assert caught.value.code == "payload_too_large"
        assert isinstance(await client.accept("resp_2"), FeedbackAcknowledged)
        assert client.pending == 0
    assert len(told.connections) == 1


async def test_a_full_outbox_takes_no_more_and_loses_nothing(told):
    told.on["feedback.create"] = be_silent
    box = manicule.MemoryOutbox(max_bytes=1000)
    async with manicule.connect(told.url, outbox=box, ack_wait_s=0.01) as client:
        for _ in range(3):
            assert isinstance(await client.accept("resp_1"), manicule.Queued)
        with pytest.raises(manicule.OutboxFullError):
            await client.accept("resp_1", comment="x" * 1000)
        assert client.pending == 3


async def test_leaving_waits_for_what_is_under_way(told):
    async def late(told, socket, event):
        async def answer():
            await asyncio.sleep(0.05)
            await acknowledge(told, socket, event)

        tasks.append(asyncio.create_task(answer()))

    tasks = []
    told.on["feedback.create"] = late
    box = manicule.MemoryOutbox()
    async with manicule.connect(told.url, outbox=box, ack_wait_s=0.001) as client:
        assert isinstance(await client.accept("resp_1"), manicule.Queued)
    assert box.count == 0
