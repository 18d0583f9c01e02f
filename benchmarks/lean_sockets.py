"""WebSocket clients that cost little: ten thousand of them fit beside what they measure.

A socket is one protocol object on the loop's own transport: it shakes hands, answers pings and
hands each text frame to a callback. Frames of a client must be masked; a key of zeros leaves the
payload as it is.
"""

from __future__ import annotations

import asyncio
import json
import resource
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

from benchmarks.harness import SUBPROTOCOL

SOCKETS_PER_ADDRESS = 2000
"""Of one local address; a range of ephemeral ports has some 28,000, a server allows fewer."""

NO_MASK = bytes(4)
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Return one whole frame as a client sends it."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    else:
        assert size < 65_536
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    return head + NO_MASK + payload


class LeanSocket(asyncio.Protocol):
    """One client. `on_text` is called with the payload of each text frame.

    `opened` is done when the server has agreed to the upgrade and fails when it has not;
    `ended` is done when the connection has ended, whoever ended it.
    """

    __slots__ = ("_buffer", "_request", "_upgraded", "ended", "on_text", "opened", "transport")

    def __init__(self, request: bytes, on_text: Callable[[bytes], None]) -> None:
        self._request = request
        self._buffer = b""
        self._upgraded = False
        self.on_text = on_text
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.ended.set_result(None)
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("closed before the upgrade"))

    def data_received(self, data: bytes) -> None:
        """Take whole frames off what came."""
        data = self._buffer + data
        if not self._upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            self._upgrade(head)
        at = 0
        while (end_at := self._frame(data, at)) > at:
            at = end_at
        self._buffer = data[at:]

    def send(self, event: dict[str, object]) -> None:
        """Send one event."""
        assert self.transport is not None
        self.transport.write(client_frame(TEXT, json.dumps(event).encode()))

    def close(self) -> None:
        """Say goodbye; the server then ends the connection."""
        if self.transport is not None and not self.ended.done():
            self.transport.write(client_frame(CLOSE, struct.pack("!H", 1000)))

    def _upgrade(self, head: bytes) -> None:
        self._upgraded = True
        if self.opened.done():
            return
        if head.startswith(b"HTTP/1.1 101"):
            self.opened.set_result(None)
        else:
            self.opened.set_exception(ConnectionError(head.partition(b"\r\n")[0].decode()))

    def _frame(self, data: bytes, at: int) -> int:
        """Take the frame at `at`; return where it ends, or `at` when it is not whole."""
        if len(data) < at + 2:
            return at
        opcode, size, start = data[at] & 15, data[at + 1], at + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[start : start + width], "big")
            start += width
        if len(data) < start + size:
            return at
        payload = data[start : start + size]
        if opcode == TEXT:
            self.on_text(payload)
        elif opcode == PING and self.transport is not None:
            self.transport.write(client_frame(PONG, payload))
        return start + size


def ignore(payload: bytes) -> None:
    """Do nothing about a frame."""


async def open_socket(
    url: str, number: int = 0, on_text: Callable[[bytes], None] = ignore
) -> LeanSocket:
    """Open one socket; `number` picks its local address. Raises `OSError` when it is refused."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    request = (
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    ).encode()
    local = f"127.0.0.{2 + number // SOCKETS_PER_ADDRESS % 200}"
    _, socket = await asyncio.get_running_loop().create_connection(
        lambda: LeanSocket(request, on_text),
        parts.hostname,
        parts.port,
        local_addr=(local, 0),
    )
    await socket.opened
    return socket


async def open_sockets(
    url: str, number: int, on_text: Callable[[bytes], None] = ignore, at_once: int = 50
) -> list[LeanSocket]:
    """Open `number` sockets, `at_once` handshakes at a time."""
    sockets: list[LeanSocket] = []
    for start in range(0, number, at_once):
        batch = range(start, min(start + at_once, number))
        sockets += await asyncio.gather(*(open_socket(url, one, on_text) for one in batch))
    return sockets


async def close_sockets(sockets: list[LeanSocket], within_s: float = 30.0) -> None:
    """Close all, and wait until their connections have ended."""
    for socket in sockets:
        socket.close()
    async with asyncio.timeout(within_s):
        await asyncio.gather(*(socket.ended for socket in sockets))


def allow_sockets(number: int) -> None:
    """Let this process have `number` sockets; ends the program when its limit is too low."""
    wanted = number + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"{number} sockets need `ulimit -n {wanted}`; here {hard} are allowed")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
