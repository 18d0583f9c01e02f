"""One stream of tokens that is read as raw bytes, over WebSocket or over HTTP.

No library reads the frames: one core must take 100,000 of them a second. The bytes are searched
for the mark of a token; of WebSocket frames only the heads are looked at. `benchmarks.streams.
reader` brings the bytes.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from math import inf

from benchmarks.streams.mark import MARK

_HALF = MARK[0]

clock = time.perf_counter

END_OF_BODY = b"\r\n0\r\n\r\n"
"""The last of the chunks; not every server passes `[DONE]` on."""

LOST = "the server closed the connection"


@dataclass(slots=True)
class Progress:
    """What all streams of one reader share: the pace that is due, and what went wrong."""

    rate_per_s: float
    faults: Counter[str] = field(default_factory=Counter)
    first_data: bytes = b""  # of the first stream, to see what a server says


class Stream:
    """Sends `opening`, counts tokens until it is closed.

    Token k is due k / rate after the first. What is kept of each read is how far behind its oldest
    token came, reckoned from the least such distance in the stream's life: the way itself.
    """

    __slots__ = (
        "_ends_half",
        "_period_s",
        "_socket",
        "_tail",
        "asked_at",
        "begun",
        "counts",
        "ended",
        "ended_at",
        "first_at",
        "least",
        "offsets",
        "opening",
        "progress",
        "terminal",
        "tokens",
    )

    def __init__(self, progress: Progress, opening: bytes, terminal: bytes = b"") -> None:
        self.progress = progress
        self.opening = opening
        self.terminal = terminal
        self._period_s = 1 / progress.rate_per_s
        self._tail = b""
        self._socket: socket.socket | None = None
        self.begun = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()
        self.asked_at = self.first_at = self.ended_at = 0.0
        self._forget()

    def _forget(self) -> None:
        self._ends_half = False
        self.tokens = 0
        self.least = inf
        self.offsets: list[float] = []
        self.counts: list[int] = []

    def connected(self, to: socket.socket) -> None:
        """Ask."""
        self._socket = to
        self.ask(self.opening)

    def received(self, data: bytes) -> None:
        """Take the bytes of one read."""
        raise NotImplementedError

    def ask(self, data: bytes) -> None:
        """Send a question; what was counted for the one before is forgotten."""
        loop = asyncio.get_running_loop()
        if self.tokens:
            self._forget()
        if self.begun.done():
            self.begun = loop.create_future()
        if self.ended.done():
            self.ended = loop.create_future()
        self._tail = b""
        self.asked_at = clock()
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self._socket is not None and self._socket.send(data) < len(data):
            self.fault("a question did not fit into the socket's buffer")

    def count(self, data: bytes) -> None:
        """Count the tokens in `data`, that has just come."""
        now = clock()
        number = data.count(MARK)
        if self._ends_half and data[0] == _HALF:
            number += 1  # a mark cut in two
        self._ends_half = data[-1] == _HALF and data[-2:] != MARK
        if number and not self.ended_at > self.asked_at:
            offset = now - self.tokens * self._period_s
            if not self.tokens:
                self.first_at = now
                if not self.begun.done():
                    self.begun.set_result(None)
            self.tokens += number
            if offset < self.least:
                self.least = offset
            self.offsets.append(offset)
            self.counts.append(number)
        if self.terminal:
            self._look_for_end(data, now)

    def _look_for_end(self, data: bytes, now: float) -> None:
        joined = self._tail + data
        if self.terminal in joined:
            self._tail = b""
            self.ended_at = now
            if not self.ended.done():
                self.ended.set_result(None)
        else:
            self._tail = joined[-len(self.terminal) :]

    def take_window(self) -> tuple[list[float], list[int]]:
        """Return the offsets and counts since the last call, and begin anew."""
        taken = self.offsets, self.counts
        self.offsets, self.counts = [], []
        return taken

    def fault(self, what: str) -> None:
        """Note what went wrong, and have nobody wait."""
        self.progress.faults[what] += 1
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None)

    def lost(self) -> None:
        """A stream that we did not close has failed."""
        if self._socket is not None:
            self.fault(LOST)

    def close(self) -> None:
        """Close without a word."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class HttpStream(Stream):
    """Server-Sent Events as the answer of a POST."""

    __slots__ = ("_has_head",)

    def connected(self, to: socket.socket) -> None:
        """Ask; the head is yet to come."""
        self._has_head = False
        super().connected(to)

    def received(self, data: bytes) -> None:
        """Count; the status is looked at once a connection."""
        if not self._has_head:
            self._has_head = True
            if data[9:12] != b"200":
                self.fault(data[:200].decode("latin-1"))
        if not self.progress.first_data and self.tokens > 1:
            self.progress.first_data = data[:1000]
        self.count(data)


class WebSocketStream(Stream):
    """Text frames after a handshake made by hand; `question` is sent once it is accepted."""

    __slots__ = ("_head", "_rest", "_skip", "question")

    def __init__(
        self, progress: Progress, opening: bytes, question: bytes, terminal: bytes = b""
    ) -> None:
        super().__init__(progress, opening, terminal)
        self.question = question
        self._head: bytes | None = b""
        self._rest = b""
        self._skip = 0

    def received(self, data: bytes) -> None:
        """Finish the handshake, then count and look at the heads of frames."""
        if self._head is not None:
            data = self._shake(data)
            if not data:
                return
        self.count(data)
        # The common case: one whole text frame. Its length is in the first or the first 4 bytes.
        if not self._skip and not self._rest and data[0] == 0x81:
            size = len(data)
            if 1 < size < 128:
                if data[1] == size - 2:
                    return
            elif size > 127 and data[1] == 126 and data[2] << 8 | data[3] == size - 4:
                return
        self._step(data)

    def _shake(self, data: bytes) -> bytes:
        assert self._head is not None
        head, end, rest = (self._head + data).partition(b"\r\n\r\n")
        if not end:
            self._head = head
            return b""
        self._head = None
        if head[9:12] != b"101":
            self.fault(head[:200].decode("latin-1"))
            return b""
        if self.question:
            self.ask(text_frame(self.question))
        return rest

    def _step(self, data: bytes) -> None:
        """Go over frames that may be cut anywhere; answer pings, note a close."""
        data = self._rest + data
        at, size = self._skip, len(data)
        while at + 2 <= size:
            first, length = data[at], data[at + 1]
            body = at + 2
            if length > 125:
                body = at + (4 if length == 126 else 10)
                if body > size:
                    break
                length = int.from_bytes(data[at + 2 : body], "big")
            if first & 0x08:  # a control frame: short, and of interest whole
                if body + length > size:
                    break
                self._control(first & 0x0F, data[body : body + length])
            at = body + length
        self._skip = max(0, at - size)
        self._rest = data[at:]

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == 0x9:
            self._send(_frame(0x8A, payload))
        elif opcode == 0x8:
            self.fault(f"closed with {int.from_bytes(payload[:2], 'big')}")


def text_frame(text: bytes) -> bytes:
    """Return a client's text frame. Its mask is zero, which is one like any other."""
    return _frame(0x81, text)


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    else:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


def handshake(host: str, path: str, subprotocol: str = "") -> bytes:
    """Return the request that opens a WebSocket."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    if subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(host: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Return a request with a JSON body."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
