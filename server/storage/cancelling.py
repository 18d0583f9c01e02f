"""Cancellation that a client library swallowed."""

from __future__ import annotations

import asyncio


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
