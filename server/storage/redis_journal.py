"""The journal on the log Redis: one stream, one consumer group, entries deleted once stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from server.storage.checks import check_log
from server.storage.faults import StorageError
from server.storage.journal import MAX_ENTRIES, JournalEntry, JournalError

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient

JOURNAL_KEY = "manicule:journal"
"""One stream; in a cluster one node holds it."""

GROUP = "drainers"

CHECK_EVERY_S = 1.0
"""How long a finding that the log is fit is believed; a change of server is noticed at once."""

WRITE_S = 0.4
"""How long a busy disk may keep the server from writing what it took; beyond it, no ack."""

Reply = TypeVar("Reply")


class RedisJournal:
    """The journal on the log Redis, as one stream with one consumer group.

    Nothing counts as durable unless the server was found fit (never evicts, append-only file on,
    a primary) and is still the very process that was found so: the reply to an append carries the
    server's run id. `on_gap` is called when a server took over that misses entries of ours.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        key: str = JOURNAL_KEY,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
        on_gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._key = key
        self._max_entries = max_entries
        self._clock = clock
        self._on_gap = on_gap
        self._checked_at: float | None = None
        self._run_id: str | None = None
        self._last_id = (0, 0)
        self._grouped = False

    async def unfit(self) -> str | None:
        """Return what `check_log` finds wrong, believed for a second when nothing is."""
        now = self._clock()
        if self._checked_at is not None and now - self._checked_at < CHECK_EVERY_S:
            return None
        try:
            async with asyncio.timeout(1.0):
                run_id = await self._server()  # behind the breaker: fails at once while it is away
                findings = await check_log(self._client.url)
                wrong = [f"{one.what}. {one.remedy}".strip() for one in findings if not one.ok]
                if wrong:
                    return "; ".join(wrong)
                if run_id != self._run_id:
                    await self._look_for_gap()
        except (StorageError, TimeoutError) as error:
            return f"the log does not answer: {error}"
        self._checked_at, self._run_id = now, run_id
        return None

    async def append(self, entries: Sequence[bytes]) -> None:
        """XADD all entries in one pipeline; raises when one was not taken for certain."""
        try:
            if await self._server() != self._run_id:
                self._checked_at = None
            if reason := await self.unfit():
                raise JournalError(reason)
            if await self.size() + len(entries) > self._max_entries:
                raise JournalError(f"the journal holds {self._max_entries} entries: full")
            commands = [("XADD", self._key, "*", "row", data) for data in entries]
            replies = await self._client.pipeline(commands)
            await self._await_write()
            run_id = await self._server()
        except StorageError as error:
            self._checked_at = None
            raise JournalError(str(error)) from error
        failed = [reply for reply in replies if isinstance(reply, Exception)]
        if failed or run_id != self._run_id:
            self._checked_at = None
            raise JournalError(str(failed[0]) if failed else "another server took over")
        self._last_id = _parsed_id(replies[-1])

    async def own(self, consumer: str, limit: int) -> list[JournalEntry]:
        """Read what was delivered to this consumer before (XREADGROUP from 0)."""
        return await self._read(consumer, limit, "0")

    async def fresh(self, consumer: str, limit: int) -> list[JournalEntry]:
        """Read what is new (XREADGROUP >)."""
        return await self._read(consumer, limit, ">")

    async def claim(self, consumer: str, limit: int, *, idle_ms: int) -> list[JournalEntry]:
        """Take over what others left lying (XAUTOCLAIM)."""
        options = (GROUP, consumer, idle_ms, "0-0", "COUNT", limit)
        reply = cast("Any", await self._grouped_call("XAUTOCLAIM", self._key, *options))
        return _entries(reply[1])

    async def done(self, ids: Sequence[str]) -> None:
        """XACK, then XDEL."""
        if not ids:
            return
        commands = [("XACK", self._key, GROUP, *ids), ("XDEL", self._key, *ids)]
        for reply in await self._guarded(self._client.pipeline(commands)):
            if isinstance(reply, Exception):
                raise JournalError(str(reply))

    async def size(self) -> int:
        """XLEN."""
        return int(cast("int", await self._guarded(self._client.call("XLEN", self._key))))

    async def oldest_ms(self) -> int | None:
        """XRANGE of one entry: its id begins with the time at which Redis took it."""
        call = self._client.call("XRANGE", self._key, "-", "+", "COUNT", 1)
        found = cast("list[Any]", await self._guarded(call))
        return _parsed_id(found[0][0])[0] if found else None

    async def _read(self, consumer: str, limit: int, after: str) -> list[JournalEntry]:
        reply = await self._grouped_call(
            "XREADGROUP", "GROUP", GROUP, consumer, "COUNT", limit, "STREAMS", self._key, after
        )
        return [entry for _, found in cast("Any", reply or []) for entry in _entries(found)]

    async def _grouped_call(self, *command: str | int) -> object:
        """Send a command that needs the group; make the group first, and again if it is gone."""
        try:
            await self._make_group()
            return await self._client.call(*command)
        except StorageError as error:
            if "NOGROUP" in error.detail:
                self._grouped = False
            raise JournalError(str(error)) from error

    async def _make_group(self) -> None:
        if self._grouped:
            return
        try:
            await self._client.call("XGROUP", "CREATE", self._key, GROUP, "0", "MKSTREAM")
        except StorageError as error:
            if "BUSYGROUP" not in error.detail:
                raise
        self._grouped = True

    async def _server(self) -> str:
        """Return the run id of the server; in a cluster, of the one that holds the stream."""
        return str((await self._client.facts("server", self._key))["run_id"])

    async def _await_write(self) -> None:
        """Wait until the server has handed what it took to its operating system.

        While a sync runs in the background, `appendfsync everysec` answers up to two seconds
        before it writes; a crash of the server in that time would lose what it answered.
        """
        deadline = self._clock() + WRITE_S
        while True:
            facts = await self._client.facts("persistence", self._key)
            if not int(facts.get("aof_buffer_length", 0)):
                return
            if self._clock() > deadline:
                raise JournalError("the log's disk is slow: what it took is not written yet")
            await asyncio.sleep(0.005)

    async def _look_for_gap(self) -> None:
        """Tell when a new server's stream ends before the last entry that the old one took."""
        if self._run_id is None or self._last_id == (0, 0):
            return
        try:
            reply = cast("list[Any]", await self._client.call("XINFO", "STREAM", self._key))
            facts = dict(zip(reply[::2], reply[1::2], strict=True))
            last = _parsed_id(facts[b"last-generated-id"])
        except StorageError as error:
            if error.kind != "reply":
                raise
            last = (0, 0)  # no such key
        if last < self._last_id:
            self._on_gap()
        self._last_id = last

    async def _guarded(self, call: Awaitable[Reply]) -> Reply:
        try:
            return await call
        except StorageError as error:
            raise JournalError(str(error)) from error


def _entries(found: list[Any]) -> list[JournalEntry]:
    """Return delivered entries; one that was deleted meanwhile comes without its fields."""
    return [
        JournalEntry(name.decode(), fields[b"row"])
        for name, fields in found
        if name is not None and fields
    ]


def _parsed_id(name: object) -> tuple[int, int]:
    text = name.decode() if isinstance(name, bytes) else str(name)
    ms, _, number = text.partition("-")
    return int(ms), int(number)
