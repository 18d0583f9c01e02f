"""Nodes that share a log: follow, take over, fence, hand over, cancel."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from rig import Listener, Rig, Told, until

from protocol.errors import EventError
from protocol.positions import BEFORE_ALL, Position
from server.answering import follower, log_writer, resuming
from server.answering.topics import NOBODY, Asker, reset_frame
from server.storage.fleet import MemoryFleet
from server.storage.response_log import Entry, MemoryResponseLog

DELTA = "response.output_text.delta"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(follower, "SILENT_S", 0.05)
    monkeypatch.setattr(follower, "POLL_S", 0.005)
    monkeypatch.setattr(log_writer, "CALM_S", 0.0)
    monkeypatch.setattr(resuming, "CATCH_UP_S", 0.5)


class Shared:
    """What the nodes of a test share."""

    def __init__(self):
        self.log = MemoryResponseLog()
        self.fleet = MemoryFleet()

    @asynccontextmanager
    async def node(self, name, *models, **options):
        async with Rig(*models, log=(self.log, self.fleet), name=name, **options) as rig:
            yield rig


async def resume(rig, response_id, after=BEFORE_ALL):
    found = await rig.resuming.open(response_id, after, NOBODY)
    listener = Listener()
    listener.listen(found.topic, after)
    return found, listener


def check_epochs(frames):
    """Numbers without gaps in each epoch, a reset at the end of all but the last, one end."""
    epochs = {}
    for frame in frames:
        epochs.setdefault(frame.position.epoch, []).append(frame)
    assert [one.position for one in frames] == sorted(one.position for one in frames)
    for epoch, members in epochs.items():
        numbers = [one.position.number for one in members]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert (members[-1].kind == "response.reset") is (epoch < max(epochs))
    assert [one.ends for one in frames].count(True) == 1
    assert frames[-1].ends


async def test_f23_an_answer_is_read_on_another_node_from_every_position():
    shared = Shared()
    async with shared.node("a") as one, shared.node("b") as two:
        whole = (await one.ask()).frames
        id_ = whole[0].response_id
        await until(lambda: len(shared.log.streams[id_]) == len(whole))
        for place, frame in enumerate(whole):
            found, listener = await resume(two, id_, frame.position)
            assert found.told.recovered
            assert listener.frames == whole[place + 1 :]
        assert two.moved("resumes_total", "log") >= 1
        assert len(one.models) == 1


async def test_f23_a_running_answer_is_followed_to_its_end():
    gate = asyncio.Event()
    model = Told("one ", gate, "two")
    shared = Shared()
    async with shared.node("a", model) as one, shared.node("b", Told("never")) as two:
        listener = one.start()
        await listener.until(DELTA)
        _, other = await resume(two, listener.answer.topic.response_id)
        gate.set()
        await listener.end()
        await until(lambda: other.frames and other.frames[-1].ends)
        assert other.frames == listener.frames
        assert two.models[0].requests == []
        await until(lambda: not two.sharing._follower._followed)


async def test_f26_a_dead_writers_answer_is_begun_anew_by_another():
    shared = Shared()
    async with (
        shared.node("b", Told("Whole answer.")) as two,
        shared.node("a", Told("Half ", asyncio.Event())) as one,
    ):
        listener = one.start()
        await listener.until(DELTA)
        _, other = await resume(two, listener.answer.topic.response_id)
        die(one)
        shared.fleet._until.clear()
        await until(lambda: other.frames and other.frames[-1].ends)
        check_epochs(other.frames)
        final = other.events[-1].response
        assert (final.status, final.output_text) == ("completed", "Whole answer.")
        assert other.frames[-1].position.epoch == 2
        assert two.moved("response_log_events_total", "taken_over") == 1


def die(rig):
    """Stop everything of a node that would speak, as a crash does."""
    for task in (rig.sharing.writer._task, *rig.sharing._presence._tasks):
        task.cancel()
    for answer in rig.answering.running.values():
        answer._task.cancel()
        answer._ending_when_stopped = None
    rig.sharing._follower._task.cancel()


async def test_f27_of_two_writers_one_is_fenced_and_its_readers_follow_the_other():
    gate = asyncio.Event()
    shared = Shared()
    async with (
        shared.node("a", Told("Half ", gate, "of the old")) as one,
        shared.node("b", Told("Whole answer.")) as two,
    ):
        listener = one.start()
        await listener.until(DELTA)
        id_ = listener.answer.topic.response_id
        await until(lambda: kind_of_last(shared, id_) == DELTA)
        one.sharing._presence._tasks[0].cancel()  # it lives, and cannot say so
        shared.fleet._until.clear()
        await shared.fleet.attend("b", ttl_s=60)
        _, other = await resume(two, id_)
        await until(lambda: other.frames and other.frames[-1].ends)
        gate.set()  # the old writer goes on, and is refused
        await until(lambda: listener.frames[-1].ends)
        check_epochs(listener.frames)
        check_epochs(other.frames)
        assert listener.frames == other.frames
        assert one.moved("response_log_events_total", "fenced") == 1
        assert listener.events[-1].response.output_text == "Whole answer."


def kind_of_last(shared, id_):
    import json

    return json.loads(shared.log.streams[id_][-1].frame)["type"]


async def test_f31_when_the_log_fails_the_answer_goes_on_and_the_log_is_filled_up_later():
    gate = asyncio.Event()
    shared = Shared()
    async with shared.node("a", Told("one ", gate, "two")) as one, shared.node("b") as two:
        listener = one.start()
        await listener.until(DELTA)
        shared.log.failing = "away"
        assert one.answering.is_resumable
        gate.set()
        await listener.end()
        assert listener.final.output_text == "one two"
        assert not one.answering.is_resumable
        shared.log.failing = None
        id_ = listener.answer.topic.response_id
        await until(lambda: shared.log.streams[id_][-1].ends)
        _, other = await resume(two, id_)
        assert other.frames == listener.frames
        assert one.moved("response_log_events_total", "recovered") == 1


async def test_f33_an_append_whose_reply_was_lost_is_repeated_without_a_trace():
    class Forgetful(MemoryResponseLog):
        lost = 0

        async def append(self, entries):
            results = await super().append(entries)
            if self.lost < 3:
                self.lost += 1
                raise log_writer.LogError("the reply was lost")
            return results

    shared = Shared()
    shared.log = Forgetful()
    async with shared.node("a") as one:
        listener = await one.ask()
        id_ = listener.answer.topic.response_id
        await until(lambda: shared.log.streams[id_][-1].ends)
        assert [e.frame for e in shared.log.streams[id_]] == [f.text for f in listener.frames]
        assert one.moved("response_log_events_total", "fenced") == 0


async def test_f35_a_cancel_on_another_node_reaches_the_model():
    model = Told("a", asyncio.Event())
    shared = Shared()
    async with shared.node("a", model) as one, shared.node("b") as two:
        listener = one.start()
        await listener.until(DELTA)
        await two.resuming.cancel(listener.answer.topic.response_id, NOBODY)
        await listener.end()
        assert listener.final.status == "cancelled"
        await model.closed.wait()


async def test_f35_what_is_read_elsewhere_goes_on():
    gate = asyncio.Event()
    shared = Shared()
    async with (
        shared.node("a", Told("a", gate, "b"), grace_s=0.1) as one,
        shared.node("b") as two,
    ):
        listener = one.start()
        await listener.until(DELTA)
        id_ = listener.answer.topic.response_id
        _, other = await resume(two, id_)
        listener.reader.close()
        await until(lambda: shared.fleet._read_until)
        asked = []
        is_read = shared.fleet.is_read

        async def spy(response_id):
            asked.append(response_id)
            return await is_read(response_id)

        one.answering._attendance._is_read_elsewhere = spy
        await until(lambda: asked)
        gate.set()
        await until(lambda: other.frames[-1].ends)
        assert other.frames[-1].kind == "response.completed"


async def test_f35_what_was_looked_at_and_is_not_read_keeps_nothing_alive(monkeypatch):
    monkeypatch.setattr(follower, "UNREAD_S", 0.02)
    shared = Shared()
    async with (
        shared.node("a", Told("a", asyncio.Event())) as one,
        shared.node("b") as two,
    ):
        listener = one.start(asker=Asker("anna", ""))
        await listener.until(DELTA)
        id_ = listener.answer.topic.response_id
        with pytest.raises(EventError):
            await two.resuming.open(id_, BEFORE_ALL, NOBODY)
        await until(lambda: not two.sharing._follower._followed)
        assert two.topics.get(id_) is None
        assert not await shared.fleet.is_read(id_)


async def test_f77_what_a_leaving_node_cannot_finish_is_handed_over_at_once():
    shared = Shared()
    async with (
        shared.node("a", Told("Half ", asyncio.Event())) as one,
        shared.node("b", Told("Whole.")) as two,
    ):
        listener = one.start()
        await listener.until(DELTA)
        await one.node.drain(0.01)
        assert not one.answering.running
        found, other = await resume(
            two, listener.answer.topic.response_id, listener.frames[-1].position
        )
        assert found.told.recovered
        await until(lambda: other.frames and other.frames[-1].ends)
        check_epochs([*listener.frames, *other.frames])
        assert other.events[-1].response.output_text == "Whole."


async def test_f27_what_only_the_dead_node_had_sent_is_reset_for_who_saw_it():
    """The writer was cut off from the log, sent on, and died: its reader is ahead of the log."""
    gate = asyncio.Event()
    shared = Shared()
    async with (
        shared.node("a", Told("one ", gate, "two ", asyncio.Event())) as one,
        shared.node("b", Told("Whole.")) as two,
    ):
        listener = one.start()
        await listener.until(DELTA)
        id_ = listener.answer.topic.response_id
        await until(lambda: kind_of_last(shared, id_) == DELTA)
        shared.log.failing = "away"
        gate.set()
        await until(lambda: len(listener.frames) > len(shared.log.streams[id_]))
        seen = listener.frames[-1].position
        die(one)
        shared.log.failing = None
        shared.fleet._until.clear()
        found, other = await resume(two, id_, seen)
        assert found.told.recovered
        await until(lambda: other.frames and other.frames[-1].ends)
        check_epochs([*listener.frames, *other.frames])
        assert other.frames[0].kind == "response.reset"


async def test_f32_a_reader_ahead_of_a_slow_log_is_waited_for():
    gate = asyncio.Event()
    shared = Shared()
    async with shared.node("a", Told("one ", gate, "two")) as one, shared.node("b") as two:
        listener = one.start()
        await listener.until(DELTA)
        id_ = listener.answer.topic.response_id
        await until(lambda: kind_of_last(shared, id_) == DELTA)
        shared.log.failing = "slow"
        gate.set()
        await listener.end()
        seen = listener.frames[-2].position
        shared.log.failing = None
        found, other = await resume(two, id_, seen)
        assert found.told.recovered
        await until(lambda: other.frames)
        assert other.frames == listener.frames[-1:]


async def test_f29_a_position_past_a_living_writers_is_refused():
    shared = Shared()
    async with shared.node("a", Told("a", asyncio.Event())) as one, shared.node("b") as two:
        listener = one.start()
        await listener.until(DELTA)
        id_ = listener.answer.topic.response_id
        for position in (Position(1, 50), Position(1, 5000), Position(2, 0)):
            with pytest.raises(EventError) as caught:
                await two.resuming.open(id_, position, NOBODY)
        assert (caught.value.code, caught.value.param) == ("invalid_event", "starting_after")


async def test_an_answer_that_keeps_losing_its_writers_ends():
    shared = Shared()
    async with shared.node("a", Told("a")) as one:
        listener = await one.ask()
        id_ = listener.answer.topic.response_id
        await until(lambda: shared.log.streams[id_][-1].ends)
        stream = shared.log.streams[id_]
        del stream[1:]
        for epoch in range(1, 9):
            frame = reset_frame(id_, Position(epoch, 1 if epoch == 1 else 0), "died")
            stream.append(Entry(frame.position, frame.text, writer="dead"))
    async with shared.node("b", Told("never")) as two:
        _, other = await resume(two, id_)
        await until(lambda: other.frames[-1].ends)
        assert other.frames[-1].kind == "response.failed"
        assert two.models[0].requests == []
