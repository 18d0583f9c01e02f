"""Connections that come all at once: the first bytes of each wait for their turn."""

import asyncio

import pytest
import uvicorn
from noted_transport import NotedTransport
from rig import Rig, Told, serving, until
from uvicorn.server import ServerState
from wire import open_client

import server.serving as serving_module
from server.answering.turns import Turns
from server.deadlines import HttpProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def echo(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"read %d" % len(body)})


@pytest.fixture
def connect():
    turns, made = Turns(1), []
    config = uvicorn.Config(echo, lifespan="off", log_config=None)
    config.load()

    def connect():
        protocol = HttpProtocol(config, ServerState(), {}, asyncio.get_running_loop())
        protocol.turns = turns
        wire = NotedTransport()
        protocol.connection_made(wire)
        made.append((protocol, wire))
        return protocol, wire

    yield connect
    for protocol, wire in made:
        wire.ended = True
        protocol.connection_lost(None)


async def answered(*wires):
    await until(lambda: all(b"read" in wire.written for wire in wires))


async def test_one_alone_is_read_at_once(connect):
    protocol, wire = connect()
    protocol.data_received(REQUEST)
    assert not wire.paused
    assert protocol.cycle is not None
    await answered(wire)


async def test_the_others_are_not_read_until_their_turn(connect):
    pairs = [connect() for _ in range(4)]
    for protocol, _ in pairs:
        protocol.data_received(REQUEST)
    assert [wire.paused for _, wire in pairs] == [False, True, True, True]
    assert [protocol.cycle is None for protocol, _ in pairs] == [False, True, True, True]
    await answered(*(wire for _, wire in pairs))
    assert not any(wire.paused for _, wire in pairs)


@pytest.mark.parametrize("cut", range(1, len(REQUEST)))
async def test_what_comes_while_waiting_is_read_after_what_was_there(connect, cut):
    connect()[0].data_received(REQUEST)
    protocol, wire = connect()
    protocol.data_received(REQUEST[:cut])
    protocol.data_received(REQUEST[cut:])
    await answered(wire)
    assert wire.written.startswith(b"HTTP/1.1 200")


async def test_who_has_gone_meanwhile_is_not_read(connect):
    connect()[0].data_received(REQUEST)
    protocol, wire = connect()
    protocol.data_received(REQUEST)
    wire.ended = True
    other, other_wire = connect()
    other.data_received(REQUEST)
    await answered(other_wire)
    assert protocol.cycle is None
    assert wire.written == b""


async def test_a_head_that_is_too_large_is_refused_at_its_turn_too(connect):
    connect()[0].data_received(REQUEST)
    protocol, wire = connect()
    protocol.data_received(b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000)
    await until(lambda: bool(wire.written))
    assert b" 431 " in wire.written


async def test_a_hundred_sockets_at_once_are_all_answered(monkeypatch):
    given = []

    class Counted(Turns):
        def give(self, begin):
            given.append(begin)
            super().give(begin)

    monkeypatch.setattr(serving_module, "Turns", Counted)
    async with Rig(Told("Change it.")) as rig, serving(rig) as url:

        async def ask(number):
            async with open_client(url) as client:
                await client.ask(f"How do I change the battery {number}?", event_id="q")
                return await client.final("q")

        finals = await asyncio.gather(*(ask(number) for number in range(100)))
    assert {final["status"] for final in finals} == {"completed"}
    assert len(given) == 100
