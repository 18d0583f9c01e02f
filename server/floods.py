"""A WebSocket that counts what comes: pings, empty fragments and messages cost the server alike."""

from __future__ import annotations

from typing import Any, Final

from protocol.errors import CloseCode
from protocol.rates import TokenBucket
from server.deadlines import SocketProtocol

SLICE_BYTES: Final = 4096
"""Read at a time. The smallest frame has 6 bytes, so that some 680 at most (7 ms of work) are taken
apart before they are counted; one read of a socket brings up to 256 KiB."""

LINGER_S: Final = 0.5
"""From the closing to the end of the connection: with unread bytes in our kernel the end is a
reset, which must not overtake the close frame."""


class CountingProtocol(SocketProtocol):
    """Closes with 4429 who sends more than `frames_per_s` frames a second, as many at once.

    Nothing more of that client is read or served from then on.
    """

    frames_per_s = 2000

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's, unlooked at
        super().__init__(*args, **options)
        self._frames = TokenBucket(self.frames_per_s * 60, burst=self.frames_per_s)
        self._is_flooded = False

    def data_received(self, data: bytes) -> None:
        """Read on in slices, until they are too many."""
        for start in range(0, len(data), SLICE_BYTES):
            if self._is_flooded or self.transport.is_closing():
                return
            super().data_received(data[start : start + SLICE_BYTES])

    def handle_events(self) -> None:
        """Count the frames before anything is done about them."""
        if self._frames.take(self.loop.time(), len(self.conn.events)):
            self._close_for_flood()
        else:
            super().handle_events()

    def _close_for_flood(self) -> None:
        self._is_flooded = True
        if not self.handshake_complete:  # no close frame may come before the server has agreed
            self.transport.abort()
            return
        self.stop_keepalive()
        self.conn.fail(CloseCode.RATE, "too many frames")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._writer.is_open = False
        self.frames = []
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": int(CloseCode.RATE)})
        self.read_paused = False  # else the application would resume it
        self.transport.pause_reading()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)


def counting_protocol(frames_per_s: int) -> type[CountingProtocol]:
    """Return the protocol with its limit."""
    return type("SocketProtocol", (CountingProtocol,), {"frames_per_s": frames_per_s})
