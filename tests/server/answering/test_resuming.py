"""Answers that are kept, found again, and forgotten."""

import asyncio

import pytest
from rig import KEY, Listener, Rig, Told

from protocol.errors import EventError
from protocol.positions import BEFORE_ALL, Position
from protocol.receipts import verify
from server.answering.follower import UNREAD_S
from server.answering.presence import LEASE_S
from server.answering.resuming import CATCH_UP_S
from server.answering.topics import NOBODY, Asker

ANNA = Asker("anna", "acme")


async def refusal(rig, response_id, asker, position=BEFORE_ALL):
    with pytest.raises(EventError) as caught:
        await rig.resuming.open(response_id, position, asker)
    return caught.value


def test_who_waits_for_a_log_sees_its_writer_die():
    assert LEASE_S < CATCH_UP_S < UNREAD_S


async def test_an_answer_is_its_askers_alone():
    async with Rig() as rig:
        listener = await rig.ask(asker=ANNA)
        id_ = listener.answer.topic.response_id
        found = await rig.resuming.open(id_, BEFORE_ALL, ANNA)
        assert found.told.recovered
        assert found.told.status == "completed"
        for other in (NOBODY, Asker("bert", "acme"), Asker("anna", "other")):
            error = await refusal(rig, id_, other)
            nothing = await refusal(rig, "resp_nope", other)
            assert (error.code, error.message) == (nothing.code, nothing.message)
        assert rig.moved("resumes_total", "not_found") == 6


async def test_f30_when_the_events_are_gone_the_final_answer_comes_from_the_store():
    async with Rig() as rig:
        listener = await rig.ask(asker=ANNA)
        rig.topics.drop(listener.answer.topic)
        await rig.writer.aclose()  # all that waits is stored
        found = await rig.resuming.open(listener.final.id, Position(1, 3), ANNA)
        assert found.topic is None
        assert not found.told.recovered
        told, final = found.told.response, listener.final
        assert (told.output_text, told.items) == (final.output_text, final.items)
        assert (told.status, told.prompt, told.model) == (final.status, final.prompt, final.model)
        assert verify(told.receipt, [KEY]).manual_sha256 is not None
        assert (await refusal(rig, final.id, NOBODY)).code == "response_not_found"


async def test_ended_answers_are_forgotten_by_age_and_by_size():
    async with Rig(Told("word " * 1000)) as rig:
        now = 0.0
        rig.topics._clock = lambda: now
        first = await rig.ask("How do I change the battery?")
        size = first.answer.topic.size
        rig.topics._max_bytes = 3 * size
        id_ = first.answer.topic.response_id
        for number in range(2):
            await rig.ask(f"How do I change battery {number}?")
        assert rig.topics.get(id_) is not None
        await rig.ask("And the lid?")
        assert rig.topics.get(id_) is None
        last = await rig.ask("And the pads?")
        now = 601.0
        assert rig.topics.get(last.answer.topic.response_id) is None


async def test_a_reader_without_room_is_given_the_rest_when_it_has_some():
    async with Rig(Told(*["word "] * 50)) as rig:
        listener = Listener()
        listener.has_room = False
        answer = rig.start().answer
        listener.listen(answer.topic)
        await answer.done.wait()
        assert listener.frames == []
        listener.has_room = True
        listener.reader.pump()
        assert listener.frames == answer.topic.frames
        assert not listener.reader.is_open


async def test_cancel_finds_running_answers_of_the_asker_only():
    async with Rig(Told("a", asyncio.Event())) as rig:
        listener = rig.start(asker=ANNA)
        id_ = listener.answer.topic.response_id
        with pytest.raises(EventError, match="No running answer"):
            await rig.resuming.cancel(id_, NOBODY)
        await rig.resuming.cancel(id_, ANNA)
        await listener.end()
        assert listener.final.status == "cancelled"
        with pytest.raises(EventError, match="No running answer"):
            await rig.resuming.cancel(id_, ANNA)
