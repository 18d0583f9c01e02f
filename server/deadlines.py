"""uvicorn's protocols with deadlines and turns: who never says what they want is let go.

uvicorn itself waits for the head of a request, and for its body, as long as the client likes.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from server.answering.turns import Turns
from server.endpoints.outbox import WRITE_TEXT

HEAD_S: Final = 8.0
"""From connecting, or from the last response, to the whole head of a request. A phone far from
its mast needs two seconds; each idle client costs a file descriptor for so long."""

MAX_HEAD_BYTES: Final = 65_536
"""Largest head; browsers send 2 KiB, and cookies of a shared host 16 more. Then 431."""

BODY_PERIOD_S: Final = 8.0
MIN_BODY_BYTES: Final = 8_192
"""A body must grow by so much in each such period, 1 KiB/s; less is no upload but a siege."""

FIRST_PING_S: Final = 2.0
SILENCE_S: Final = 8.0
"""A socket says something within this time of its upgrade, if only the pong to the first ping:
libraries and browsers send that by themselves."""

CLOSE_TIMEOUT_S: Final = 3.0
"""For sockets whose clients do not answer the closing."""


class HttpProtocol(HttpToolsProtocol):
    """HTTP whose requests must come: the head soon and within a size, the body steadily.

    With `turns`, the first bytes of a connection wait for one: of all that connect at once, a few
    are taken apart in each iteration of the loop.
    """

    turns: Turns | None = None
    _early = b""
    _deadline: asyncio.TimerHandle | None = None
    _received_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._set_deadline(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, from the first turn on."""
        if self.turns is None:
            self._read(data)
        elif self._early:
            self._early += data
        else:
            self._early = data
            self.transport.pause_reading()
            self.turns.give(self._begin)

    def _begin(self) -> None:
        early, self._early, self.turns = self._early, b"", None
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self._read(early)

    def _read(self, data: bytes) -> None:
        """Read on, as long as the head is not too large."""
        self._received_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._received_bytes > MAX_HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; the socket has deadlines of its own."""
        self._set_deadline(None)
        self._in_head = False
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]  # it holds us: a cycle that nobody needs

    def on_headers_complete(self) -> None:
        """Wait for the body from here on."""
        self._in_head = False
        self._await_body()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole: the next wait is the client's."""
        self._set_deadline(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it has begun to be answered."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._await_head()

    def _await_head(self) -> None:
        self._received_bytes = 0
        self._in_head = True
        handle = self.loop.call_later(HEAD_S, self._refuse, b"408 Request Timeout")
        self._set_deadline(handle)

    def _await_body(self) -> None:
        self._received_bytes = 0
        self._set_deadline(self.loop.call_later(BODY_PERIOD_S, self._look_at_body))

    def _look_at_body(self) -> None:
        if self._received_bytes < MIN_BODY_BYTES:
            self.transport.abort()  # the endpoint hears of a client that went away
        else:
            self._await_body()

    def _refuse(self, status: bytes) -> None:
        self._set_deadline(None)
        self._in_head = False
        if not self.transport.is_closing():
            head = b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(head)
            self.transport.close()

    def _set_deadline(self, handle: asyncio.TimerHandle | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = handle


class TextWriter:
    """Writes text frames without waiting, as long as the socket takes them (`is_open`).

    ASGI's way to there takes a task, a dozen calls and a frame object. Small and in slots: a
    thousand sockets in turn find nothing of theirs in the processor's caches.
    """

    __slots__ = ("_transport", "is_open")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.is_open = True

    def write(self, text: bytes) -> bool:
        """Write a frame; False when it must be sent, or cannot be any more."""
        if not self.is_open or self._transport.is_closing():
            return False
        size = len(text)
        if size < 126:  # the head of an unmasked, whole text frame: RFC 6455, section 5.2
            self._transport.write(bytes((0x81, size)) + text)
        elif size < 65_536:
            self._transport.write(b"\x81\x7e" + size.to_bytes(2, "big") + text)
        else:
            self._transport.write(b"\x81\x7f" + size.to_bytes(8, "big") + text)
        return True


class SocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that ends although its client reads nothing, or never says anything."""

    _abort: asyncio.TimerHandle | None = None
    _silence: asyncio.TimerHandle | None = None
    _writer: TextWriter

    def handle_connect(self, event: Request) -> None:
        """Offer the application a way to write text beside ASGI's `send`."""
        super().handle_connect(event)
        self._writer = TextWriter(self.transport)
        if not self.close_sent:
            extensions = cast("dict[str, object]", self.scope["extensions"])
            extensions[WRITE_TEXT] = self._writer.write

    def pause_writing(self) -> None:
        """The client reads too slowly for now."""
        self._writer.is_open = False
        super().pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._writer.is_open = not self.close_sent
        super().resume_writing()

    async def run_asgi(self) -> None:
        """Run the application, then close for good."""
        await super().run_asgi()
        if not self.disconnected:
            self._abort = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    def start_keepalive(self) -> None:
        """Ping soon for the first time, and give up on who never answers."""
        if self.ping_interval is None:
            return
        first_s = min(FIRST_PING_S, self.ping_interval)
        self.ping_timer = self.loop.call_later(first_s, self.send_keepalive_ping)
        self._silence = self.loop.call_later(SILENCE_S, self.keepalive_timeout)

    def data_received(self, data: bytes) -> None:
        """Read on; any byte after the handshake ends the first wait."""
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        for timer in (self._abort, self._silence):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        self.conn.parser.close()  # its frame holds `conn`: a cycle that nobody needs
