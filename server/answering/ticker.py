"""One clock for the frames of all answers of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

INTERVAL_S = 0.03  # text that a reader sees as flowing, at a third of a frame a token's cost
MAX_INTERVAL_S = 0.1  # past this, text is seen to stutter
LOAD_FACTOR = 4  # a tick may take at most a quarter of the time between two

log = structlog.get_logger("manicule")


class FrameTicker:
    """Calls what was marked, once, at the next tick.

    The time between ticks widens with the work of one tick, so that under load frames grow
    instead of queues.
    """

    def __init__(self) -> None:
        self._marked: dict[Callable[[], None], None] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._interval_s = INTERVAL_S

    def mark(self, flush: Callable[[], None]) -> None:
        """Have `flush` called at the next tick."""
        self._marked[flush] = None
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._interval_s, self._tick)

    def unmark(self, flush: Callable[[], None]) -> None:
        """Take `flush` back."""
        self._marked.pop(flush, None)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._handle = None
        marked, self._marked = self._marked, {}
        started = loop.time()
        for flush in marked:
            try:
                flush()
            except Exception:  # one answer's fault must not hold back the frames of all others
                log.exception("flush_failed")
        took_s = loop.time() - started
        self._interval_s = min(MAX_INTERVAL_S, max(INTERVAL_S, took_s * LOAD_FACTOR))

    def close(self) -> None:
        """Call nothing any more."""
        self._marked.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
