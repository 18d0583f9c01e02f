"""Where the frames of answers go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from server.answering.topics import Frame, Topic


class Publisher(Protocol):
    """Where frames go: into the topic, and with a log through it (see `LogWriter`)."""

    @property
    def is_healthy(self) -> bool:
        """Whether what is published can be resumed."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether another node can go on with it."""
        ...

    def publish(self, topic: Topic, frames: Sequence[Frame]) -> None:
        """Take the next frames of a topic; must not block."""
        ...

    def forget(self, topic: Topic) -> None:
        """Append no more of a topic."""
        ...

    async def flush(self, within_s: float) -> bool:
        """Wait until all is where another node can go on with it; whether it is."""
        ...


class Unlogged:
    """The twin without a log: frames are read at once."""

    is_healthy = True
    is_shared = False

    def publish(self, topic: Topic, frames: Sequence[Frame]) -> None:
        """Take the next frames of a topic."""
        topic.extend(frames)
        topic.logged = upto = len(topic.frames)
        topic.release(upto)

    def forget(self, topic: Topic) -> None:
        """Nothing to forget."""

    async def flush(self, within_s: float) -> bool:
        """No other node can go on with anything."""
        return False
