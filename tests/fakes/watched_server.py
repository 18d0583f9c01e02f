"""`manicule`, with each callback of its event loop measured; also with a planted blocking call.

A callback that holds the loop for more than `LIMIT_S` becomes a line `callback_too_long` in the
log. What counts is the time in which the thread ran or slept, not the time in which it stood in the
kernel's queue for a processor (`schedstat`), so that other work on the machine does not count.
The loop is asyncio's own, for uvloop's callbacks cannot be measured.

With `--plant S` before the command a search for `PLANTED` sleeps S seconds, as a careless call
would.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path

import structlog

from server.__main__ import main
from server.manuals.search import ProductSearch

LIMIT_S = 0.05
PLANTED = "planted"

log = structlog.get_logger("manicule")


class QueueClock:
    """How long the calling thread has waited for a processor so far, in seconds."""

    def __init__(self) -> None:
        path = Path("/proc/self/task") / str(threading.get_native_id()) / "schedstat"
        self._file = os.open(path, os.O_RDONLY)

    def read(self) -> float:
        return int(os.pread(self._file, 100, 0).split()[1]) / 1e9


def watch_callbacks() -> None:
    """Measure every callback of loops that run in this thread."""
    run, waited, owner = asyncio.events.Handle._run, QueueClock().read, threading.get_ident()

    def measured(handle: asyncio.Handle) -> None:
        if threading.get_ident() != owner:
            run(handle)
            return
        began, queued = time.perf_counter(), waited()
        try:
            run(handle)
        finally:
            held_s = time.perf_counter() - began - (waited() - queued)
            if held_s > LIMIT_S:
                log.error("callback_too_long", ms=round(held_s * 1000), callback=name_of(handle))

    asyncio.events.Handle._run = measured  # type: ignore[method-assign]


def name_of(handle: asyncio.Handle) -> str:
    """The coroutine or the function that a callback belongs to."""
    callback = handle._callback  # type: ignore[attr-defined]
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return f"{owner.get_name().split('-')[0]}: {owner.get_coro().__qualname__}"
    return getattr(callback, "__qualname__", repr(type(callback)))


def plant(seconds: float) -> None:
    """Make a search for `PLANTED` hold the loop."""
    search = ProductSearch.search

    def careless(self: ProductSearch, query: str, limit: int) -> object:
        if query == PLANTED:
            time.sleep(seconds)
        return search(self, query, limit)

    ProductSearch.search = careless  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.modules["uvloop"] = None  # type: ignore[assignment]
    if sys.argv[1] == "--plant":
        plant(float(sys.argv[2]))
        del sys.argv[1:3]
    watch_callbacks()
    main()
