"""What a failure shows: where coroutines wait, and what a callback is."""

from __future__ import annotations

import asyncio
from asyncio import events


def where(coro) -> str:
    """The lines at which a coroutine waits, outermost first."""
    places = []
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "ag_frame", None)
        if frame is not None:
            name = frame.f_code.co_filename.rpartition("/")[2]
            places.append(f"{frame.f_code.co_qualname} ({name}:{frame.f_lineno})")
        coro = getattr(coro, "cr_await", None) or getattr(coro, "ag_await", None)
    return " > ".join(places)


def label(handle: events.Handle) -> str:
    callback = handle._callback
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return f"{task.get_name()} {getattr(task.get_coro(), '__qualname__', '')}"
    return getattr(callback, "__qualname__", repr(callback))
