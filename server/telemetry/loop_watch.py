"""Sees when the event loop is held up, and by what."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from types import FrameType

import structlog

from server.telemetry.metrics import Metrics

log = structlog.get_logger("manicule")

BEAT_S = 0.025  # between two looks at the clock in the loop: 40 callbacks a second cost nothing
BLOCKED_S = 0.05  # later than this is counted: it would show in the smoothness of an answer
STACK_S = 1.0  # from here on the stack is logged, while the loop is still held up
LOOK_S = 0.25  # between two looks of the thread
MAX_FRAMES = 30  # the innermost ones, so that a line of the log stays a line


class LoopWatch:
    """A beat in the loop that measures its own lateness, and a thread that misses the beat.

    `start` is called in the loop that is watched and in its thread; `close` likewise. The stack is
    that of the loop's thread at one moment, names of files and functions and no values. When the
    thread itself could not run, the whole process was stopped or starved, or a call in C kept the
    interpreter's lock: that is told as `process_stalled`, for no stack would say who did it.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._watched = threading.get_ident()
        self._beat_at = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._beat_at = time.monotonic()
        self._timer = self._loop.call_later(BEAT_S, self._beat)
        self._thread.start()

    def close(self) -> None:
        """End the beat and the thread."""
        self._timer.cancel()
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        now = time.monotonic()
        late_s = max(0.0, now - self._beat_at - BEAT_S)
        self._beat_at = now
        self._metrics.observe("event_loop_lag_seconds", late_s)
        if late_s > BLOCKED_S:
            self._metrics.count("event_loop_blocked_total")
        self._timer = self._loop.call_later(BEAT_S, self._beat)

    def _watch(self) -> None:
        told_of, looked_at = None, time.monotonic()
        while not self._ended.wait(LOOK_S):
            now, before = time.monotonic(), looked_at
            looked_at, beat_at = now, self._beat_at
            if now - before >= STACK_S:
                log.warning("process_stalled", seconds=round(now - before, 3))
            elif now - beat_at >= STACK_S and beat_at != told_of:
                told_of = beat_at
                stack = _describe(sys._current_frames().get(self._watched))
                log.error("event_loop_blocked", seconds=round(now - beat_at, 3), stack=stack)


def _describe(frame: FrameType | None) -> list[str]:
    """Return the frames from the outside in, one text each."""
    inside_out = traceback.StackSummary.extract(
        traceback.walk_stack(frame), limit=MAX_FRAMES, lookup_lines=False
    )
    return [f"{one.filename}:{one.lineno} in {one.name}" for one in reversed(inside_out)]
