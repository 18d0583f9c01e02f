"""The same answers as Server-Sent Events."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from rig import BATTERY, MARKED, WAIT_S, Rig, Told, check_answer, scripted, serving, until
from wire import DELTA, open_client, read_event

from protocol.errors import ERRORS

ASK = {"input": BATTERY, "product_id": "td-17"}


@asynccontextmanager
async def http(url):
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=WAIT_S) as client:
        yield client


def parse(body: str) -> list[dict]:
    """The events of an SSE body, each with its id and name checked against its data."""
    assert body.endswith("\n\n")
    events = []
    for block in body[:-2].split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        assert fields.keys() == {"id", "event", "data"}
        event = read_event(fields["data"])
        assert fields["id"] == f"{event['epoch']}-{event['sequence_number']}"
        assert fields["event"] == event["type"]
        events.append(event)
    return events


def bare(events: list[dict]) -> list[dict]:
    """The events without what differs from answer to answer: ids, times, how text was cut."""
    out: list[dict] = []
    for event in json.loads(json.dumps(events)):
        for name in ("response_id", "event_id", "sequence_number"):
            event.pop(name, None)
        for name in ("id", "created_at", "timing_ms", "receipt"):
            event.get("response", {}).pop(name, None)
        if out and event["type"] == out[-1]["type"] == DELTA:
            out[-1]["delta"] += event["delta"]
        else:
            out.append(event)
    return out


@pytest.mark.parametrize(
    "steps",
    [
        [{"text": MARKED}],
        [{"text": "a "}, {"text": "b", "delay_ms": 1}, {"error": "upstream_error"}],
        [{"tokens": 300, "rate_per_s": 0}, {"finish": "length"}],
    ],
)
async def test_the_same_events_as_the_socket(steps):
    async with Rig(scripted(*steps)) as rig, serving(rig) as url, http(url) as client:
        await rig.library.get("td-17", rig.catalog.get("td-17").manual)
        response = await client.post("/v1/responses", json=ASK)
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        by_http = parse(response.text)
        check_answer(by_http)
    async with Rig(scripted(*steps)) as rig, serving(rig) as url, open_client(url) as socket:
        await rig.library.get("td-17", rig.catalog.get("td-17").manual)
        await socket.ask(event_id="q")
        by_socket = await socket.answer("q")
    assert bare(by_http) == bare(by_socket)


@pytest.mark.parametrize("type_", [{}, {"type": "response.create"}])
async def test_the_type_may_be_left_out(type_):
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        response = await client.post("/v1/responses", json={**ASK, **type_, "event_id": "q"})
        assert parse(response.text)[0]["event_id"] == "q"


REFUSED = [
    (b"no json", "invalid_json"),
    (b"\xff\xfe", "invalid_json"),
    (b"", "invalid_json"),
    (b"[1]", "invalid_json"),
    (b'{"input":"a","input":"b","product_id":"td-17"}', "invalid_json"),
    (b'{"input":NaN,"product_id":"td-17"}', "invalid_json"),
    (b'{"type":"ping"}', "invalid_event"),
    (b'{"type":"nope"}', "unknown_type"),
    (b'{"product_id":"td-17"}', "invalid_event"),
    (b'{"input":"a"}', "invalid_event"),
    (b'{"input":"a","product_id":"nope"}', "product_not_found"),
    (b'{"input":"a","product_id":"td-17","scenario":"nope"}', "scenario_not_found"),
    (b'{"input":"' + b"a" * 65_536 + b'","product_id":"td-17"}', "payload_too_large"),
]


async def test_refusals_have_the_status_of_the_one_table():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        for body, code in REFUSED:
            response = await client.post("/v1/responses", content=body)
            event = read_event(response.text)
            assert event["error"]["code"] == code
            assert response.status_code == ERRORS[code].http_status
            assert response.headers["content-type"] == "application/json"
            assert response.headers["x-content-type-options"] == "nosniff"
            assert rig.moved("errors_total", code) >= 1
        assert not rig.answering.running


async def test_a_body_without_a_declared_length_is_bounded_too():
    sent = []

    async def endless():
        while True:
            sent.append(1)
            yield b"x" * 8192

    async with Rig() as rig, serving(rig) as url, http(url) as client:
        try:
            response = await client.post("/v1/responses", content=endless())
            assert response.status_code == 413
        except httpx.TransportError:  # closed while we still sent, which the standard allows
            pass
        await until(lambda: rig.moved("errors_total", "payload_too_large") == 1)


async def test_a_foreign_page_may_not_ask():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        headers = {"origin": "https://evil.example"}
        response = await client.post("/v1/responses", json=ASK, headers=headers)
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "forbidden"
        response = await client.post("/v1/responses", json=ASK, headers={"origin": url})
        assert response.status_code == 200


async def test_a_full_and_a_draining_server_say_when_to_come_back():
    async with (
        Rig(Told("a", asyncio.Event()), max_running=1) as rig,
        serving(rig) as url,
        http(url) as client,
    ):
        rig.start("Something that runs?")
        response = await client.post("/v1/responses", json=ASK)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "overloaded"
        assert response.headers["retry-after"] == "1"
        rig.node.draining = True
        response = await client.post("/v1/responses", json=ASK)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "draining"


async def test_f35_a_client_that_leaves_stops_the_upstream_in_the_end():
    model = Told("a", asyncio.Event())
    async with Rig(model, grace_s=0.05) as rig, serving(rig) as url, http(url) as client:
        async with client.stream("POST", "/v1/responses", json=ASK) as response:
            async for line in response.aiter_lines():
                if DELTA in line:
                    break
        await until(model.closed.is_set)
        await until(lambda: not rig.answering.running)
        assert rig.moved("queries_total", "abandoned", "general") == 1


async def test_a_client_that_left_with_its_question_stops_the_answer():
    """Its end may be known before the first byte of the answer could be sent."""
    model = Told("a", asyncio.Event())
    async with Rig(model, grace_s=0.05) as rig, serving(rig) as url:
        port = int(url.rsplit(":", 1)[1])
        body = json.dumps(ASK).encode()
        head = (
            f"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        for how in ("close", "abort") * 3:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode() + body)
            getattr(writer.transport, how)()
        async with http(url) as client:  # accepted after the others, so they have been read
            assert (await client.get("/health")).status_code == 200
        await until(lambda: not rig.answering.running)


async def test_other_methods_and_paths_are_plain_refusals():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        assert (await client.get("/v1/responses")).status_code == 405
        assert (await client.post("/v1/responses/x/events")).status_code == 405
        assert (await client.get("/nope")).status_code == 404
        assert (await client.get("/ws")).status_code in (400, 404, 426)


def events_of(text):
    """The events of an SSE body: type, id, data."""
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return events


async def test_f23_a_stream_is_resumed_after_the_last_event_that_came():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        whole = events_of((await client.post("/v1/responses", json=ASK)).text)
        path = f"/v1/responses/{whole[0][2]['response_id']}/events"
        everything = events_of((await client.get(path)).text)
        assert everything[0][0] == "response.resumed"
        assert everything[1:] == whole
        for place, (_, last, _) in enumerate(whole):
            reply = await client.get(path, headers={"last-event-id": last})
            assert reply.headers["content-type"].startswith("text/event-stream")
            resumed, *rest = events_of(reply.text)
            assert resumed[1] is None
            assert resumed[2]["recovered"] is True
            assert rest == whole[place + 1 :]


async def test_f29_a_position_or_an_id_that_is_none_is_refused():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        whole = events_of((await client.post("/v1/responses", json=ASK)).text)
        path = f"/v1/responses/{whole[0][2]['response_id']}/events"
        for position in ("x", "1", "0-1", "1--1", "2-0", "1-9999", "9" * 40 + "-1"):
            reply = await client.get(path, headers={"last-event-id": position})
            assert reply.status_code == 400, position
            assert reply.json()["error"]["code"] == "invalid_event"
        unknown = await client.get("/v1/responses/resp_nope/events")
        assert unknown.status_code == 404
        assert unknown.json()["error"]["code"] == "response_not_found"
