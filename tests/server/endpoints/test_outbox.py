"""What waits to be sent: in order, bounded, and never waiting for ever."""

import asyncio

import pytest
from rig import until

from protocol.errors import CloseCode
from server.endpoints.outbox import BURST_FACTOR, SLOW, Closing, Outbox


class Wire:
    """Takes frames while its gate is open."""

    def __init__(self):
        self.sent = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, frame):
        await self.gate.wait()
        self.sent.append(frame)


def outbox_on(wire, *, buffer_bytes=100, slow_s=60.0):
    return Outbox(wire.send, buffer_bytes=buffer_bytes, slow_s=slow_s)


async def finished(outbox):
    async with asyncio.timeout(20):
        return await outbox.run()


async def test_frames_go_in_order_and_closing_comes_after_them():
    wire = Wire()
    outbox = outbox_on(wire)
    for number in range(5):
        outbox.put(str(number))
    outbox.close(CloseCode.GOING_AWAY, "bye")
    outbox.put("too late")
    assert outbox.is_closing
    assert await finished(outbox) == Closing(CloseCode.GOING_AWAY, "bye")
    assert wire.sent == ["0", "1", "2", "3", "4"]


async def test_the_first_closing_counts():
    outbox = outbox_on(Wire())
    outbox.close(CloseCode.TOO_MANY_ERRORS, "first")
    outbox.close(CloseCode.GOING_AWAY, "second")
    assert (await finished(outbox)).reason == "first"


async def test_frames_put_while_it_runs_wake_it():
    wire = Wire()
    outbox = outbox_on(wire)
    running = asyncio.create_task(finished(outbox))
    for number in range(3):
        outbox.put(str(number))
        await until(lambda want=number + 1: len(wire.sent) == want)
    outbox.close(CloseCode.GOING_AWAY, "bye")
    await running


async def test_a_socket_that_takes_nothing_is_slow():
    wire = Wire()
    wire.gate.clear()
    outbox = outbox_on(wire, slow_s=0.01)
    outbox.put("frame")
    assert await finished(outbox) is SLOW
    assert wire.sent == []


async def test_a_socket_that_falls_far_behind_is_slow_and_holds_nothing_more():
    wire = Wire()
    wire.gate.clear()
    outbox = outbox_on(wire, buffer_bytes=10)
    running = asyncio.create_task(finished(outbox))
    await asyncio.sleep(0)
    for _ in range(10 * BURST_FACTOR + 2):
        outbox.put("x")
    assert outbox.is_closing
    wire.gate.set()
    assert await running is SLOW
    assert len(wire.sent) <= 1


async def test_f63_what_cannot_wait_closes_a_blocked_socket_at_its_buffer(monkeypatch):
    monkeypatch.setattr("server.endpoints.outbox.BLOCKED_S", -1)
    wire = Wire()
    wire.gate.clear()
    outbox = outbox_on(wire, buffer_bytes=10)
    running = asyncio.create_task(finished(outbox))
    await asyncio.sleep(0)
    outbox.put("first")
    await asyncio.sleep(0)
    outbox.put("x" * 50)  # as large as an answer's last event may be
    assert not outbox.is_closing
    outbox.put("x")
    assert outbox.is_closing
    wire.gate.set()
    assert await running is SLOW


async def test_f63_what_can_wait_is_told_when_the_buffer_is_full_and_when_there_is_room_again():
    wire = Wire()
    told = []
    outbox = Outbox(
        wire.send,
        buffer_bytes=100,
        slow_s=60,
        on_full=lambda: told.append("full"),
        on_room=lambda: told.append("room"),
    )
    outbox.put("x" * 49)
    assert told == []
    outbox.put("x")
    outbox.put("x")
    assert told == ["full"]
    running = asyncio.create_task(finished(outbox))
    await until(lambda: len(told) == 2)
    outbox.close(CloseCode.GOING_AWAY, "bye")
    await running
    assert told == ["full", "room"]


async def test_what_the_socket_raises_is_raised():
    async def lost(frame):
        raise ConnectionError

    outbox = Outbox(lost, buffer_bytes=100, slow_s=60)
    outbox.put("frame")
    with pytest.raises(ConnectionError):
        await finished(outbox)


async def test_a_frame_is_written_at_once_when_nothing_waits_and_the_socket_takes_it():
    wire = Wire()
    written, takes = [], [True, False, True]

    def write(frame):
        taken = takes.pop(0)
        written.extend([frame] * taken)
        return taken

    outbox = Outbox(wire.send, buffer_bytes=100, slow_s=60, write=write)
    for frame in ("one", "two", "three"):
        outbox.put(frame)
    assert written == [b"one"]
    assert takes == [True]  # nothing overtakes what waits
    running = asyncio.create_task(finished(outbox))
    await until(lambda: wire.sent == ["two", "three"])
    outbox.put("four")
    assert written == [b"one", b"four"]
    outbox.close(CloseCode.GOING_AWAY, "bye")
    await running
