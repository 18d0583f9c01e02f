"""The socket over real connections."""

import asyncio
import json

import pytest
from rig import BATTERY, MARKED, Rig, Told, serving, until
from websockets.exceptions import InvalidStatus
from wire import DELTA, open_client

from protocol.session import MAX_BAD_FRAMES
from server.answering.turns import Turns


class NotYet(Turns):
    """Nobody's turn, until it is everybody's."""

    def __init__(self):
        super().__init__()
        self.open = asyncio.Event()

    async def take(self):
        await self.open.wait()


async def test_the_session_is_told_first_then_pings_and_searches_are_answered():
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        session = client.seen[0]["session"]
        assert session["protocol"] == "manicule.v1"
        assert session["scenarios"][0] == "general"
        assert session["limits"]["max_frame_bytes"] == 65_536
        await client.send("ping", event_id="p")
        assert await client.next() == {"type": "pong", "event_id": "p"}
        await client.send("ping")
        assert await client.next() == {"type": "pong"}
        await client.send("catalog.search", query="td17", event_id="s")
        found = await client.next()
        assert found["event_id"] == "s"
        assert found["products"][0]["id"] == "td-17"
        assert found["products"][0]["manual"] == {"available": True, "cached": False}
        await client.send("session.update", language="fr", event_id="u")
        assert (await client.next())["type"] == "session.updated"


async def test_one_answer_over_the_socket():
    async with Rig(Told(MARKED)) as rig, serving(rig) as url, open_client(url) as client:
        await client.ask(event_id="q")
        final = await client.final("q")
        assert final["output_text"] == "Change it.   Done."
        assert [item["type"] for item in final["items"]] == ["citation", "pro_tip"]
        await client.send("catalog.search", query="td17")
        found = await client.until("catalog.results")
        assert found["products"][0]["manual"]["cached"] is True


async def test_a_question_waits_for_its_turn_and_other_sockets_do_not():
    async with Rig(Told(MARKED)) as rig, serving(rig) as url:
        rig.node.turns = turns = NotYet()
        async with open_client(url) as asking, open_client(url) as other:
            await asking.ask(event_id="q")
            await other.send("ping", event_id="p")
            await other.until("pong")
            assert not rig.node.answering.running
            turns.open.set()
            assert (await asking.final("q"))["status"] == "completed"


async def test_several_answers_at_once_with_searches_and_a_cancel_between():
    gate = asyncio.Event()
    model = Told("Half ", gate, "whole")
    async with Rig(model) as rig, serving(rig) as url, open_client(url) as client:
        for number in range(4):
            await client.ask(f"Question number {number} about the battery", event_id=f"q{number}")
        deltas = []
        while len(deltas) < 4:
            deltas.append(await client.until(lambda e: e["type"] == DELTA and e not in deltas))
        # All four stream; the socket still serves everything else.
        await client.send("catalog.search", query="pad", event_id="s")
        await client.until("catalog.results")
        await client.send("ping", event_id="p")
        await client.until("pong")
        cancelled = deltas[0]["response_id"]
        await client.send("response.cancel", response_id=cancelled)
        await client.until("response.cancelled")
        assert not gate.is_set()
        gate.set()
        answers = [await client.answer(f"q{number}") for number in range(4)]
        ends = {events[0]["response_id"]: events[-1]["type"] for events in answers}
        assert ends.pop(cancelled) == "response.cancelled"
        assert set(ends.values()) == {"response.completed"}


async def test_cancelling_twice_or_what_is_not_there_is_told():
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        await client.ask(event_id="q")
        events = await client.answer("q")
        id_ = events[0]["response_id"]
        for wanted in (id_, "resp_of_somebody_else"):
            await client.send("response.cancel", response_id=wanted, event_id="c")
            error = await client.error("c")
            assert error["code"] == "response_not_found"
            assert error["response_id"] == wanted


KEYS = ("user:acme:" + "a" * 20, "user:acme:" + "b" * 20)


def speak_as(key):
    return {"additional_headers": {"Authorization": f"Bearer {key.rpartition(':')[2]}"}}


async def test_s6_with_keys_only_the_asker_cancels_or_resumes():
    model = Told("a", asyncio.Event())
    async with (
        Rig(model, api_keys=KEYS) as rig,
        serving(rig) as url,
        open_client(url, **speak_as(KEYS[0])) as one,
        open_client(url, **speak_as(KEYS[1])) as other,
        open_client(url, **speak_as(KEYS[0])) as again,
    ):
        await one.ask(event_id="q")
        created = await one.until("response.created")
        id_ = created["response_id"]
        refusals = []
        for wanted in (id_, "resp_" + "0" * 32):
            await other.send("response.cancel", response_id=wanted, event_id="c")
            refusals.append(await other.error("c"))
            await other.send(
                "response.resume", response_id=wanted, epoch=1, starting_after=-1, event_id="r"
            )
            refusals.append(await other.error("r"))
        assert {error["code"] for error in refusals} == {"response_not_found"}
        messages = [error["message"] for error in refusals]
        assert messages[:2] == messages[2:]  # what is not yours does not exist
        assert not model.closed.is_set()
        await again.send("response.resume", response_id=id_, epoch=1, starting_after=-1)
        assert (await again.until("response.resumed"))["recovered"] is True
        await again.send("response.cancel", response_id=id_)
        assert (await again.until("response.cancelled"))["response_id"] == id_
        await model.closed.wait()


async def test_without_keys_to_know_the_id_is_the_right():
    model = Told("a", asyncio.Event())
    async with (
        Rig(model) as rig,
        serving(rig) as url,
        open_client(url) as one,
        open_client(url) as other,
    ):
        await one.ask(event_id="q")
        created = await one.until("response.created")
        await other.send("response.cancel", response_id=created["response_id"])
        assert (await one.final("q"))["status"] == "cancelled"


async def test_f23_an_answer_is_resumed_on_another_socket_at_every_event():
    async with Rig(Told(MARKED)) as rig, serving(rig) as url, open_client(url) as one:
        await one.ask(event_id="q")
        whole = await one.answer("q")
        assert whole[0]["response"]["resumable"] is True
        for place in range(-1, len(whole)):
            async with open_client(url) as other:
                id_ = whole[0]["response_id"]
                await other.send("response.resume", response_id=id_, epoch=1, starting_after=place)
                await other.until("response.resumed")
                if place < len(whole) - 1:
                    await other.until(whole[-1]["type"])
                _, resumed, *rest = other.seen
                assert resumed["recovered"] is True
                assert resumed["from_sequence_number"] == place + 1
                assert rest == whole[place + 1 :]


async def test_f28_two_resume_a_running_answer_and_the_slow_one_holds_up_nobody():
    gates = [asyncio.Event() for _ in range(3)]
    model = Told("one ", gates[0], "two ", gates[1], "three ", gates[2], "four")
    async with Rig(model) as rig, serving(rig) as url, open_client(url) as first:
        await first.ask(event_id="q")
        created = await first.until("response.created")
        async with open_client(url) as second, open_client(url) as third:
            for client in (second, third):
                await client.send(
                    "response.resume",
                    response_id=created["response_id"],
                    epoch=1,
                    starting_after=0,
                )
                await client.until("response.resumed")
            for gate in gates:
                gate.set()
            whole = await first.answer("q")
            for client in (second, third):
                await client.until("response.completed")
                assert [e for e in client.seen if "sequence_number" in e] == whole[1:]


async def test_f29_a_position_that_was_not_reached_is_refused():
    async with Rig(Told(MARKED)) as rig, serving(rig) as url, open_client(url) as client:
        await client.ask(event_id="q")
        id_ = (await client.answer("q"))[0]["response_id"]
        for epoch, number in ((1, 9999), (2, 0), (7, -1)):
            await client.send(
                "response.resume", response_id=id_, epoch=epoch, starting_after=number, event_id="r"
            )
            error = await client.error("r")
            assert (error["code"], error["param"]) == ("invalid_event", "starting_after")
            assert error["response_id"] == id_


REFUSED = [
    ({"product_id": "nope"}, "product_not_found", "product_id"),
    ({"scenario": "nope"}, "scenario_not_found", "scenario"),
    ({"task": "improve"}, "invalid_event", "task"),
    ({"task": "other"}, "invalid_event", "task"),
    ({"input": "x" * 4001}, "invalid_event", "input"),
    ({"input": "  "}, "invalid_event", "input"),
    ({"language": "!"}, "invalid_event", "language"),
]


async def test_refused_questions_name_the_request_and_the_field():
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        for number, (fields, code, param) in enumerate(REFUSED):
            sent = {"input": BATTERY, "product_id": "td-17", **fields}
            await client.send("response.create", event_id=f"q{number}", **sent)
            error = await client.error(f"q{number}")
            assert (error["code"], error["param"]) == (code, param)
        await client.send("ping")
        await client.until("pong")


async def test_what_this_server_does_not_keep_is_said():
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        await client.send(
            "response.resume", response_id="r", epoch=1, starting_after=-1, event_id="e"
        )
        assert (await client.error("e"))["code"] == "response_not_found"
        await client.send("insights.subscribe", topics=["drift"], event_id="e")
        assert (await client.error("e"))["code"] == "store_unavailable"


async def test_limits_of_one_connection():
    gate = asyncio.Event()
    options = {"max_concurrent_responses": 2, "requests_per_minute": 3}
    async with (
        Rig(Told(gate, "a"), **options) as rig,
        serving(rig) as url,
        open_client(url) as client,
        open_client(url) as other,
    ):
        await client.ask("One?", event_id="1")
        await client.ask("Two?", event_id="2")
        await client.ask("Three?", event_id="3")
        assert (await client.error("3"))["code"] == "too_many_responses"
        await other.ask("One?", event_id="o")
        gate.set()
        for asker, id_ in ((client, "1"), (client, "2"), (other, "o")):
            assert (await asker.final(id_))["status"] == "completed"
        await client.ask("Four?", event_id="4")
        await client.final("4")
        await client.ask("Five?", event_id="5")
        error = await client.error("5")
        assert error["code"] == "rate_limited"
        assert error["retry_after_ms"] > 0


async def test_ten_bad_frames_in_a_row_close_the_socket():
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        for _ in range(MAX_BAD_FRAMES - 1):
            await client.socket.send("no json")
        await client.send("ping")  # a good one between starts the count anew
        for _ in range(MAX_BAD_FRAMES):
            await client.socket.send(b"\x00")
        for _ in range(20):
            await client.ask(event_id="late")
        code, reason = await client.closed()
        assert code == 4509
        assert "bad frames" in reason
        errors = [event for event in client.seen if event["type"] == "error"]
        assert len(errors) == 2 * MAX_BAD_FRAMES - 1
        assert not any(event["type"] == "response.created" for event in client.seen)
        await until(lambda: not rig.node.connections)
        assert rig.moved("connections_closed_total", "4509") == 1
        assert rig.moved("queries_total", "abandoned", "general") == 0


async def test_a_client_that_leaves_stops_its_answers():
    model = Told("a", asyncio.Event())
    async with Rig(model, grace_s=0.05) as rig, serving(rig) as url:
        async with open_client(url) as client:
            await client.ask(event_id="q")
            await client.until(DELTA)
        await until(lambda: model.closed.is_set() and not rig.answering.running)
        await until(lambda: not rig.node.connections)
        assert rig.moved("connections_closed_total", "client") == 1


async def test_a_client_that_vanishes_while_text_flows_leaves_no_error(caplog):
    model = Told(*[f"word{number} " * 50 for number in range(2000)])

    class Endless(Told):
        async def stream(self, request):
            async for event in Told.stream(self, request):
                await asyncio.sleep(0)
                yield event

    model = Endless(*model.steps)
    async with Rig(model) as rig, serving(rig) as url:
        async with open_client(url) as client:
            await client.ask(event_id="q")
            await client.until(DELTA)
            client.socket.transport.abort()
        await until(lambda: not rig.node.connections and not rig.answering.running)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_draining_tells_everybody_finishes_and_closes():
    gate = asyncio.Event()
    async with (
        Rig(Told("a", gate, "b")) as rig,
        serving(rig) as url,
        open_client(url) as busy,
        open_client(url) as idle,
    ):
        await busy.ask(event_id="q")
        await busy.until(DELTA)
        connections = tuple(rig.node.connections)
        drain = asyncio.create_task(rig.node.drain(20))
        told = await idle.until("session.go_away")
        assert told["time_left_ms"] == 20_000
        await busy.until("session.go_away")
        await busy.ask("Another?", event_id="late")
        error = await busy.error("late")
        assert (error["code"], error["retryable"]) == ("draining", True)
        await idle.send("ping")
        await idle.until("pong")
        with pytest.raises(InvalidStatus) as caught:
            async with open_client(url):
                pass
        assert caught.value.response.status_code == 503
        gate.set()
        assert (await busy.final("q"))["output_text"] == "ab"
        await drain
        assert all(connection.gone.is_set() for connection in connections)  # the reason is out
        assert (await busy.closed())[0] == 1001
        assert (await idle.closed())[0] == 1001


async def test_an_answer_that_outlasts_the_drain_ends_with_draining():
    async with (
        Rig(Told("a", asyncio.Event())) as rig,
        serving(rig) as url,
        open_client(url) as client,
    ):
        await client.ask(event_id="q")
        await client.until(DELTA)
        await rig.node.drain(0.05)
        final = await client.final("q")
        assert final["error"]["code"] == "draining"
        assert (await client.closed())[0] == 1001


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, None),
        (["manicule.v1"], "manicule.v1"),
        (["manicule.v9", "manicule.v1"], "manicule.v1"),
    ],
)
async def test_the_subprotocol_is_v1(offered, chosen):
    async with (
        Rig() as rig,
        serving(rig) as url,
        open_client(url, subprotocols=offered) as client,
    ):
        assert client.socket.subprotocol == chosen


async def test_only_unknown_subprotocols_are_refused_by_name():
    async with Rig() as rig, serving(rig) as url:
        with pytest.raises(InvalidStatus) as caught:
            async with open_client(url, subprotocols=["manicule.v9", "graphql-ws"]):
                pass
        response = caught.value.response
        assert response.status_code == 400
        error = json.loads(response.body)["error"]
        assert error["code"] == "invalid_event"
        assert "manicule.v1" in error["message"]
        assert rig.moved("errors_total", "invalid_event") == 1


async def test_no_more_sockets_than_allowed():
    async with Rig(max_connections=1) as rig, serving(rig) as url:
        async with open_client(url):
            with pytest.raises(InvalidStatus) as caught:
                async with open_client(url):
                    pass
            assert caught.value.response.status_code == 503
            assert json.loads(caught.value.response.body)["error"]["code"] == "overloaded"
        await until(lambda: not rig.node.connections)
        async with open_client(url):
            pass
