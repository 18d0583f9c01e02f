"""Answers that another node writes, followed in the log for readers here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from protocol.positions import BEFORE_ALL, Position
from server.answering.taken import TakenQuestion, read_question
from server.answering.topics import (
    BEGUN_ANEW,
    RESET,
    STATUS_OF_KIND,
    Frame,
    Topic,
    Topics,
    reset_frame,
)
from server.storage.cancelling import end_tasks
from server.storage.fleet import Fleet
from server.storage.response_log import READ_ENTRIES, Entry, LogError, ResponseLog

log = structlog.get_logger("manicule")

POLL_S = 0.04
"""Between two looks at the log: as often as frames are made."""

SILENT_S = 1.0
"""An answer without news for so long may have lost its writer."""

BLIND_S = 2.0
"""A log that was away for so long has let the leases of living nodes lapse, or soon would have."""

SETTLE_S = 6.0
"""Such nodes are given this long to renew them: a breaker's longest rest, and a renewal."""

MARK_S = 10.0
"""Between two marks that say that an answer is read here; a mark lives three times as long."""


UNREAD_S = 12.0
"""A topic that nobody reads is followed for so long: who opened it may be about to read, or wait
for the log to come as far as it has read."""


@dataclass(slots=True)
class Followed:
    """A topic that is filled from the log.

    `heard_at` is when the last news came, or until when none are to be expected.
    """

    topic: Topic
    writer: str
    question: TakenQuestion
    after: Position = BEFORE_ALL
    heard_at: float = 0.0
    read_at: float = 0.0
    has_gap: bool = False


TakeOver = Callable[[Followed], Awaitable[bool]]


class Follower:
    """Fills topics from the log while somebody reads them.

    One read for all of them every `POLL_S`. `take_over` is called for an answer whose writer does
    not live any more; it returns whether this node, `node`, writes it from here on.
    """

    def __init__(
        self,
        response_log: ResponseLog,
        fleet: Fleet,
        topics: Topics,
        *,
        node: str,
        take_over: TakeOver,
        clock: Callable[[], float],
    ) -> None:
        self._node = node
        self._log = response_log
        self._fleet = fleet
        self._topics = topics
        self._take_over = take_over
        self._clock = clock
        self._followed: dict[str, Followed] = {}
        self._marked_at = float("-inf")
        self._checked_at = float("-inf")
        self._seen_at = float("-inf")
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow from here on."""
        self._task = asyncio.create_task(self._run(), name="log-follower")

    async def aclose(self) -> None:
        """Follow no more."""
        if self._task is not None:
            await end_tasks(self._task)

    async def open(self, response_id: str) -> Topic | None:
        """Return the topic of an answer in the log, followed unless it has ended.

        None when the log does not have it; raises `LogError`.
        """
        entries = await self._read_all(response_id)
        known = self._topics.get(response_id)
        if known is not None or not entries:
            return known
        first = entries[0]
        question = read_question(first.question)
        if question is None or first.writer is None:
            return None
        topic = Topic(response_id, question.asker, first.question or b"")
        followed = Followed(topic, first.writer, question, heard_at=self._clock())
        self._topics.add(topic)
        self._take(followed, entries)
        if topic.has_ended:
            self._topics.retire(topic)
        else:
            self._follow(followed)
        return topic

    def adopt(self, topic: Topic) -> None:
        """Follow a topic that was written here until another node took it over."""
        question = read_question(topic.question)
        after = topic.last_logged
        topic.forget_unreleased()  # what nobody has read never was
        if question is None or topic.has_ended:
            return
        self._topics.add(topic)
        self._follow(Followed(topic, "", question, after, heard_at=self._clock()))

    async def catch_up(self, response_id: str) -> None:
        """Read now what is new of an answer that is followed; raises `LogError`."""
        followed = self._followed.get(response_id)
        if followed is None:
            return
        after = followed.after
        entries = await self._log.read(response_id, after)
        if followed.after == after and self._followed.get(response_id) is followed:
            self._take(followed, entries)

    def writer_of(self, response_id: str) -> str | None:
        """Return the node that writes an answer which is followed here."""
        followed = self._followed.get(response_id)
        return followed.writer if followed is not None else None

    async def take_now(self, response_id: str) -> bool:
        """Take an answer over if its writer does not live; whether it is written here now."""
        followed = self._followed.get(response_id)
        if followed is None or not await self._fleet.absent([followed.writer]):
            return False
        await self._hand_to_taker(followed)
        return response_id not in self._followed

    def _follow(self, followed: Followed) -> None:
        topic = followed.topic
        topic.when_attended = lambda: None
        topic.when_deserted = lambda: self._drop(followed)
        followed.read_at = self._clock()
        self._followed[topic.response_id] = followed
        self._marked_at = float("-inf")
        self._work.set()

    def _drop(self, followed: Followed) -> None:
        if self._followed.pop(followed.topic.response_id, None) is not None:
            self._topics.drop(followed.topic)

    async def _read_all(self, response_id: str) -> list[Entry]:
        entries: list[Entry] = []
        after = BEFORE_ALL
        while True:
            more = await self._log.read(response_id, after)
            entries += more
            if len(more) < READ_ENTRIES:
                return entries
            after = more[-1].position

    async def _run(self) -> None:
        trouble = ""
        while True:
            await self._work.wait()
            self._work.clear()
            self._seen_at = self._clock()
            while self._followed:
                await asyncio.sleep(POLL_S)
                try:
                    await self._look()
                    trouble = ""
                except LogError as error:
                    if str(error) != trouble:
                        log.warning("follow_failed", reason=str(error))
                    trouble = str(error)
                    await asyncio.sleep(POLL_S * 10)

    async def _look(self) -> None:
        if not self._followed:
            return
        after = {one: followed.after for one, followed in self._followed.items()}
        news = await self._log.read_many(after)
        for response_id, entries in news.items():
            followed = self._followed.get(response_id)
            if followed is not None and followed.after == after[response_id]:
                self._take(followed, entries)
        now = self._clock()
        if now - self._seen_at >= BLIND_S:
            for followed in self._followed.values():
                followed.heard_at = max(followed.heard_at, now + SETTLE_S - SILENT_S)
        self._seen_at = now
        self._drop_unread(now)
        if now - self._marked_at >= MARK_S:
            self._marked_at = now
            read = [one for one, followed in self._followed.items() if followed.topic.readers]
            await self._fleet.mark_read(read, ttl_s=3 * MARK_S)
        if now - self._checked_at >= SILENT_S / 2:
            self._checked_at = now
            await self._look_for_orphans(now)

    def _drop_unread(self, now: float) -> None:
        for followed in tuple(self._followed.values()):
            if followed.topic.readers:
                followed.read_at = now
            elif now - followed.read_at >= UNREAD_S:
                self._drop(followed)

    async def _look_for_orphans(self, now: float) -> None:
        read = [one for one in self._followed.values() if one.topic.readers]
        silent = [one for one in read if now - one.heard_at >= SILENT_S]
        absent = await self._fleet.absent({one.writer for one in silent}) if silent else set()
        # A claim of ours whose reply was lost is in the log too: nobody else will go on with it.
        orphans = [one for one in silent if one.writer in absent or one.writer == self._node]
        orphans += [one for one in read if one.has_gap and one not in orphans]
        for orphan in orphans:
            if orphan.topic.response_id in self._followed:
                await self._hand_to_taker(orphan)

    async def _hand_to_taker(self, orphan: Followed) -> None:
        orphan.heard_at = self._clock()
        if await self._take_over(orphan):
            self._followed.pop(orphan.topic.response_id, None)

    def _take(self, followed: Followed, entries: Sequence[Entry]) -> None:
        """Put entries into the topic. What follows a reset in its epoch is a dead writer's."""
        topic = followed.topic
        for entry in entries:
            followed.after = entry.position
            followed.heard_at = self._clock()
            followed.writer = entry.writer or followed.writer
            for frame in _frames_to_show(topic, entry, followed):
                topic.extend([frame])
        topic.logged = len(topic.frames)
        topic.release(topic.logged)
        if topic.has_ended:
            self._followed.pop(topic.response_id, None)
            self._topics.retire(topic)


def _frames_to_show(topic: Topic, entry: Entry, followed: Followed) -> list[Frame]:
    position, last = entry.position, topic.last
    kind = str(json.loads(entry.frame)["type"])
    if topic.has_ended or (topic.is_reset and position.epoch <= last.epoch):
        return []
    if position <= last:  # we had written further than the log has
        if kind == RESET and position.epoch == last.epoch:
            return [reset_frame(topic.response_id, last.next, BEGUN_ANEW)]
        return []
    expected = Position(last.epoch + 1, 0) if topic.is_reset else last.next
    if topic.frames and position != expected:
        followed.has_gap = True
    return [Frame(topic.response_id, position, kind, entry.frame, kind in STATUS_OF_KIND)]
