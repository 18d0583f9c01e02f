"""The two deadlines of a model's stream, counted on its events and not on bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing

from server.llm.pacing import TimingWheel
from server.llm.patience import Patience
from server.llm.port import ModelEvent, TextDelta, UpstreamError


async def within_deadlines(
    events: AsyncGenerator[ModelEvent, None],
    *,
    first_token_timeout_s: float,
    inter_token_timeout_s: float,
    pace: TimingWheel | None = None,
) -> AsyncGenerator[ModelEvent, None]:
    """Pass events on; raise `UpstreamError("timeout")` when the next one takes too long.

    The time in which the consumer is busy does not count, nor that which `pace` leaves between
    two texts; behind the last one it leaves none. A deadline or a close ends the inner stream at
    once, and with it the upstream connection.
    """
    limit_s, waiting_for = first_token_timeout_s, "no first token"
    loop = asyncio.get_running_loop()
    async with aclosing(events):
        with closing(Patience()) as patience:
            while True:
                patience.begin(loop.time() + limit_s)
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
                except asyncio.CancelledError:
                    if not patience.ran_out():
                        raise
                    message = f"{waiting_for} within {limit_s:g} s"
                    raise UpstreamError("timeout", message) from None
                patience.end()
                yield event
                if isinstance(event, TextDelta):
                    limit_s, waiting_for = inter_token_timeout_s, "no further token"
                    if pace is not None and not event.is_last:
                        await pace.turn()
