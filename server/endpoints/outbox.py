"""What waits to be sent on one socket, bounded in bytes and in time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protocol.errors import CloseCode

# How many times the send buffer may be full before the socket is closed without waiting.
OVERFLOW_FACTOR = 16


@dataclass(frozen=True, slots=True)
class Closing:
    """How the socket is to be closed."""

    code: CloseCode
    reason: str


SLOW = Closing(CloseCode.SLOW_CONSUMER, "the client does not read")


class Outbox:
    """Frames in order, sent by the one task that runs `run`.

    `put` never blocks. A socket that takes nothing for `slow_s` seconds, or falls
    `OVERFLOW_FACTOR` times `buffer_bytes` behind, is slow.
    """

    def __init__(
        self, send: Callable[[str], Awaitable[None]], *, buffer_bytes: int, slow_s: float
    ) -> None:
        self._send = send
        self._max_bytes = buffer_bytes * OVERFLOW_FACTOR
        self._slow_s = slow_s
        self._frames: deque[str] = deque()
        self._bytes = 0
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
        self._frames.append(frame)
        self._bytes += len(frame.encode())
        if self._bytes > self._max_bytes:
            self._frames.clear()
            self._closing = SLOW
        self._changed.set()

    def close(self, code: CloseCode, reason: str) -> None:
        """Close after what is queued."""
        if self._closing is None:
            self._closing = Closing(code, reason)
            self._changed.set()

    async def run(self) -> Closing:
        """Send until the socket is to be closed; return how."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self._bytes -= len(frame.encode())
                try:
                    async with asyncio.timeout(self._slow_s):
                        await self._send(frame)
                except TimeoutError:
                    return SLOW
            if self._closing is not None:
                return self._closing
            self._changed.clear()
            await self._changed.wait()
