"""The two deadlines of a model's stream, counted on its events and not on bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from server.llm.port import ModelEvent, TextDelta, UpstreamError


async def within_deadlines(
    events: AsyncGenerator[ModelEvent, None],
    *,
    first_token_timeout_s: float,
    inter_token_timeout_s: float,
) -> AsyncGenerator[ModelEvent, None]:
    """Pass events on; raise `UpstreamError("timeout")` when the next one takes too long.

    The time in which the consumer is busy does not count. A deadline or a close ends the inner
    stream at once, and with it the upstream connection.
    """
    limit_s, waiting_for = first_token_timeout_s, "no first token"
    async with aclosing(events):
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise UpstreamError("timeout", f"{waiting_for} within {limit_s:g} s") from None
            if isinstance(event, TextDelta):
                limit_s, waiting_for = inter_token_timeout_s, "no further token"
            yield event
