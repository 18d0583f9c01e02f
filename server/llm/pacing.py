"""When to look for more text: one timing wheel for all streams of the process.

A stream that has given text leaves its source alone for a while. What comes meanwhile gathers
where it costs nothing, in the socket's buffer or in the script, and is then read, parsed and sent
once instead of token by token.
"""

from __future__ import annotations

import asyncio
from typing import Final

INTERVAL_S: Final = 0.04
"""Text at 25 frames a second is seen as flowing, and costs half of a frame for each token."""

MAX_INTERVAL_S: Final = 0.1
"""Past this, text is seen to stutter."""

SLOT_S: Final = 0.005
"""Streams whose turns fall into the same slot wake together: a timer for all of them, and work in
small portions spread over the interval."""

LATE_S: Final = 0.004
"""A slot that comes later than this finds the process busy."""

WIDEN: Final = 1.05
NARROW: Final = 0.995
"""What a late slot and a punctual one do to the interval: it doubles in 15 late slots and takes a
second to come back."""


class TimingWheel:
    """Gives each stream its turns, `interval_s` apart and more when the process is behind.

    Under load frames grow instead of queues. The structure is that of Varghese and Lauck, "Hashed
    and hierarchical timing wheels" (1987), with a dictionary for the slots in use.
    """

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._least_s = interval_s
        self.interval_s = interval_s
        self._slots: dict[int, list[asyncio.Future[None]]] = {}

    def turn(self) -> asyncio.Future[None]:
        """Return what is done when the caller's next turn has come."""
        loop = asyncio.get_running_loop()
        slot = int((loop.time() + self.interval_s) / SLOT_S)
        waiting = self._slots.get(slot)
        if waiting is None:
            waiting = self._slots[slot] = []
            loop.call_at(slot * SLOT_S, self._wake, slot, loop)
        future: asyncio.Future[None] = loop.create_future()
        waiting.append(future)
        return future

    def _wake(self, slot: int, loop: asyncio.AbstractEventLoop) -> None:
        for future in self._slots.pop(slot):
            if not future.done():
                future.set_result(None)
        if loop.time() - slot * SLOT_S > LATE_S:
            self.interval_s = min(self.interval_s * WIDEN, max(MAX_INTERVAL_S, self._least_s))
        else:
            self.interval_s = max(self.interval_s * NARROW, self._least_s)
