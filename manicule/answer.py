"""One answer as it comes: an iterator of events that ends with the terminal one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from manicule.decoding import TERMINAL, Object, answer_event
from manicule.errors import ConnectionLostError, Error
from protocol.events import (
    AnyAnswerEvent,
    FinalResponse,
    OutputTextDelta,
    ResponseCancelled,
    ResponseCompleted,
    ResponseFailed,
    ResponseIncomplete,
    ResponseReset,
)

MAX_UNREAD_BYTES: Final = 16 * 2**20
"""What an answer that nobody reads may hold: many times a long answer. Then it ends in an error,
so that the connection's other answers go on."""

Canceller = Callable[["Answer"], Awaitable[None]]


class Answer:
    """An answer to one question; the client makes it.

        async for event in answer:
            ...
        final = answer.response

    Iterating yields the protocol's events, `response.created` first and the terminal event last,
    and raises `Error` when the server refused and `ConnectionLostError` when the connection ended
    first. As a context manager it cancels what still runs when its block is left.
    """

    def __init__(self, cancel: Canceller) -> None:
        self.id: str | None = None
        self.text = ""
        self.is_resumable = False
        self.position: tuple[int, int] | None = None
        self._cancel = cancel
        self._response: FinalResponse | None = None
        self._unread: deque[tuple[Object, int]] = deque()
        self._unread_bytes = 0
        self._error: Error | None = None
        self._is_whole = False
        self._arrived = asyncio.Event()
        self._known = asyncio.Event()

    @property
    def response(self) -> FinalResponse:
        """The final facts, once the terminal event was yielded; before that, `RuntimeError`."""
        if self._response is None:
            raise RuntimeError("the answer has no final facts before its terminal event")
        return self._response

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes from the server, read or not."""
        return self._is_whole or self._error is not None

    async def cancel(self) -> None:
        """Ask the server to stop; the terminal event (`response.cancelled`) still comes."""
        await self._known.wait()
        if self.id is not None and not self.is_over:
            await self._cancel(self)

    def __aiter__(self) -> AsyncIterator[AnyAnswerEvent]:
        return self._events()

    async def objects(self) -> AsyncIterator[Object]:
        """Yield the events as the JSON objects they came as, a newer server's additions included.

        Leaves `text` and `response` alone; use this or plain iteration, not both.
        """
        while True:
            while not self._unread:
                if self._error is not None:
                    raise self._error
                if self._is_whole:
                    return
                self._arrived.clear()
                await self._arrived.wait()
            obj, size = self._unread.popleft()
            self._unread_bytes -= size
            yield obj

    async def _events(self) -> AsyncIterator[AnyAnswerEvent]:
        async for obj in self.objects():
            event = answer_event(obj)
            if event is not None:
                self._note(event)
                yield event

    def _note(self, event: AnyAnswerEvent) -> None:
        match event:
            case OutputTextDelta():
                self.text += event.delta
            case ResponseReset():
                self.text = ""
            case (
                ResponseCompleted() | ResponseIncomplete() | ResponseFailed() | ResponseCancelled()
            ):
                self._response = event.response
                self.text = event.response.output_text

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.is_over:
            await self.cancel()

    # For the connection

    def begin(self, response_id: str, *, is_resumable: bool) -> None:
        """Note the id that the server gave."""
        self.id = response_id
        self.is_resumable = is_resumable
        self._known.set()

    def push(self, obj: Object, size: int) -> None:
        """Take an event of `size` bytes; one that was taken before is passed over."""
        if self.is_over or not self._advance(obj):
            return
        if self._unread_bytes + size > MAX_UNREAD_BYTES:
            self.fail(Error("overloaded", "The answer was not read while it came; ask again"))
            return
        self._unread.append((obj, size))
        self._unread_bytes += size
        if obj["type"] in TERMINAL:
            self._is_whole = True
        self._arrived.set()

    def fail(self, error: Error) -> None:
        """End with `error` after what came before it."""
        if not self.is_over:
            self._error = error
        self._known.set()
        self._arrived.set()

    def _advance(self, obj: Object) -> bool:
        """Move on to the event's position; False when we were there."""
        epoch, number = obj.get("epoch"), obj.get("sequence_number")
        if isinstance(epoch, int) and isinstance(number, int):
            if self.position is not None and (epoch, number) <= self.position:
                return False
            self.position = (epoch, number)
        return True


def lost(error: ConnectionLostError) -> ConnectionLostError:
    """Return one of its own for each who waited: a shared one would collect their tracebacks."""
    return ConnectionLostError(error.message, error.close_code)
