"""Processes, and the wires between them and what they share.

A wire delays, loses and cuts. What was sent is carried out where it arrives even if its sender is
gone by then, as with any real server; a lost reply is a thing that was done and not confirmed.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from simulated_loop import START_S, SimulatedLoop
from simulated_places import OUTSIDE, PLACE, Place, at

LONGEST_PAUSE_S = 10.0


class World:
    """One run's places and dice. `dice` are apart from those of the schedule."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(f"world {seed}")
        self._empty = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        self.loop = loop

    def start(
        self, place: Place, work: Coroutine[Any, Any, Any], name: str | None = None
    ) -> asyncio.Task[Any]:
        """Run `work` at `place`, in a task."""
        return self.loop.create_task(work, name=name, context=at(place, self._empty.copy()))

    def kill(self, place: Place) -> None:
        """End a process as kill -9 does: none of its code runs any more, cleaning up neither."""
        self.note(f"kill {place.name}")
        place.killed = True
        self.loop.stop_place(place)

    async def pause(self, place: Place, seconds: float) -> None:
        """Stop a process for a while, as SIGSTOP, a debugger or a garbage collector does."""
        self.note(f"pause {place.name} for {seconds:.3f} s")
        self.loop.stop_place(place)
        await asyncio.sleep(seconds)
        if not place.killed:
            self.note(f"resume {place.name}")
            self.loop.resume_place(place)

    async def until(self, check: Callable[[], object], within_s: float) -> None:
        """Wait for a true value of `check`, in the time of the simulation."""
        async with asyncio.timeout(within_s):
            while not check():  # noqa: ASYNC110 - nobody tells; a look costs no time here
                await asyncio.sleep(0.02)

    def expect(self, event: str) -> None:
        """Let an error be logged under this name."""
        self.loop.expected.add(event)

    def note(self, event: str) -> None:
        """Keep what was done to the world, for the message of a failure."""
        self.loop.story.append(f"  {self.loop.time() - START_S:.4f} {event}")

    def chance(self, share: float) -> bool:
        """True in this share of all asks."""
        return self.dice.random() < share


@dataclass(eq=False)
class Wire:
    """The way from one place to something shared.

    `error` makes what a caller gets who has no reply. `lost_requests` and `lost_replies` are
    shares; a cut wire carries nothing either way. A caller without reply hears of it after
    `patience_s`, or at once when the connection was refused.
    """

    world: World
    error: Callable[[], Exception]
    delay_s: tuple[float, float] = (0.0001, 0.002)
    lost_requests: float = 0.0
    lost_replies: float = 0.0
    patience_s: float = 1.0
    is_cut: bool = False

    async def call(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Have `work` done at the other end and return its result, or raise `error`."""
        reply = self.world.loop.create_future()
        self.world.start(OUTSIDE, self._carry(work, reply), "wire")
        return await reply

    async def _carry(self, work: Callable[[], Awaitable[Any]], reply: asyncio.Future) -> None:
        await self._travel()
        if self.is_cut or self.world.chance(self.lost_requests):
            return await self._lose(reply)
        try:
            result, problem = await work(), None
        except Exception as error:
            result, problem = None, error
        await self._travel()
        if self.is_cut or self.world.chance(self.lost_replies):
            return await self._lose(reply)
        if not reply.done():
            reply.set_exception(problem) if problem else reply.set_result(result)
        return None

    async def _travel(self) -> None:
        await asyncio.sleep(self.world.dice.uniform(*self.delay_s))

    async def _lose(self, reply: asyncio.Future) -> None:
        if self.world.chance(0.5):
            await asyncio.sleep(self.patience_s)
        if not reply.done():
            reply.set_exception(self.error())


class Far:
    """A port's object at the other end of a wire: its coroutine methods go over it.

    Those named in `known` have their answer here already.
    """

    def __init__(self, near: object, wire: Wire, *, known: tuple[str, ...] = ()) -> None:
        self._near = near
        self._wire = wire
        self._known = known

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._near, name)
        if name in self._known or not asyncio.iscoroutinefunction(found):
            return found

        def call(*args: object, **options: object) -> Awaitable[Any]:
            return self._wire.call(lambda: found(*args, **options))

        return call


def here() -> Place:
    """The place whose code asks."""
    return PLACE.get()
