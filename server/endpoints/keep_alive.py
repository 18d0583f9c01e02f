"""Signs of life on a stream of events, for proxies that close what is silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

EVERY_S: Final = 15.0
"""Proxies give up after 30 to 60 s; a queue or a slow model may be silent for longer."""

COMMENT: Final = ": keep-alive\n\n"


async def with_keep_alive(
    events: AsyncIterator[str], every_s: float = EVERY_S
) -> AsyncIterator[str]:
    """Yield `events`, and a comment, which clients skip, after each `every_s` seconds without.

    The wait for the next event goes on meanwhile; it is cancelled when this is closed.
    """
    following = asyncio.ensure_future(anext(events))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=every_s)
            if not done:
                yield COMMENT
                continue
            try:
                yield following.result()
            except StopAsyncIteration:
                return
            following = asyncio.ensure_future(anext(events))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
