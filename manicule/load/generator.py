"""The load itself: questions when they are due, over all sockets in turn."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from random import Random

from manicule.load.figures import Figures, Summary
from manicule.load.plan import LoadPlan, arrivals
from manicule.load.socket import LoadSocket

OPENING_AT_ONCE = 50
"""Sockets that are opened at the same time: the load is the questions, not the handshakes."""


class Generator:
    """Makes the load of a plan; `on_tick` is called twice a second with the figures so far."""

    def __init__(
        self, plan: LoadPlan, *, on_tick: Callable[[Figures, float], None] = lambda f, s: None
    ) -> None:
        self._plan = plan
        self._on_tick = on_tick
        self._dice = Random(plan.seed)  # noqa: S311 - load, not secrets
        self.figures = Figures()
        self._numbers = itertools.count()
        self._run = secrets.token_hex(4)
        self._started = 0.0

    async def run(self) -> Summary:
        """Open the sockets, make the load, wait for the last answers; return what came of it.

        Raises `CannotConnectError` when a socket cannot be opened at the start.
        """
        plan = self._plan
        sockets = [LoadSocket(plan, self.figures, self._dice) for _ in range(plan.connections)]
        idlers = [LoadSocket(plan, self.figures, self._dice) for _ in range(plan.slow_readers)]
        turns = asyncio.Semaphore(OPENING_AT_ONCE)
        try:
            await asyncio.gather(*(self._open(one, turns) for one in (*sockets, *idlers)))
            cpu, self._started = time.process_time(), time.perf_counter()
            await self._make_load(sockets, idlers)
            elapsed, used = time.perf_counter() - self._started, time.process_time() - cpu
        finally:
            await asyncio.gather(*(one.aclose() for one in (*sockets, *idlers)))
        return self.figures.summary(duration_s=elapsed, cpu_s=used)

    async def _open(self, socket: LoadSocket, turns: asyncio.Semaphore) -> None:
        async with turns:
            await socket.open()

    async def _make_load(self, sockets: list[LoadSocket], idlers: list[LoadSocket]) -> None:
        side = [
            asyncio.create_task(self._tick(), name="load-tick"),
            *(asyncio.create_task(one.ask_and_be_slow(self._question())) for one in idlers),
        ]
        if self._plan.reconnect_every_s:
            side.append(asyncio.create_task(self._cut(sockets), name="load-cuts"))
        try:
            await self._ask_all(sockets)
            await self._drain(sockets)
        finally:
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)

    async def _ask_all(self, sockets: list[LoadSocket]) -> None:
        turn = itertools.cycle(sockets)
        for due in arrivals(self._plan, self._dice):
            at = self._started + due
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            self.figures.send_late_s.append(max(0.0, time.perf_counter() - at))
            await next(turn).ask(self._question(), at)
        await asyncio.sleep(max(0.0, self._started + self._plan.duration_s - time.perf_counter()))

    def _question(self) -> dict[str, str]:
        number, plan = next(self._numbers), self._plan
        return {
            "type": "response.create",
            "event_id": f"load-{number}",
            "product_id": plan.products[number % len(plan.products)],
            # The end keeps answers from being shared: each question is a question of its own.
            "input": f"{plan.questions[number % len(plan.questions)]} ({self._run}-{number})",
        }

    async def _drain(self, sockets: list[LoadSocket]) -> None:
        deadline = time.perf_counter() + self._plan.drain_s
        while time.perf_counter() < deadline:
            if not any(one.is_busy for one in sockets):
                return
            await asyncio.sleep(0.02)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self._on_tick(self.figures, time.perf_counter() - self._started)

    async def _cut(self, sockets: list[LoadSocket]) -> None:
        while True:
            await asyncio.sleep(self._plan.reconnect_every_s)
            await self._dice.choice(sockets).reconnect()
