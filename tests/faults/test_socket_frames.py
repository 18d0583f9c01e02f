"""Broken and hostile frames, written byte by byte to a real server."""

import contextlib
import json
import os
import socket
import struct

import pytest
from wire import open_client

MIB = 2**20
TEXT, BINARY, CONT, CLOSE, PING = 0x1, 0x2, 0x0, 0x8, 0x9


@pytest.fixture(scope="module")
def target(server):
    return server()


def frame(payload=b"", opcode=TEXT, *, fin=True, rsv=0, masked=True, length=None):
    """One frame; `length` declares another length than the payload's."""
    length = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    mask_bit = 0x80 if masked else 0
    if length < 126:
        head += bytes([mask_bit | length])
    elif length < 2**16:
        head += bytes([mask_bit | 126]) + struct.pack("!H", length)
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", length)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


class Raw:
    """A connection whose bytes are ours."""

    def __init__(self, port, extensions=""):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        offer = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
        self.socket.sendall(
            (
                f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                f"Sec-WebSocket-Version: 13\r\n{offer}\r\n"
            ).encode()
        )
        self.file = self.socket.makefile("rb")
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            self.head += self.file.readline()
        assert self.head.startswith(b"HTTP/1.1 101")
        assert json.loads(self.read()[1])["type"] == "session.created"

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.file.close()
        self.socket.close()

    def send(self, data):
        with contextlib.suppress(OSError):  # closed by the server, which is what is looked at
            self.socket.sendall(data)

    def read(self):
        """The next frame of the server: (opcode, payload)."""
        first, second = self.file.read(2)
        assert not second & 0x80
        length = second & 0x7F
        if length == 126:
            [length] = struct.unpack("!H", self.file.read(2))
        elif length == 127:
            [length] = struct.unpack("!Q", self.file.read(8))
        return first & 0x0F, self.file.read(length)

    def close_code(self):
        """Read on to the close frame; its code."""
        while True:
            opcode, payload = self.read()
            if opcode == CLOSE:
                return struct.unpack("!H", payload[:2])[0]


ping = json.dumps({"type": "ping"}).encode()
HOSTILE = {
    "1 TiB declared": ([frame(ping, length=2**40)], 1009),
    "64-bit length with its top bit set": ([frame(ping, length=2**63)], 1009),
    "65 KiB and 1": ([frame(b"a" * 65_537)], 1009),
    "65 KiB and 1 in fragments": (
        [frame(b"a" * 40_000, fin=False), frame(b"a" * 25_537, CONT)],
        1009,
    ),
    "RSV1, which only compression may set": ([frame(ping, rsv=4)], 1002),
    "RSV2": ([frame(ping, rsv=2)], 1002),
    "RSV3": ([frame(ping, rsv=1)], 1002),
    "reserved data opcode": ([frame(ping, 0x3)], 1002),
    "reserved control opcode": ([frame(b"", 0xB)], 1002),
    "unmasked": ([frame(ping, masked=False)], 1002),
    "bad UTF-8": ([frame(b'{"type":"\xff"}')], 1007),
    "a surrogate in UTF-8": ([frame(b"\xed\xa0\x80")], 1007),
    "fragmented control frame": ([frame(b"", PING, fin=False)], 1002),
    "long control frame": ([frame(b"a" * 126, PING)], 1002),
    "continuation of nothing": ([frame(ping, CONT)], 1002),
    "a new message inside another": ([frame(ping, fin=False), frame(ping)], 1002),
    "close frame of one byte": ([frame(b"a", CLOSE)], 1002),
    "close code that nobody may send": ([frame(struct.pack("!H", 1005), CLOSE)], 1002),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_f67_hostile_frames_close_their_own_socket_only(target, name):
    frames, code = HOSTILE[name]
    async with open_client(target.url) as bystander:
        before = target.rss_bytes()
        with Raw(target.port) as raw:
            raw.send(b"".join(frames))
            assert raw.close_code() == code
        assert target.rss_bytes() - before <= 2 * MIB
        await bystander.ask(product_id=target.product_id, event_id="q")
        assert (await bystander.final("q"))["status"] == "completed"


def test_f67_compression_is_not_negotiated(target):
    with Raw(target.port, "permessage-deflate; client_max_window_bits") as raw:
        assert b"sec-websocket-extensions" not in raw.head.lower()
        # A bomb that would be 1 GiB: 1 MiB of it is refused as a frame that may not be.
        raw.send(frame(b"\0" * 1000, rsv=4))
        assert raw.close_code() == 1002


def test_f67_a_message_of_exactly_the_limit_is_read(target):
    with Raw(target.port) as raw:
        padding = 65_536 - len(json.dumps({"type": "ping", "x": ""}))
        message = json.dumps({"type": "ping", "x": "a" * padding}).encode()
        assert len(message) == 65_536
        raw.send(frame(message))
        assert json.loads(raw.read()[1]) == {"type": "pong"}
        # The same in fragments with a ping between them.
        raw.send(frame(message[:30_000], fin=False) + frame(b"hi", PING))
        raw.send(frame(message[30_000:], CONT))
        got = [raw.read(), raw.read()]
        assert (0xA, b"hi") in got
        assert any(opcode == TEXT and json.loads(p) == {"type": "pong"} for opcode, p in got)


def test_f67_hostile_frames_leave_not_a_line_in_the_log(target):
    before = target.log()
    for frames, code in HOSTILE.values():
        with Raw(target.port) as raw:
            raw.send(b"".join(frames))
            assert raw.close_code() == code
    with Raw(target.port) as raw:  # served after the others, so they have been logged
        raw.send(frame(ping))
        raw.read()
    assert target.log() == before
