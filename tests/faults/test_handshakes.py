"""Clients that connect and never say what they want, by the byte and by the thousand."""

import asyncio
import contextlib
import json
import time

import pytest
from test_socket_frames import Raw, frame
from wire import open_client

LIMIT_S = 10.0
BOUND_S = 20.0  # of the test's own waits: the machine may be busy with other tests
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
POST = b"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def target(server):
    return server()


class Slow:
    """A client whose bytes come as `pace` says: at once (0), or one each `pace` seconds."""

    def __init__(self, port, said, then=b"", pace=0.0):
        self.port, self.said, self.then, self.pace = port, said, then, pace

    async def life_s(self):
        """Seconds from connecting until the server closed; what it said is in `heard`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        started = time.monotonic()
        writer.write(self.said)
        dripping = asyncio.create_task(self._drip(writer))
        try:
            async with asyncio.timeout(BOUND_S):
                self.heard = b""
                with contextlib.suppress(ConnectionError):
                    while part := await reader.read(65_536):
                        self.heard += part
            return time.monotonic() - started
        finally:
            dripping.cancel()
            writer.close()
            await asyncio.gather(dripping, return_exceptions=True)

    async def _drip(self, writer):
        for byte in self.then:
            await asyncio.sleep(self.pace)
            writer.write(bytes([byte]))


async def test_f68_who_never_says_what_it_wants_is_closed_within_ten_seconds(target):
    port = target.port
    slow = {
        "nothing at all": Slow(port, b""),
        "half a request line": Slow(port, b"GET /hea"),
        "a byte a second": Slow(port, b"", GET, 1.0),
        "line ends before a request": Slow(port, b"", b"\r\n" * 30, 0.5),
        "a head without an end": Slow(port, GET, b"X: y\r\n" * 30, 0.2),
        "half an upgrade": Slow(port, UPGRADE),
        "an upgrade, then silence": Slow(port, UPGRADE + b"\r\n"),
        "a body that does not come": Slow(port, POST),
        "a body by the byte": Slow(port, POST, b"x" * 200, 0.1),
        "a second request that does not come": Slow(port, GET + b"\r\n", GET, 1.0),
        "an unread body": Slow(port, POST.replace(b"/v1/responses", b"/health"), b"x" * 99, 0.1),
    }
    lives = dict(zip(slow, await asyncio.gather(*(s.life_s() for s in slow.values())), strict=True))
    assert {name: life for name, life in lives.items() if life > LIMIT_S} == {}
    assert slow["half a request line"].heard.startswith(b"HTTP/1.1 408 ")
    assert slow["a second request that does not come"].heard.startswith(b"HTTP/1.1 200 ")
    assert slow["an upgrade, then silence"].heard.startswith(b"HTTP/1.1 101 ")
    assert {line["level"] for line in target.log_lines()} == {"info"}, "strangers write no log"


async def test_f68_a_thousand_of_them_do_not_keep_anybody_out(target):
    streams = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", target.port) for _ in range(1_000))
    )
    try:
        for _, writer in streams:
            writer.write(b"GET /ws HTT")
        waits = []
        for _ in range(9):
            started = time.monotonic()
            async with open_client(target.url) as client:
                waits.append(time.monotonic() - started)
                await client.send("ping")
                await client.until("pong")
        assert sorted(waits)[4] < 0.2, waits
    finally:
        for _, writer in streams:
            writer.transport.abort()


async def test_f68_a_socket_that_answers_pings_may_be_silent(target):
    async with open_client(target.url) as client:
        await asyncio.sleep(LIMIT_S)  # the limit itself is what is waited out
        await client.send("ping")
        await client.until("pong")


async def test_f68_a_slow_but_steady_upload_is_taken(target):
    body = json.dumps({"product_id": "td-17", "input": "How?", "x": "x" * 40_000}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    head = f"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode())
    for start in range(0, len(body), 2_000):  # 4 KB a second, for longer than the limit
        writer.write(body[start : start + 2_000])
        await asyncio.sleep(0.5)
    async with asyncio.timeout(BOUND_S):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()


def test_f68_a_head_without_end_is_refused_by_its_size(target):
    with Raw(target.port) as bystander:
        head = GET + b"X: " + b"y" * 200_000
        heard = asyncio.run(_hear(target.port, head))
        assert heard.startswith(b"HTTP/1.1 431 ")
        bystander.send(frame(b'{"type":"ping"}'))
        assert json.loads(bystander.read()[1]) == {"type": "pong"}


async def _hear(port, said):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    async with asyncio.timeout(BOUND_S):
        with contextlib.suppress(ConnectionError):
            heard = await reader.read(100)
    writer.close()
    return heard
