"""What waits to be sent on one socket, bounded in bytes and in time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protocol.errors import CloseCode

BURST_FACTOR = 16
"""How many times the send buffer may be full before anything was tried: many short replies to one
read of the socket. Past it, or past the buffer while the client takes nothing, it is closed."""

WRITE_TEXT = "manicule.write_text"
"""Extension of the ASGI scope: takes the bytes of a text frame, tells whether it has written them.
Our server offers it beside ASGI's `send`; see `server.deadlines.SocketProtocol`."""

BLOCKED_S = 0.1
"""A send that takes longer found the socket full."""


def write_nothing(frame: bytes) -> bool:
    """Leave every frame to `send`: where the server offers no other way."""
    return False


@dataclass(frozen=True, slots=True)
class Closing:
    """How the socket is to be closed."""

    code: CloseCode
    reason: str


SLOW = Closing(CloseCode.SLOW_CONSUMER, "the client does not read")


class Outbox:
    """Frames in order, sent by the one task that runs `run`.

    `put` never blocks: what `write` takes is gone, the rest waits for `send`. Those who can wait
    are told by `on_full` to do so and by `on_room` that they need no longer: half of the buffer is
    for what cannot. A socket that takes nothing for `slow_s` seconds, or falls behind with what
    cannot wait, is slow.
    """

    __slots__ = (
        "_buffer_bytes",
        "_bytes",
        "_changed",
        "_closing",
        "_frames",
        "_is_idle",
        "_on_full",
        "_on_room",
        "_send",
        "_sending_since",
        "_slow_s",
        "_was_full",
        "_write",
    )

    def __init__(
        self,
        send: Callable[[str], Awaitable[None]],
        *,
        buffer_bytes: int,
        slow_s: float,
        on_full: Callable[[], None] = lambda: None,
        on_room: Callable[[], None] = lambda: None,
        write: Callable[[bytes], bool] = write_nothing,
    ) -> None:
        self._send = send
        self._write = write
        self._buffer_bytes = buffer_bytes
        self._slow_s = slow_s
        self._on_full = on_full
        self._on_room = on_room
        self._frames: deque[tuple[str, int]] = deque()
        self._bytes = 0
        self._is_idle = True  # nothing waits, and nothing is being sent
        self._was_full = False
        self._sending_since: float | None = None
        self._closing: Closing | None = None
        self._changed = asyncio.Event()

    @property
    def is_closing(self) -> bool:
        """Whether what is put now would be dropped."""
        return self._closing is not None

    def put(self, frame: str) -> None:
        """Queue a frame; after `close` it is dropped."""
        if self._closing is not None:
            return
        data = frame.encode()
        if self._is_idle and self._write(data):
            return
        self._is_idle = False
        size = len(data)
        if self._is_behind():  # before this frame: one that is larger than the buffer is no fault
            self._frames.clear()
            self._closing = SLOW
        else:
            self._frames.append((frame, size))
            self._bytes += size
            if not self._was_full and self._bytes >= self._buffer_bytes // 2:
                self._was_full = True
                self._on_full()
        self._changed.set()

    def close(self, code: CloseCode, reason: str) -> None:
        """Close after what is queued."""
        if self._closing is None:
            self._closing = Closing(code, reason)
            self._changed.set()

    async def run(self) -> Closing:
        """Send until the socket is to be closed; return how."""
        loop = asyncio.get_running_loop()
        while True:
            while self._frames:
                frame, size = self._frames.popleft()
                self._bytes -= size
                self._sending_since = loop.time()
                try:
                    async with asyncio.timeout(self._slow_s):
                        await self._send(frame)
                except TimeoutError:
                    return SLOW
                self._sending_since = None
                self._offer_room()
            if self._closing is not None:
                return self._closing
            self._is_idle = True
            self._changed.clear()
            await self._changed.wait()

    def _offer_room(self) -> None:
        if self._was_full and self._bytes <= self._buffer_bytes // 4:
            self._was_full = False
            self._on_room()

    def _is_behind(self) -> bool:
        since = self._sending_since
        if since is not None and asyncio.get_running_loop().time() - since > BLOCKED_S:
            return self._bytes > self._buffer_bytes
        return self._bytes > self._buffer_bytes * BURST_FACTOR
