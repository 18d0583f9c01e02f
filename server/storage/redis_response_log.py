"""The log of answers on the log Redis: a stream an answer, entry ids made of positions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from protocol.positions import Position
from server.storage.checks import check_log
from server.storage.faults import StorageError
from server.storage.response_log import READ_ENTRIES, Entry, LogError

if TYPE_CHECKING:
    from server.storage.redis_client import Command, RedisClient

PREFIX = "manicule:answer:"
KEEP_S = 600
"""How long an answer can be resumed after its end; then the store has its final form."""

RUN_S = 3600
"""A stream whose writer died and that nobody took over goes after an hour."""

CHECK_EVERY_S = 30.0
"""How long a finding that the log is fit is believed."""

ERASED_TOGETHER = 500
"""Answers that one pipeline looks at."""

NO_STREAM = "no such key"
"""What Redis says of a stream that is not there, or has lapsed."""

PASSED = "equal or smaller"
"""What Redis says of an entry whose id the stream is past."""


class RedisResponseLog:
    """Streams under `manicule:answer:`; works on any Redis from 6.0, without scripts."""

    def __init__(
        self,
        client: RedisClient,
        *,
        keep_s: int = KEEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._keep_s = keep_s
        self._clock = clock
        self._fit_until = float("-inf")

    async def unfit(self) -> str | None:
        """Return what `check_log` finds wrong; a fit log is asked again after a while."""
        if self._clock() < self._fit_until:
            return None
        findings = await check_log(self._client.url)
        wrong = [f"{one.what}. {one.remedy}".strip() for one in findings if not one.ok]
        if wrong:
            return "; ".join(wrong)
        self._fit_until = self._clock() + CHECK_EVERY_S
        return None

    async def append(self, entries: Sequence[tuple[str, Entry]]) -> list[bool]:
        """XADD all in one pipeline; a stream's life is set at its first and its last entry."""
        commands: list[Command] = []
        places: list[int] = []
        for response_id, entry in entries:
            places.append(len(commands))
            commands.extend(self._commands(PREFIX + response_id, entry))
        try:
            replies = await self._client.pipeline(commands)
            results = []
            for (response_id, entry), place in zip(entries, places, strict=True):
                results.append(await self._is_appended(response_id, entry, replies[place]))
        except StorageError as error:
            raise LogError(str(error)) from error
        return results

    def _commands(self, key: str, entry: Entry) -> list[Command]:
        add: list[str | bytes | int | float] = ["XADD", key, str(entry.position), "f", entry.frame]
        if entry.writer is not None:
            add += ["w", entry.writer]
        if entry.question is not None:
            add += ["q", entry.question]
        commands: list[Command] = [add]
        if entry.ends:
            add += ["e", "1"]
            commands.append(("EXPIRE", key, self._keep_s))
        elif entry.writer is not None:
            commands.append(("EXPIRE", key, RUN_S))
        return commands

    async def _is_appended(self, response_id: str, entry: Entry, reply: object) -> bool:
        if not isinstance(reply, StorageError):
            return True
        if PASSED not in reply.detail:
            raise reply
        at = str(entry.position)
        found = await self._client.call("XRANGE", PREFIX + response_id, at, at)
        return [entry] == _entries(found)

    async def read(self, response_id: str, after: Position) -> list[Entry]:
        """XRANGE from the position that follows."""
        key, start = PREFIX + response_id, str(after.next)
        try:
            return _entries(
                await self._client.call("XRANGE", key, start, "+", "COUNT", READ_ENTRIES)
            )
        except StorageError as error:
            raise LogError(str(error)) from error

    async def read_many(self, after: Mapping[str, Position]) -> dict[str, list[Entry]]:
        """XREAD of all streams; on a cluster, where they lie on several nodes, one each."""
        ids = list(after)
        if self._client.cluster:
            commands = [self._xread([one], after) for one in ids]
        else:
            commands = [self._xread(ids, after)]
        try:
            replies = await self._client.pipeline(commands)
        except StorageError as error:
            raise LogError(str(error)) from error
        news: dict[str, list[Entry]] = {}
        for reply in replies:
            if isinstance(reply, StorageError):
                raise LogError(str(reply)) from reply
            for key, found in cast("Any", reply or []):
                news[key.decode().removeprefix(PREFIX)] = _entries(found)
        return news

    async def erase(self, response_ids: Sequence[str]) -> int:
        """XINFO STREAM of each, which has the last entry, and DEL."""
        erased = 0
        for start in range(0, len(response_ids), ERASED_TOGETHER):
            keys = [PREFIX + one for one in response_ids[start : start + ERASED_TOGETHER]]
            try:
                found = await self._client.pipeline([("XINFO STREAM", key) for key in keys])
                ended = [key for key, facts in zip(keys, found, strict=True) if _has_ended(facts)]
                if ended:
                    for reply in await self._client.pipeline([("DEL", key) for key in ended]):
                        if isinstance(reply, StorageError):
                            raise reply
            except StorageError as error:
                raise LogError(str(error)) from error
            erased += len(ended)
        return erased

    def _xread(self, ids: Sequence[str], after: Mapping[str, Position]) -> Command:
        keys = [PREFIX + one for one in ids]
        # XREAD takes what is greater than the id, and -1 is no number of an id.
        starts = [_below(after[one].next) for one in ids]
        return ("XREAD", "COUNT", READ_ENTRIES, "STREAMS", *keys, *starts)


def _has_ended(facts: object) -> bool:
    """Whether the last entry of a stream, by XINFO, is an answer's end."""
    if isinstance(facts, StorageError):
        if NO_STREAM not in facts.detail:
            raise facts
        return False
    last = cast("dict[str, Any]", facts).get("last-entry")
    return any(entry.ends for entry in _entries([last] if last else []))


def _below(position: Position) -> str:
    """Return the greatest id that is smaller than the position's."""
    if position.number > 0:
        return f"{position.epoch}-{position.number - 1}"
    return f"{position.epoch - 1}-{2**64 - 1}"


def _entries(found: object) -> list[Entry]:
    """Return the entries of a reply; one without a frame is no entry of ours."""
    entries = []
    for name, fields in cast("Any", found or []):
        values = cast("dict[bytes, bytes]", fields)
        if b"f" not in values:
            continue
        epoch, _, number = name.decode().partition("-")
        writer = values.get(b"w")
        entries.append(
            Entry(
                position=Position(int(epoch), int(number)),
                frame=values[b"f"].decode(),
                writer=writer.decode() if writer is not None else None,
                question=values.get(b"q"),
                ends=b"e" in values,
            )
        )
    return entries
