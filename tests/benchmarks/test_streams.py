"""The reader of streams: what it counts, however its bytes are cut, and what it calls late."""

import asyncio
import itertools
import json
from contextlib import asynccontextmanager

import httpx
import pytest

from benchmarks.peers.upstream import Answer, Wheel
from benchmarks.streams.candidates import BARE, DIRECT, OURS_MADE, OURS_PASSED_ON, PROXIES
from benchmarks.streams.lateness import take_lateness
from benchmarks.streams.mark import TOKEN, TOKENS
from benchmarks.streams.ramp import Pace, Ramp, Step, first_failure, largest
from benchmarks.streams.reader import Reader
from benchmarks.streams.stream import (
    END_OF_BODY,
    LOST,
    HttpStream,
    Progress,
    WebSocketStream,
    handshake,
    post,
    text_frame,
)


class Wire:
    """A socket that keeps what is sent."""

    def __init__(self):
        self.sent = []
        self.is_closed = False

    def send(self, data):
        self.sent.append(data)
        return len(data)

    def close(self):
        self.is_closed = True


def server_frame(first, payload):
    if len(payload) < 126:
        return bytes((first, len(payload))) + payload
    return bytes((first, 126)) + len(payload).to_bytes(2, "big") + payload


def delta(text, filler=0):
    return server_frame(0x81, json.dumps({"delta": text, "x": "y" * filler}).encode())


HEAD = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"
PING = server_frame(0x89, b"hi")
# One frame's length byte is the mark's character, another's second length byte is.
FRAMES = [
    delta(TOKEN),
    PING,
    delta(TOKEN * 3, 100),
    server_frame(0x81, b"x" * 0x7E),
    server_frame(0x81, b"{~~ " + b"x" * (0x17E - 4)),
]
WHOLE = HEAD + b"".join(FRAMES)


async def read(pieces):
    stream = WebSocketStream(Progress(50), handshake("h", "/"), b"{}")
    wire = Wire()
    stream.connected(wire)
    for piece in pieces:
        if piece:
            stream.received(piece)
    return stream, wire


async def test_tokens_are_counted_and_pings_answered_wherever_the_bytes_are_cut():
    cuts = range(1, len(WHOLE))
    pairs = itertools.chain(zip(cuts, cuts, strict=True), itertools.combinations(cuts[::7], 2))
    for first, second in pairs:
        stream, wire = await read([WHOLE[:first], WHOLE[first:second], WHOLE[second:]])
        assert stream.tokens == 5, (first, second)
        assert wire.sent[1:] == [text_frame(b"{}"), text_frame(b"hi").replace(b"\x81", b"\x8a", 1)]
        assert not stream.progress.faults


async def test_tokens_are_counted_a_byte_at_a_time():
    stream, _ = await read([WHOLE[at : at + 1] for at in range(len(WHOLE))])
    assert stream.tokens == 5


@pytest.mark.parametrize(
    ("last", "fault"),
    [
        (server_frame(0x88, (4008).to_bytes(2, "big")), "closed with 4008"),
        (None, LOST),
    ],
)
async def test_a_stream_that_ends_by_itself_is_a_fault(last, fault):
    stream, _ = await read([WHOLE, last])
    if last is None:
        stream.lost()
    assert stream.progress.faults == {fault: 1}
    assert stream.ended.done()


async def test_a_refused_handshake_is_a_fault():
    stream, _ = await read([b"HTTP/1.1 403 Forbidden\r\n\r\n"])
    [fault] = stream.progress.faults
    assert "403" in fault


async def test_a_token_is_as_late_as_the_oldest_of_its_read(monkeypatch):
    now = 100.0
    monkeypatch.setattr("benchmarks.streams.stream.clock", lambda: now)
    stream, _ = await read([HEAD])
    for at, tokens in ((100.0, 1), (100.02, 1), (100.09, 3), (100.11, 1)):
        now = at
        stream.received(delta(TOKEN * tokens))
    seen = take_lateness([stream])
    assert (seen.tokens, seen.reads) == (6, 4)
    # Due at .00 .02 .04 .06 .08 .10: the three came 50 ms after the oldest, the last 10 ms late.
    assert seen.most_ms == pytest.approx(50)
    assert seen.p99_ms == pytest.approx(50)
    assert seen.p50_ms == pytest.approx(10)
    assert take_lateness([stream]) is None


def step(streams, p99_ms, whole=1.0, faults=()):
    return Step(
        streams=streams,
        p50_ms=1,
        p99_ms=p99_ms,
        whole=whole,
        server_share=0.5,
        reader_share=0.5,
        others_share=0,
        token_us=20,
        reads_per_s=1,
        faults=dict.fromkeys(faults, 1),
        is_disturbed=False,
    )


@pytest.mark.parametrize(
    ("steps", "most", "failed"),
    [
        ([step(10, 5), step(20, 40), step(22, 51), step(22, 60)], 20, 22),
        ([step(10, 5), step(20, 70), step(20, 30), step(22, 80)], 20, 22),
        ([step(10, 5), step(20, 70), step(20, 80), step(22, 30)], 10, 20),
        ([step(10, 90)], None, 10),
        ([step(10, 5), step(20, 5, whole=0.9)], 10, 20),
        ([step(10, 5), step(20, 5, faults=["lost"])], 10, 20),
        ([step(10, 5)], 10, None),
    ],
)
def test_the_largest_number_is_the_last_before_one_that_never_held(steps, most, failed):
    found = largest(steps, 50)
    assert (found and found.streams) == most
    assert first_failure(steps, 50) == failed


@asynccontextmanager
async def running_upstream(rate_per_s=200.0):
    wheel = Wheel(rate_per_s, even=True)
    server = await asyncio.get_running_loop().create_server(lambda: Answer(wheel), "127.0.0.1", 0)
    turning = asyncio.create_task(wheel.run())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        turning.cancel()
        server.close()


QUESTION = {"model": "m", "stream": True, "messages": [{"role": "user", "content": ""}]}


async def test_the_upstream_streams_as_an_openai_server_does():
    async with running_upstream() as port, httpx.AsyncClient(trust_env=False) as client:
        url = f"http://127.0.0.1:{port}/v1"
        assert (await client.get(f"{url}/models")).json()["data"][0]["id"] == "m"
        for words in (1, 12):  # on one connection
            message = {"role": "user", "content": f"How? Answer in {words} words (1)"}
            options = {"include_usage": True}
            body = {**QUESTION, "messages": [message], "stream_options": options}
            reply = await client.post(f"{url}/chat/completions", json=body)
            assert reply.headers["content-type"].startswith("text/event-stream")
            *events, done = reply.text.removesuffix("\n\n").split("\n\n")
            assert done == "data: [DONE]"
            chunks = [json.loads(event.removeprefix("data: ")) for event in events]
            texts = [choice["delta"].get("content") for c in chunks for choice in c["choices"]]
            said = [text for text in texts if text]
            assert len(said) == words
            assert set(said) <= set(TOKENS)
            assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
            assert chunks[-1]["usage"]["completion_tokens"] == words
            assert chunks[-1]["choices"] == []


async def test_a_reader_reads_an_answer_to_its_end():
    async with running_upstream() as port, Reader() as reader:
        question = {**QUESTION, "messages": [{"role": "user", "content": "Answer in 20 words"}]}
        request = post("h", "/v1/chat/completions", json.dumps(question).encode(), {})
        stream = HttpStream(Progress(200), request, END_OF_BODY)
        await reader.add(stream, port)
        async with asyncio.timeout(20):
            for _ in range(2):
                await stream.ended
                assert stream.tokens == 20
                assert stream.asked_at < stream.first_at < stream.ended_at
                stream.ask(request)
                assert stream.tokens == 0
        assert not stream.progress.faults


async def test_a_ramp_goes_up_to_its_end():
    request = post("h", "/v1/chat/completions", json.dumps(QUESTION).encode(), {})
    async with running_upstream() as port, Reader(0.001) as reader:

        async def connect(progress):
            stream = HttpStream(progress, request)
            await reader.add(stream, port)
            return stream

        ramp = Ramp(
            connect=connect,
            server_cpu_s=lambda: 0.0,
            reader_cpu_s=lambda: 0.0,
            cores_cpu_s=lambda: 0.0,
            rate_per_s=1.0,  # so little is due that any machine keeps up with it
            pace=Pace(settle_s=0.05, window_s=0.1),
            first=2,
            most=6,
            spins=True,
        )
        async with asyncio.timeout(60):
            steps = await ramp.run()
    assert [one.streams for one in steps][:1] == [2]
    assert all(not one.faults and one.whole > 1 for one in steps)


@pytest.mark.parametrize(
    "candidate", [*BARE, *OURS_MADE, *OURS_PASSED_ON, *PROXIES], ids=lambda one: one.name
)
def test_a_candidate_can_be_started_or_says_why_not(candidate, tmp_path):
    if candidate.unavailable:
        assert candidate.missing == candidate.unavailable
        return
    command, env = candidate.filled(1234, "http://127.0.0.1:5678", tmp_path)
    config = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "1234" in " ".join([*command, config])
    for text in (*command, *env.values(), config):
        for name in ("{port}", "{upstream}", "{folder}", "{config}"):
            assert name not in text
    assert candidate.question(0) != candidate.question(0), "answers are cached and shared"


def test_the_direct_read_is_the_base_of_all():
    assert DIRECT.baseline
    assert b"POST /v1/chat/completions" in DIRECT.request(1, "", 5)
