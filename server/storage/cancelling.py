"""Cancellation that a client library swallowed."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 5.0
"""Before a task is cancelled again: what it still has to put away takes less."""


def cancelled() -> bool:
    """Tell whether the running task was cancelled, even where a client library swallowed that.

    asyncpg and redis-py have been seen to turn a cancellation that meets a lost connection into an
    error of theirs; a loop that tries again after errors would then never end.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def end_if_cancelled(error: BaseException) -> None:
    """Raise the cancellation that a library turned into `error`, if that is what it was."""
    if cancelled():
        raise asyncio.CancelledError from error


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, again and again until they have ended; what they raised was theirs.

    A loop goes on for ever when a library swallows its cancellation without a trace.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # noted, so that nobody is told that it was never looked at
