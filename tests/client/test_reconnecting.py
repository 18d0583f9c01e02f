"""One connection after another: losses, refusals, a server that goes away, tokens."""

import asyncio

import pytest
from told_server import Answering, acknowledge, be_silent, refuse_with, told_server, until
from websockets.asyncio.server import serve

import manicule
from manicule.backoff import REFUSED_S


def go_away(left_ms=5000):
    """A greeting of the first connection only: the server is about to stop."""

    async def greet(told, socket, event):
        if event["number"] == 1:
            notice = {"type": "session.go_away", "reason": "restart", "time_left_ms": left_ms}
            await told.send(socket, notice)

    return greet


async def test_searches_and_questions_wait_for_the_next_connection(told, sleeps):
    async with manicule.connect(told.url, environment=sleeps.environment) as client:
        await told.connections[0].close(1001, "bye")
        await until(lambda: not client.is_connected or len(told.connections) == 2)
        assert await client.search("td") == []
        assert client.session["id"] == "sess_2"


async def test_attempts_come_later_and_later(told, sleeps):
    async with manicule.connect(told.url, environment=sleeps.environment) as client:
        told.refuse_with = 503
        await told.connections[0].close(1001, "bye")
        await until(lambda: len(sleeps.asked) >= 10)
        told.refuse_with = None
        await until(lambda: client.is_connected)
    assert sleeps.asked[:9] == [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


async def test_after_a_refusal_the_next_attempt_is_late_and_waiting_ends(told, sleeps):
    asleep = asyncio.Event()

    async def sleep(seconds):
        sleeps.asked.append(seconds)
        await asleep.wait()

    environment = manicule.Environment(dice=lambda: 0.5, sleep=sleep)
    async with manicule.connect(told.url, environment=environment, wait_s=0.05) as client:
        await told.connections[0].close(4403, "not you")
        await until(lambda: sleeps.asked)
        assert sleeps.asked[0] >= REFUSED_S
        with pytest.raises(manicule.ConnectionLostError, match="4403: not you"):
            await client.search("td")
        assert isinstance(await client.accept("resp_1"), manicule.Queued)
        assert len(told.connections) == 1
        asleep.set()
        await until(lambda: client.pending == 0)


async def test_go_away_is_honoured(told, sleeps):
    """What runs goes on where it runs; what is new goes elsewhere; then the old socket closes."""
    gate = asyncio.Event()
    told.greet = go_away()

    async def answer(told, socket, event):
        answering = Answering(f"resp_{len(told.events('response.create'))}")
        await told.send(socket, answering.created(event["event_id"]))
        await gate.wait()
        await told.send(socket, answering.completed("done"))

    async def begin_then_go(told, socket, event):
        notice = {"type": "session.go_away", "reason": "restart", "time_left_ms": 4000}
        tasks.append(asyncio.create_task(answer(told, socket, event)))
        if len(told.connections) == 1:
            await told.send(socket, notice)

    tasks = []
    told.greet = None
    told.on["response.create"] = begin_then_go
    async with manicule.connect(told.url, environment=sleeps.environment) as client:
        first = client.ask("one", product_id="td-17")
        await until(lambda: len(told.connections) == 2)
        second = client.ask("two", product_id="td-17")
        await until(lambda: len(told.events("response.create", 2)) == 1)
        assert [event["input"] for event in told.events("response.create", 1)] == ["one"]
        assert told.connections[0].close_code is None
        gate.set()
        for running in (first, second):
            assert [event async for event in running][-1].response.output_text == "done"
        await told.connections[0].wait_closed()
        assert client.session["id"] == "sess_2"
        assert await client.search("td") == []
    assert sleeps.asked[0] == 0.125 + 0.5  # a lost connection's wait, and half of a second


async def test_a_server_that_always_goes_away_is_not_hammered(told, sleeps):
    async def greet(told, socket, event):
        await told.send(socket, {"type": "session.go_away", "reason": "restart", "time_left_ms": 0})

    told.greet = greet
    async with manicule.connect(told.url, environment=sleeps.environment):
        await until(lambda: len(sleeps.asked) >= 6)
    assert sleeps.asked[:6] == [0.125, 0.25, 0.5, 1.0, 2.0, 4.0]


async def test_offline_at_first(sleeps, free_port):
    url = f"ws://127.0.0.1:{free_port}/ws"
    with pytest.raises(manicule.CannotConnectError, match="manicule serve"):
        async with manicule.connect(url):
            pass
    async with manicule.connect(url, offline=True) as client:
        assert (client.is_connected, client.session) == (False, {})
        queued = await client.accept("resp_1")
        assert isinstance(queued, manicule.Queued)
        assert isinstance(queued.reason, manicule.CannotConnectError)
        async with told_server(free_port) as told:
            assert await client.flush(20) == 0
            assert client.is_connected
            assert [e["event_id"] for e in told.events("feedback.create")] == [queued.event_id]


async def test_what_is_no_protocol_ends_the_connection(told, sleeps):
    async def garble(told, socket, event):
        await socket.send("[1, 2]")

    told.on["response.create"] = garble
    async with manicule.connect(told.url, environment=sleeps.environment) as client:
        with pytest.raises(manicule.ConnectionLostError, match="no event"):
            _ = [event async for event in client.ask("q", product_id="td-17")]
        assert await client.search("td") == []


async def test_a_server_that_is_silent_is_told(monkeypatch):
    monkeypatch.setattr("manicule.connection.GREETING_S", 0.01)

    async def say_nothing(socket):
        await socket.wait_closed()

    async with serve(say_nothing, "127.0.0.1", 0, subprotocols=["manicule.v1"]) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(manicule.CannotConnectError, match="silent"):
            async with manicule.connect(f"ws://127.0.0.1:{port}"):
                pass


# Tokens


async def take_token(told, socket, event):
    """What a server with keys does."""
    if event.get("token", "good").startswith("good"):
        session = {"type": "session.updated", "session": {}, "event_id": event["event_id"]}
        await told.send(socket, session)
        return
    await refuse_with("unauthorized", retryable=False)(told, socket, event)
    await socket.close(4401, "bad token")


async def test_each_connection_begins_with_a_fresh_token(told, sleeps):
    made = []

    async def fresh():
        made.append(f"good {len(made)}")
        return made[-1]

    told.on["session.update"] = take_token
    async with manicule.connect(
        told.url, token=fresh, user_id="ann", environment=sleeps.environment
    ) as client:
        await told.connections[0].close(1012, "restart")
        await until(lambda: len(told.connections) == 2)
        assert await client.search("td") == []
    updates = told.events("session.update")
    assert [each["token"] for each in updates] == ["good 0", "good 1"]
    assert {each["user_id"] for each in updates} == {"ann"}
    assert told.received[0][1]["type"] == "session.update"


async def test_a_bad_token_is_told_at_once(told):
    told.on["session.update"] = take_token
    with pytest.raises(manicule.Error) as caught:
        async with manicule.connect(told.url, token="bad"):
            pass
    assert caught.value.code == "unauthorized"


async def test_feedback_that_needs_a_token_waits_for_one(told, sleeps):
    told.on["feedback.create"] = refuse_with("unauthorized", retryable=False)
    async with manicule.connect(told.url, environment=sleeps.environment) as client:
        queued = await client.accept("resp_1")
        assert isinstance(queued, manicule.Queued)
        assert queued.reason.code == "unauthorized"
        assert isinstance(await client.accept("resp_2"), manicule.Queued)
        assert len(told.events("feedback.create")) == 1
        told.on["feedback.create"] = acknowledge
        await told.connections[0].close(4401, "expired")
        assert await client.flush(20) == 0
    sent = [event["response_id"] for event in told.events("feedback.create")]
    assert sent == ["resp_1", "resp_1", "resp_2"]


async def test_a_search_without_an_answer_ends_with_the_client(told):
    told.on["catalog.search"] = be_silent
    async with manicule.connect(told.url) as client:
        searching = asyncio.create_task(client.search("td"))
        await until(lambda: told.events("catalog.search"))
    with pytest.raises(manicule.ConnectionLostError):
        await searching
