"""Signs of life on a stream of events, for proxies that close what is silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

EVERY_S: Final = 15.0
"""Proxies give up after 30 to 60 s; a queue or a slow model may be silent for longer."""

COMMENT: Final = ": keep-alive\n\n"


LOOK_S: Final = 2.0
"""Between looks at whether the stream may go on."""


async def with_keep_alive(
    events: AsyncIterator[str],
    every_s: float = EVERY_S,
    may_go_on: Callable[[], bool] = lambda: True,
) -> AsyncIterator[str]:
    """Yield `events`, and a comment, which clients skip, after each `every_s` seconds without.

    Ends early when `may_go_on` says so, which is asked before each event and every `LOOK_S`. The
    wait for the next event goes on meanwhile; it is cancelled when this is closed.
    """
    loop = asyncio.get_running_loop()
    following = asyncio.ensure_future(anext(events))
    spoke = loop.time()
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=min(every_s, LOOK_S))
            if not may_go_on():
                return
            if done:
                try:
                    event = following.result()
                except StopAsyncIteration:
                    return
                yield event
                following = asyncio.ensure_future(anext(events))
            elif loop.time() - spoke < every_s:
                continue
            else:
                yield COMMENT
            spoke = loop.time()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
