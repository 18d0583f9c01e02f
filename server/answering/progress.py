"""Reading a manual reports every page; a client needs to see it move, not every page."""

from __future__ import annotations

from collections.abc import Callable

from server.manuals.library import Progress

MIN_INTERVAL_S = 0.1  # ten reports a second are motion


class ProgressGate:
    """Passes on the first report of a stage, the last, and at most ten a second between."""

    def __init__(self, report: Callable[[Progress], None], clock: Callable[[], float]) -> None:
        self._report = report
        self._clock = clock
        self._stage: str | None = None
        self._next_at = 0.0

    def __call__(self, progress: Progress) -> None:
        """Take one report."""
        now = self._clock()
        is_first = progress.stage != self._stage
        is_last = progress.total is not None and progress.done >= progress.total
        if is_first or is_last or now >= self._next_at:
            self._stage = progress.stage
            self._next_at = now + MIN_INTERVAL_S
            self._report(progress)
