"""Work that many wait for and one does, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from server.manuals.sources import OnProgress, Progress

T = TypeVar("T")
Work = Callable[[OnProgress], Awaitable[T]]

REPORT_EVERY_S = 0.05
"""Progress reaches the waiters at most this often: a thousand of them hear of each page."""

log = structlog.get_logger()


class WorkStoppedError(Exception):
    """The work was cancelled, not its waiter: the process is stopping."""


class Flight(Generic[T]):
    """One piece of work as a task of its own; a waiter that is cancelled leaves it running."""

    def __init__(self, name: str, work: Work[T]) -> None:
        self._listeners: list[OnProgress] = []
        self._last: Progress | None = None
        self._told_at = 0.0
        self.task: asyncio.Task[T] = asyncio.create_task(self._run(work), name=name)

    async def result(self, on_progress: OnProgress) -> T:
        """Wait for the work, hearing of its progress.

        Raises what the work raised, and `WorkStoppedError` when it was cancelled.
        """
        if self._last is not None:
            on_progress(self._last)
        self._listeners.append(on_progress)
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            if waiter is not None and waiter.cancelling():
                raise
            raise WorkStoppedError from None
        finally:
            self._listeners.remove(on_progress)

    async def _run(self, work: Work[T]) -> T:
        return await work(self._report)

    def _report(self, progress: Progress) -> None:
        last, self._last = self._last, progress
        at = asyncio.get_running_loop().time()
        news = last is None or last.stage != progress.stage or progress.done == progress.total
        if not news and at < self._told_at + REPORT_EVERY_S:
            return
        self._told_at = at
        for listener in tuple(self._listeners):
            try:
                listener(progress)
            except Exception:  # one waiter's fault must not end the work of all
                log.exception("progress_listener_failed")


class Flights(Generic[T]):
    """The flights under way, by key."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight[T]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._flights

    def join(self, key: str, work: Work[T]) -> Flight[T]:
        """The flight of this key, started with `work` if there is none."""
        flight = self._flights.get(key)
        if flight is None:
            flight = Flight(f"manual-{key}", work)
            self._flights[key] = flight
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        return flight

    async def aclose(self) -> None:
        """Cancel all and wait for them."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: str, task: asyncio.Task[T]) -> None:
        self._flights.pop(key, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("manual_work_failed", key=key, exc_info=task.exception())
