"""The counting of frames where a real socket cannot be made to do it: cuts, and bad timing."""

import asyncio
import logging

import pytest
import uvicorn
from noted_transport import NotedTransport
from uvicorn.server import ServerState

from server.floods import SLICE_BYTES, counting_protocol

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING = b"\x89\x80\0\0\0\0"
CLOSE_4429 = b"\x88\x11\x11\x4dtoo many frames"


class Wire(NotedTransport):
    """Loses the connection when aborted."""

    def __init__(self, protocol):
        super().__init__()
        self.protocol = protocol

    def abort(self):
        if not self.ended:
            super().abort()
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


class Application:
    """Accepts, then reads to the end."""

    def __init__(self):
        self.may_accept = asyncio.Event()
        self.accepted = asyncio.Event()
        self.received = []
        self.done = asyncio.Event()

    async def __call__(self, scope, receive, send):
        try:
            await self.may_accept.wait()
            while True:
                message = await receive()
                self.received.append(message)
                if message["type"] == "websocket.connect":
                    await send({"type": "websocket.accept"})
                    self.accepted.set()
                if message["type"] == "websocket.disconnect":
                    return
        finally:
            self.done.set()


@pytest.fixture
async def opened():
    application = Application()
    config = uvicorn.Config(application, ws_ping_interval=None, lifespan="off", log_config=None)
    config.load()
    protocol = counting_protocol(50)(config, ServerState(), {}, asyncio.get_running_loop())
    wire = Wire(protocol)
    protocol.connection_made(wire)
    yield application, protocol, wire
    wire.abort()


async def open_socket(application, protocol):
    application.may_accept.set()
    protocol.data_received(HANDSHAKE)
    async with asyncio.timeout(20):
        await application.accepted.wait()


async def end(application):
    async with asyncio.timeout(20):
        await application.done.wait()


@pytest.mark.parametrize("cut", [1, 5, 6, 7, 100, SLICE_BYTES, 10**6])
async def test_f70_frames_are_counted_however_they_are_cut(opened, cut):
    application, protocol, wire = opened
    await open_socket(application, protocol)
    flood = PING * 500
    for start in range(0, len(flood), cut):
        protocol.data_received(flood[start : start + cut])
    assert wire.written.count(CLOSE_4429) == 1
    assert wire.paused
    await end(application)
    assert application.received[-1] == {"type": "websocket.disconnect", "code": 4429}


async def test_f70_who_does_not_wait_for_the_handshake_is_cut_off(opened, caplog):
    application, protocol, wire = opened
    with caplog.at_level(logging.WARNING):
        protocol.data_received(HANDSHAKE)
        protocol.data_received(PING * 100)
        assert wire.ended
        assert wire.written == b""
        application.may_accept.set()
        await end(application)
    assert caplog.records == []


async def test_f70_messages_under_way_are_dropped_with_the_flood(opened):
    application, protocol, _wire = opened
    await open_socket(application, protocol)
    protocol.data_received(b"\x81\x81\0\0\0\0x" * 200)
    await end(application)
    kinds = [message["type"] for message in application.received]
    assert kinds == ["websocket.connect", "websocket.disconnect"]


async def test_f70_a_flood_in_one_piece_with_the_handshake_never_meets_the_application(opened):
    application, protocol, wire = opened
    protocol.data_received(HANDSHAKE + PING * 100)
    assert wire.ended
    assert not protocol.tasks
    assert application.received == []
