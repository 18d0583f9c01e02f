"""One call of the model chain that any number of answers read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from server.llm.chain import ChainEvent


class ModelRun:
    """Reads `events` once and lets every reader see all of them from the first on.

    The call ends when its last reader leaves, so that nobody pays for text that nobody reads.
    `on_done` is called once, when the call has ended in whichever way.
    """

    def __init__(
        self, events: AsyncGenerator[ChainEvent, None], on_done: Callable[[ModelRun], None]
    ) -> None:
        self._source = events
        self._on_done = on_done
        self._seen: list[ChainEvent] = []
        self._error: BaseException | None = None
        self._ended = False
        self._grew = asyncio.Event()
        self._readers = 0
        self._closing = False
        self._task = asyncio.create_task(self._drive(), name="model-run")

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
        if self._readers == 0 and not self._ended:
            self._closing = True
            self._task.cancel()

    async def read(self) -> AsyncGenerator[ChainEvent, None]:
        """Yield every event from the first on; raises what the call raised."""
        position = 0
        while True:
            while position < len(self._seen):
                yield self._seen[position]
                position += 1
            if self._ended:
                break
            await self._grew.wait()
        if self._error is not None:
            raise self._error

    async def _drive(self) -> None:
        try:
            async for event in self._source:
                self._seen.append(event)
                self._wake()
        except BaseException as error:
            self._error = error
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._ended = True
            self._wake()
            self._on_done(self)
            await self._source.aclose()

    def _wake(self) -> None:
        self._grew.set()
        self._grew = asyncio.Event()

    async def aclose(self) -> None:
        """End the call and wait until the upstream is closed."""
        self._task.cancel()
        await asyncio.wait([self._task])
