"""The events of one answer as this process has them: written once, read by any number."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

import msgspec

from protocol.codec import encode
from protocol.events import TERMINAL_EVENTS, AnyAnswerEvent, ResponseReset
from protocol.positions import BEFORE_ALL, Position

RESET = "response.reset"
BEGUN_ANEW = "the answer was begun anew"
STATUS_OF_KIND = {f"response.{status}": status for status in TERMINAL_EVENTS}
_position = attrgetter("position")


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose answer it is: the principal's name and tenant. Without keys everybody is nobody."""

    name: str = ""
    tenant: str = ""


NOBODY = Asker()


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One event of the answer `response_id` as it is sent. `kind` is its type.

    Nothing follows a frame that `ends`. A process holds hundreds of thousands of these: the garbage
    collector need not look at them.
    """

    response_id: str
    position: Position
    kind: str
    text: str
    ends: bool = False


def frame_of(event: AnyAnswerEvent) -> Frame:
    """Return an event as a frame."""
    position = Position(event.epoch, event.sequence_number)
    kind = str(event.__struct_config__.tag)
    return Frame(event.response_id, position, kind, encode(event), kind in STATUS_OF_KIND)


def reset_frame(response_id: str, position: Position, reason: str) -> Frame:
    """Return the reset that ends an epoch at `position`."""
    return frame_of(
        ResponseReset(
            response_id=response_id,
            epoch=position.epoch,
            sequence_number=position.number,
            reason=reason,
        )
    )


class Sink(Protocol):
    """Where a reader puts frames."""

    @property
    def has_room(self) -> bool:
        """Whether a frame may be put now; `Reader.pump` is to be called when there is again."""
        ...

    def put(self, frame: Frame) -> None:
        """Take a frame."""
        ...


class Topic:
    """The frames of one answer in order, of which the first `released` may be read.

    A frame is released once it is in the log, or at once where there is none. `question` is what
    another node needs to take over; `logged` frames are in the log.
    """

    __slots__ = (
        "asker",
        "frames",
        "logged",
        "question",
        "readers",
        "released",
        "response_id",
        "size",
        "when_attended",
        "when_deserted",
    )

    def __init__(self, response_id: str, asker: Asker, question: bytes = b"") -> None:
        self.response_id = response_id
        self.asker = asker
        self.question = question
        self.frames: list[Frame] = []
        self.released = 0
        self.logged = 0
        self.size = 0
        self.readers: tuple[Reader, ...] = ()
        self.when_deserted: Callable[[], None] = lambda: None
        self.when_attended: Callable[[], None] = lambda: None

    @property
    def last(self) -> Position:
        """The position of the last event."""
        return self.frames[-1].position if self.frames else BEFORE_ALL

    @property
    def last_logged(self) -> Position:
        """The position of the last event that is in the log."""
        return self.frames[self.logged - 1].position if self.logged else BEFORE_ALL

    @property
    def status(self) -> str:
        """`in_progress`, or how the answer ended."""
        kind = self.frames[-1].kind if self.frames else ""
        return STATUS_OF_KIND.get(kind, "in_progress")

    @property
    def has_ended(self) -> bool:
        """Whether the terminal event is there."""
        return bool(self.frames) and self.frames[-1].ends

    @property
    def is_reset(self) -> bool:
        """Whether the present epoch has ended."""
        return bool(self.frames) and self.frames[-1].kind == RESET

    def extend(self, frames: Iterable[Frame]) -> None:
        """Write frames; readers do not see them yet."""
        for frame in frames:
            self.frames.append(frame)
            self.size += len(frame.text)

    def release(self, upto: int) -> None:
        """Let readers see the first `upto` frames."""
        if upto > self.released:
            self.released = upto
            for reader in self.readers:
                reader.pump()

    def forget_unreleased(self) -> None:
        """Take back what no reader has seen."""
        for frame in self.frames[self.released :]:
            self.size -= len(frame.text)
        del self.frames[self.released :]

    def lacks(self, position: Position) -> bool:
        """Whether a reader cannot have come as far as `position`."""
        last = self.last
        return position.epoch > last.epoch or (
            position.epoch == last.epoch and position.number > last.number
        )

    def ends_by(self, position: Position) -> bool:
        """Whether nothing follows a position, now or later."""
        return self.has_ended and position >= self.last

    def subscribe(self, sink: Sink, after: Position = BEFORE_ALL) -> Reader:
        """Have `sink` given every released frame after a position, now and as they come."""
        reader = Reader(self, self._start(after), sink, after)
        self.readers += (reader,)
        self.when_attended()
        reader.pump()
        return reader

    def _start(self, after: Position) -> int:
        """Return where to read on; at the reset for who has read past it in its epoch."""
        index = bisect_right(self.frames, after, key=_position)
        if index:
            before = self.frames[index - 1]
            was_cut = before.kind == RESET and before.position.epoch == after.epoch
            if was_cut and before.position < after:
                return index - 1
        return index


@dataclass(eq=False, slots=True)
class Reader:
    """One place in a topic, moved on as far as its sink has room. `after` is what it has."""

    topic: Topic
    index: int
    sink: Sink
    after: Position
    is_open: bool = field(default=True)

    def pump(self) -> None:
        """Give the sink what there is; the terminal event ends the reading."""
        topic, sink = self.topic, self.sink
        while self.is_open and self.index < topic.released and sink.has_room:
            frame = topic.frames[self.index]
            self.index += 1
            if frame.position <= self.after:  # read already: its writer was ahead of the log
                if frame.kind != RESET:
                    continue
                frame = reset_frame(topic.response_id, self.after.next, BEGUN_ANEW)
            self.after = frame.position
            if frame.ends:
                self.close()
            sink.put(frame)

    def close(self) -> None:
        """Read no more."""
        if self.is_open:
            self.is_open = False
            topic = self.topic
            topic.readers = tuple(one for one in topic.readers if one is not self)
            if not topic.readers:
                topic.when_deserted()


class Topics:
    """The topics at hand. Those that ended are kept for `keep_s` seconds, within `max_bytes`.

    `clock` is a monotonic clock in seconds; `on_drop` is called with a topic that is kept no more.
    """

    def __init__(self, *, keep_s: float, max_bytes: int, clock: Callable[[], float]) -> None:
        self.on_drop: Callable[[Topic], None] = lambda topic: None
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._topics: dict[str, Topic] = {}
        self._ended: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._ended_bytes = 0

    def add(self, topic: Topic) -> None:
        """Have a topic found, as one that has not ended."""
        self.drop(topic)
        self._topics[topic.response_id] = topic

    def get(self, response_id: str) -> Topic | None:
        """Return a topic."""
        self._forget_old()
        return self._topics.get(response_id)

    def retire(self, topic: Topic) -> None:
        """Keep a topic that has ended for those who resume."""
        if topic.response_id in self._ended or topic.response_id not in self._topics:
            return
        self._ended[topic.response_id] = (self._clock() + self._keep_s, topic.size)
        self._ended_bytes += topic.size
        self._forget_old()

    def drop(self, topic: Topic) -> None:
        """Have a topic found no longer."""
        if self._topics.pop(topic.response_id, None) is not None:
            self._ended_bytes -= self._ended.pop(topic.response_id, (0.0, 0))[1]
            self.on_drop(topic)

    def _forget_old(self) -> None:
        now = self._clock()
        while self._ended:
            response_id, (until, _) = next(iter(self._ended.items()))
            if until > now and self._ended_bytes <= self._max_bytes:
                return
            self.drop(self._topics[response_id])
