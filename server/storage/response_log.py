"""The log of answers, so that any node can go on with an answer that another one began.

One stream an answer. The id of an entry is its event's position, and a stream takes ids only in
ascending order: of two nodes that both believe to be the writer, one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.positions import Position

READ_ENTRIES = 500
"""Entries of one read: a long answer has about as many."""


class LogError(Exception):
    """The log did not take or give the entries for certain; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it was sent.

    `writer` is the node that writes from here on: with an answer's first entry, and with the
    reset by which another node takes over. `question` comes with the first entry: all that
    another node needs. `ends` marks the terminal event.
    """

    position: Position
    frame: str
    writer: str | None = None
    question: bytes | None = None
    ends: bool = False


class ResponseLog(Protocol):
    """What answers are appended to and read from. All methods but `unfit` raise `LogError`."""

    async def unfit(self) -> str | None:
        """Return why nothing should be logged now, or None."""
        ...

    async def append(self, entries: Sequence[tuple[str, Entry]]) -> list[bool]:
        """Append entries to the streams of answers, in order; one result each.

        False: the stream is past this position, somebody else writes it. An entry that is
        already there, as after a lost reply, counts as appended.
        """
        ...

    async def read(self, response_id: str, after: Position) -> list[Entry]:
        """Return up to `READ_ENTRIES` entries after a position; none for an unknown answer."""
        ...

    async def read_many(self, after: Mapping[str, Position]) -> dict[str, list[Entry]]:
        """Return what is new of several answers, by id; those without news are left out."""
        ...

    async def erase(self, response_ids: Sequence[str]) -> int:
        """Remove those answers that have ended; return how many there were.

        One that is still being written stays, and lapses some time after its end.
        """
        ...


class MemoryResponseLog:
    """The twin in memory: the log of nodes that live in one process.

    `failing` makes every call fail with that reason.
    """

    def __init__(self) -> None:
        self.failing: str | None = None
        self.streams: dict[str, list[Entry]] = {}

    async def unfit(self) -> str | None:
        """Return `failing`."""
        return self.failing

    async def append(self, entries: Sequence[tuple[str, Entry]]) -> list[bool]:
        """Append what is past the end of its stream."""
        self._raise()
        return [self._append(response_id, entry) for response_id, entry in entries]

    async def read(self, response_id: str, after: Position) -> list[Entry]:
        """Return what comes after."""
        self._raise()
        stream = self.streams.get(response_id, [])
        return [entry for entry in stream if entry.position > after][:READ_ENTRIES]

    async def read_many(self, after: Mapping[str, Position]) -> dict[str, list[Entry]]:
        """Return what comes after, of each."""
        found = {one: await self.read(one, position) for one, position in after.items()}
        return {one: entries for one, entries in found.items() if entries}

    async def erase(self, response_ids: Sequence[str]) -> int:
        """Look at the last entry of each."""
        self._raise()
        gone = [one for one in response_ids if one in self.streams and self.streams[one][-1].ends]
        for response_id in gone:
            del self.streams[response_id]
        return len(gone)

    def _append(self, response_id: str, entry: Entry) -> bool:
        stream = self.streams.setdefault(response_id, [])
        if not stream or entry.position > stream[-1].position:
            stream.append(entry)
            return True
        return entry in stream

    def _raise(self) -> None:
        if self.failing is not None:
            raise LogError(self.failing)
