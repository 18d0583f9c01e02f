"""A limit for each of many waits, at almost no cost for those that keep it."""

from __future__ import annotations

import asyncio


class Patience:
    """Cancels the running task when a wait between `begin` and `end` lasts too long.

    `asyncio.timeout` makes and cancels a timer for every wait. Here one timer is looked after only
    when it fires, which is rare: each wait costs two assignments. After a `CancelledError`,
    `ran_out` tells whether it was this that ended the wait. Waits come one after the other, in one
    task, or in another when that one has ended. To be closed at the end.
    """

    __slots__ = (
        "_cancelling",
        "_fired",
        "_fires_s",
        "_loop",
        "_task",
        "_timer",
        "_until_s",
    )

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._until_s: float | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None
        self._fires_s = 0.0
        self._fired = False

    def begin(self, until_s: float) -> None:
        """Wait from here on, until that time of the loop's clock at most."""
        if self._task is None or self._task.done():
            self._task = asyncio.current_task(self._loop)
            assert self._task is not None
            self._cancelling = self._task.cancelling()
        self._until_s = until_s
        if self._timer is None or self._fires_s > until_s:
            self._set_timer(until_s)

    def end(self) -> None:
        """The wait is over."""
        self._until_s = None

    def ran_out(self) -> bool:
        """Whether the cancellation was this one's, and nobody else wants the task cancelled."""
        if not self._fired or self._task is None:
            return False
        self._fired = False
        return self._task.uncancel() <= self._cancelling

    def close(self) -> None:
        """Need the timer no more."""
        self._until_s = self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_s = at_s
        self._timer = self._loop.call_at(at_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._until_s is None or self._task is None:
            return
        if self._until_s > self._fires_s:
            self._set_timer(self._until_s)
        else:
            self._fired = True
            self._task.cancel()
