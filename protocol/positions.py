"""Where in an answer a reader is: the pair of epoch and sequence number."""

from __future__ import annotations

import re

import msgspec

from protocol.errors import EventError

_WRITTEN = re.compile(r"(\d{1,15})-(\d{1,15})")


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """The position of an event; positions are ordered as the events of an answer are."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"

    @property
    def next(self) -> Position:
        """The position that follows in the same epoch."""
        return Position(self.epoch, self.number + 1)


BEFORE_ALL = Position(1, -1)


def parse_position(text: str) -> Position:
    """Return the position that `text` (`epoch-sequence_number`, as in SSE ids) means.

    Raises `EventError("invalid_event")`.
    """
    written = _WRITTEN.fullmatch(text.strip())
    if written is None or int(written[1]) < 1:
        raise EventError(
            "invalid_event",
            "`Last-Event-ID` must be the `id` of the last event that came, such as 1-17",
            param="Last-Event-ID",
        )
    return Position(int(written[1]), int(written[2]))
