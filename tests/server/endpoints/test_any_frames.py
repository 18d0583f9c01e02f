"""Whatever a client sends, it gets events of the protocol and one end for each answer."""

import asyncio
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig import TERMINAL, Rig, check_answer, scripted, serving
from websockets.exceptions import ConnectionClosed
from wire import open_client

from protocol.messages import CLIENT_EVENTS

words = st.text(max_size=8) | st.none() | st.integers() | st.floats() | st.booleans()
values = st.recursive(
    words, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)
questions = st.builds(
    lambda text, product, language: {
        "type": "response.create",
        "input": text,
        "product_id": product,
        "language": language,
    },
    st.text(max_size=20),
    st.sampled_from(["td-17", "kt-10", "nope", ""]),
    st.sampled_from(["en", "de-DE", "!"]),
)
named = st.builds(
    lambda type_, fields: {**fields, "type": type_},
    st.sampled_from([*CLIENT_EVENTS, "nope", ""]),
    st.dictionaries(
        st.sampled_from(["input", "query", "limit", "response_id", "epoch", "topics", "event_id"]),
        values,
        max_size=4,
    ),
)
frames = st.lists(
    st.one_of(
        questions.map(json.dumps),
        named.map(json.dumps),
        st.just(json.dumps({"type": "ping"})),
        st.just("cancel the latest"),
        st.text(max_size=30),
        st.binary(max_size=30),
    ),
    max_size=25,
)


async def exchange(url, sequence):
    """Send the frames, then wait until everything that began has ended."""
    async with open_client(url) as client:
        try:
            await talk(client, sequence)
        except ConnectionClosed:
            assert client.socket.close_code == 4509
            return
    for id_ in {event["response_id"] for event in client.seen if "response_id" in event}:
        check_answer([event for event in client.seen if event.get("response_id") == id_])


async def talk(client, sequence):
    for number, frame in enumerate(sequence):
        if frame == "cancel the latest":
            begun = [e for e in client.seen if e["type"] == "response.created"]
            id_ = begun[-1]["response_id"] if begun else "none"
            frame = json.dumps({"type": "response.cancel", "response_id": id_})
        await client.socket.send(frame)
        if number % 5 == 4:
            await client.next()  # every frame is answered by one event at least
    await client.send("ping", event_id="the-last-frame")
    await client.until(lambda e: e == {"type": "pong", "event_id": "the-last-frame"})
    for created in [e for e in client.seen if e["type"] == "response.created"]:
        id_ = created["response_id"]
        await client.until(ends(id_))


def ends(id_):
    return lambda event: event.get("response_id") == id_ and event["type"] in TERMINAL


def test_any_frames_get_protocol_events_and_one_end_each():
    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(frames)
    def run(sequence):
        loop.run_until_complete(exchange(address, sequence))

    async def started():
        await rig.__aenter__()
        return await server.__aenter__()

    async def stopped():
        await server.__aexit__(None, None, None)
        await rig.__aexit__(None, None, None)

    loop = asyncio.new_event_loop()
    rig = Rig(scripted({"text": "a [WARNING: b] "}, {"text": "c", "delay_ms": 1}))
    server = serving(rig)
    address = loop.run_until_complete(started())
    try:
        run()
    finally:
        loop.run_until_complete(stopped())
        loop.close()
    assert not rig.answering.running
