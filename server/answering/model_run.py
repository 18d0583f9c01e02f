"""One call of the model chain that any number of answers read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from server.answering.admission import Place
from server.llm.chain import ChainEvent, Reset
from server.llm.port import Finish

Take = Callable[[ChainEvent], bool]
"""What a reader does with an event, at once; true when it needs no more."""


class _Reading:
    """One reader's place at a call that still runs."""

    __slots__ = ("_is_over", "_take", "ended", "has_enough")

    def __init__(self, take: Take) -> None:
        self._take = take
        self._is_over = False
        self.ended = asyncio.get_running_loop().create_future()
        self.has_enough = False

    def see(self, event: ChainEvent) -> None:
        """Let the reader take an event."""
        if self._is_over:
            return
        try:
            self.has_enough = self._take(event)
        except Exception as error:  # noqa: BLE001 - it is raised where the reading is awaited
            self._end(error)
        else:
            if self.has_enough:
                self._end()

    def end(self) -> None:
        """Nothing follows."""
        if not self._is_over:
            self._end()

    def _end(self, error: Exception | None = None) -> None:
        self._is_over = True
        if self.ended.done():  # cancelled with the task that waits for it
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


class ModelRun:
    """Reads `events` once and lets every reader see all that count from the first on.

    It begins when `place` has its slot, and gives the place up at its end.
    The call ends when its last reader leaves, so that nobody pays for text that nobody reads; one
    that has said its `Finish` is left to give back its connection. `on_done` is called once, when
    the call has ended in whichever way.
    """

    __slots__ = (
        "_closing",
        "_ended",
        "_error",
        "_finished",
        "_on_done",
        "_readers",
        "_readings",
        "_seen",
        "_source",
        "_task",
        "place",
    )

    def __init__(
        self,
        events: AsyncGenerator[ChainEvent, None],
        on_done: Callable[[ModelRun], None],
        place: Place,
    ) -> None:
        self.place = place
        self._source = events
        self._on_done = on_done
        self._seen: list[ChainEvent] = []
        self._error: BaseException | None = None
        self._ended = False
        self._finished = False
        self._readings: tuple[_Reading, ...] = ()
        self._readers = 0
        self._closing = False
        self._task = asyncio.create_task(self._drive(), name="model-run")
        self._task.add_done_callback(self._settle)

    @property
    def succeeded(self) -> bool:
        """Whether the call came to its own end."""
        return self._ended and self._error is None

    @property
    def seen(self) -> tuple[ChainEvent, ...]:
        """What has come so far."""
        return tuple(self._seen)

    @property
    def joinable(self) -> bool:
        """Whether another answer may still read this call from its start."""
        return not self._closing and self._error is None

    def join(self) -> None:
        """Become a reader; the call goes on until as many `leave` as have joined."""
        self._readers += 1

    def leave(self) -> None:
        """Stop being a reader."""
        self._readers -= 1
        if self._readers == 0 and not self._finished:
            self._closing = True
            self._task.cancel()

    async def read(self, take: Take) -> None:
        """Have `take` called with every event from the first on, those to come as they come.

        Returns when the call has ended, or `take` has had enough. What a reset has made void before
        the reading began is left out. Raises what the call raised, and what `take` did.
        """
        resets = [index for index, event in enumerate(self._seen) if isinstance(event, Reset)]
        for event in self._seen[resets[-1] + 1 if resets else 0 :]:
            if take(event):
                return
        if not self._ended:
            reading = _Reading(take)
            self._readings += (reading,)
            try:
                await reading.ended
            finally:
                self._readings = tuple(one for one in self._readings if one is not reading)
            if reading.has_enough:
                return
        if self._error is not None:
            raise self._error

    async def _drive(self) -> None:
        await self.place.wait()
        async with aclosing(self._source) as events:
            async for event in events:
                self._seen.append(event)
                self._finished = self._finished or isinstance(event, Finish)
                for reading in self._readings:
                    reading.see(event)

    def _settle(self, task: asyncio.Task[None]) -> None:
        # A callback, since a task that is cancelled before its first step runs none of its code.
        self._error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._ended = True
        self.place.leave()
        for reading in self._readings:
            reading.end()
        self._on_done(self)

    async def aclose(self) -> None:
        """End the call and wait until the upstream is closed."""
        self._task.cancel()
        await asyncio.wait([self._task])
