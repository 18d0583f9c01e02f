"""The answers that one socket reads: those asked for on it, and those it took up again."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET

from protocol.codec import error_event
from protocol.errors import EventError
from protocol.messages import Message, ResponseCancel, ResponseResume
from protocol.positions import BEFORE_ALL, Position
from server.answering.resuming import Resuming
from server.answering.topics import Asker, Frame, Reader, Topic
from server.endpoints.outbox import Outbox

MAX_READ = 100
"""Answers that one socket may read at a time."""


class Reading:
    """Moves frames from topics to the outbox as it has room.

    `send` sends other events, `on_end` is called with the id of each answer that was read to its
    end.
    """

    __slots__ = (
        "_is_closed",
        "_on_end",
        "_opening",
        "_outbox",
        "_readers",
        "_resuming",
        "_send",
        "has_room",
    )

    def __init__(
        self,
        resuming: Resuming,
        *,
        send: Callable[[Message], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._resuming = resuming
        self._send = send
        self._on_end = on_end
        self._readers: dict[str, Reader] = {}
        self._opening = 0
        self._is_closed = False
        self._outbox: Outbox | None = None
        self.has_room = False  # for a frame of an answer

    def start(self, outbox: Outbox) -> None:
        """Put frames into `outbox`, which calls `wait` when it is full and `read_on` after it."""
        self._outbox = outbox
        self.has_room = True

    def wait(self) -> None:
        """There is no room."""
        self.has_room = False

    def read(self, topic: Topic, after: Position = BEFORE_ALL) -> None:
        """Read a topic on after a position, in place of an earlier reading of it."""
        known = self._readers.pop(topic.response_id, None)
        if known is not None:
            known.close()
        reader = topic.subscribe(self, after)
        if reader.is_open:
            self._readers[topic.response_id] = reader

    def read_on(self) -> None:
        """There is room again."""
        self.has_room = True
        for reader in tuple(self._readers.values()):
            reader.pump()

    def close(self) -> None:
        """Read and send no more. The answers go on: who read them may come back."""
        self._is_closed = True
        self._outbox = None  # which holds us, as the connection does
        self._send = _drop
        for reader in tuple(self._readers.values()):
            reader.close()
        self._readers.clear()

    def put(self, frame: Frame) -> None:
        """Take a frame of an answer."""
        assert self._outbox is not None
        self._outbox.put(frame.text)
        if frame.ends:
            self._readers.pop(frame.response_id, None)
            self._on_end(frame.response_id)

    async def resume(self, event: ResponseResume, asker: Asker) -> None:
        """Take an answer up again, or say why not."""
        position = Position(event.epoch, event.starting_after)
        if len(self._readers) + self._opening >= MAX_READ:
            message = f"{MAX_READ} answers are being read on this connection"
            self._refuse(event, EventError("too_many_responses", message))
            return
        self._opening += 1
        try:
            found = await self._resuming.open(event.response_id, position, asker)
        except EventError as error:
            self._refuse(event, error)
            return
        finally:
            self._opening -= 1
        if self._is_closed:
            return
        self._send(found.told)
        if found.topic is not None:
            self.read(found.topic, position)

    async def cancel(self, event: ResponseCancel, asker: Asker) -> None:
        """Stop an answer, or say why not."""
        try:
            await self._resuming.cancel(event.response_id, asker)
        except EventError as error:
            self._refuse(event, error)

    def _refuse(self, event: ResponseCancel | ResponseResume, error: EventError) -> None:
        error.response_id = event.response_id
        if event.event_id is not UNSET:
            error.event_id = event.event_id
        self._send(error_event(error))


def _drop(event: Message) -> None:
    """The socket is closed."""
