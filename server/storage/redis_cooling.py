"""Models at rest across a fleet: a Redis key for each that lapses when the rest is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from server.storage.faults import StorageError

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient

PREFIX = "manicule:cooling:"

WAIT_S = 0.1
"""Longest wait for the word of the fleet. It stands before every call of a model, so a Redis that
is slow costs this much until its breaker opens, and then nothing."""


class RedisCooling:
    """The rests of a fleet, see `server.llm.cooling.Cooling`; without Redis those of this process.

    `client` should wait `WAIT_S` at most. `clock` is monotonic seconds.
    """

    def __init__(self, client: RedisClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._until: dict[str, float] = {}

    async def cool(self, model: str, seconds: float) -> None:
        """Note the rest here, then tell the fleet.

        `NX` begins a rest and `GT` prolongs one, so that of two nodes the longer wish holds. A
        Redis before 7.0 has no `GT`: there the first wish holds, and ours in this process.
        """
        self._until[model] = max(self._until.get(model, 0.0), self._clock() + seconds)
        key, left_ms = PREFIX + model, max(1, round(seconds * 1000))
        try:
            await self._client.pipeline(
                [("SET", key, "1", "NX", "PX", left_ms), ("PEXPIRE", key, left_ms, "GT")]
            )
        except StorageError:
            return

    async def left(self, models: Sequence[str]) -> dict[str, float]:
        """Ask the fleet, and add what this process knows."""
        now = self._clock()
        rests = {model: self._until.get(model, 0.0) - now for model in models}
        try:
            replies = await self._client.pipeline([("PTTL", PREFIX + model) for model in models])
        except StorageError:
            replies = []
        for model, reply in zip(models, replies, strict=False):
            if isinstance(reply, int):
                rests[model] = max(rests[model], reply / 1000)
        return {model: left for model, left in rests.items() if left > 0}
