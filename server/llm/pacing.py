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

LATE_S: Final = 0.005
"""A slot that comes later than this finds the process busy."""

PERIOD_S: Final = 0.1
WIDEN: Final = 1.15
NARROW: Final = 0.95
"""Once a period the interval is widened when most slots were late, else narrowed: it doubles in
half a second of overload, and one hiccup moves it little."""


class TimingWheel:
    """Gives each stream its turns, `interval_s` apart and more when the process is behind.

    Under load frames grow instead of queues. The structure is that of Varghese and Lauck, "Hashed
    and hierarchical timing wheels" (1987), with a dictionary for the slots in use.
    """

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._least_s = interval_s
        self.interval_s = interval_s
        self._slots: dict[int, list[asyncio.Future[None]]] = {}
        self._period_ends_s = 0.0
        self._late = self._punctual = 0

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
        now = loop.time()
        if now - slot * SLOT_S > LATE_S:
            self._late += 1
        else:
            self._punctual += 1
        if now >= self._period_ends_s:
            self._adapt(now)

    def _adapt(self, now: float) -> None:
        if self._late > self._punctual:
            self.interval_s = min(self.interval_s * WIDEN, max(MAX_INTERVAL_S, self._least_s))
        else:
            self.interval_s = max(self.interval_s * NARROW, self._least_s)
        self._late = self._punctual = 0
        self._period_ends_s = now + PERIOD_S
