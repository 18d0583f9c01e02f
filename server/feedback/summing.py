"""Summing up days that are over, now and then, so that counts of long times stay quick."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from server.feedback.supervised import SupervisedTask
from server.storage.cancelling import cancelled
from server.storage.store import RowRefusedError, Store, StoreUnavailableError

log = structlog.get_logger()

PAUSE_S = 600.0
"""Between two looks: a day that is over is summed up some minutes later, which nobody waits for."""

DAY_S = 86_400


class Summing:
    """Asks `store` to sum up, about every `pause_s`; several nodes may.

    `wall_clock` gives Unix seconds, `dice` a number in 0..1. A store that is away is asked again
    after the next pause. `on_fatal` is told when the loop ended by a fault of ours.
    """

    def __init__(
        self,
        store: Store,
        *,
        pause_s: float = PAUSE_S,
        wall_clock: Callable[[], float] = time.time,
        dice: Callable[[], float] = random.random,
        on_fatal: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._store = store
        self._pause_s = pause_s
        self._wall_clock = wall_clock
        self._dice = dice
        self._task = SupervisedTask("feedback-summing", self._run, on_fatal)

    def start(self) -> None:
        """Start; call it in the running event loop."""
        self._task.start()

    async def aclose(self) -> None:
        """End at once; what was summed up stays."""
        await self._task.aclose()

    async def _run(self) -> None:
        while not cancelled():
            # First, too: nodes that start together do not all begin with it.
            await asyncio.sleep(self._pause_s * (1 + self._dice()) / 2)
            try:
                spans = await self._store.sum_up(int(self._wall_clock() // DAY_S))
            except (StoreUnavailableError, RowRefusedError) as error:
                log.warning("summing_failed", reason=str(error))
            else:
                if spans:
                    log.info("days_summed_up", spans=spans)
