"""A task in the background that is not left to itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from server.storage.cancelling import end_tasks

log = structlog.get_logger()


class SupervisedTask:
    """Runs `work` from `start` to `aclose` as the task `name`.

    A fault of ours that ends it before is logged, and `on_fatal` is told.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Coroutine[Any, Any, None]],
        on_fatal: Callable[[str], None],
    ) -> None:
        self._name = name
        self._work = work
        self._on_fatal = on_fatal
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start; call it in the running event loop."""
        self._task = asyncio.create_task(self._work(), name=self._name)
        self._task.add_done_callback(self._ended)

    async def aclose(self) -> None:
        """End it at once, wherever it is."""
        if self._task is not None:
            await end_tasks(self._task)
            self._task = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", task=self._name, exc_info=error)
            self._on_fatal(f"{self._name} ended: {error!r}")
