"""The parts by which the nodes of a fleet share answers, put together."""

from __future__ import annotations

from collections.abc import Callable

from server.answering.attendance import Attendance
from server.answering.follower import Follower
from server.answering.log_writer import LogWriter
from server.answering.presence import Presence
from server.answering.resuming import OtherNodes
from server.answering.service import Answering
from server.answering.takeover import TakeOver
from server.answering.topics import Topic, Topics
from server.storage.fleet import Fleet
from server.storage.response_log import ResponseLog

FLUSH_S = 1.0
"""Longest wait for the log when the process ends."""


class Sharing:
    """One node's part in a fleet: writes its answers to the log, follows and takes over others.

    `start` needs the `Answering` that was made with this `writer`; `aclose` gives the node's lease
    back, so that what it left unfinished is taken over at once.
    """

    def __init__(
        self,
        response_log: ResponseLog,
        fleet: Fleet,
        topics: Topics,
        *,
        node: str,
        clock: Callable[[], float],
        on_event: Callable[[str], None] = lambda event: None,
    ) -> None:
        self._log = response_log
        self._fleet = fleet
        self._topics = topics
        self._node = node
        self._clock = clock
        self._on_event = on_event
        self.writer = LogWriter(
            response_log,
            node=node,
            on_fenced=self._fenced,
            on_event=on_event,
        )
        topics.on_drop = self.writer.forget

    def attendance(self, grace_s: float) -> Attendance:
        """Return what watches whether answers are read, here or elsewhere."""
        return Attendance(grace_s=grace_s, is_read_elsewhere=self._fleet.is_read)

    async def start(self, answering: Answering) -> OtherNodes:
        """Take part; return the door to the answers of other nodes."""
        self._answering = answering
        take_over = TakeOver(
            self._log, answering, self._topics, node=self._node, on_event=self._on_event
        )
        self._follower = Follower(
            self._log,
            self._fleet,
            self._topics,
            node=self._node,
            take_over=take_over,
            clock=self._clock,
        )
        self._presence = Presence(self._fleet, self._node, on_cancel=self._cancel)
        await self._log.unfit()  # the first answer should not wait for this
        await self._presence.start()
        self.writer.start()
        self._follower.start()
        return OtherNodes(self._follower, self._fleet, answering, fence=self._fence)

    async def leave(self) -> None:
        """Write what is still to be written and give back the lease."""
        await self.writer.flush(FLUSH_S)
        await self._presence.aclose()

    async def aclose(self) -> None:
        """Leave, and end all tasks."""
        await self.leave()
        await self._follower.aclose()
        await self.writer.aclose()

    async def _fence(self, topic: Topic) -> None:
        entries = await self._log.read(topic.response_id, topic.last_logged)
        if any(entry.writer not in (None, self._node) for entry in entries):
            self._fenced(topic)

    def _fenced(self, topic: Topic) -> None:
        answer = self._answering.running.get(topic.response_id)
        if answer is not None:
            answer.give_up()
        self._follower.adopt(topic)

    def _cancel(self, response_id: str) -> None:
        answer = self._answering.running.get(response_id)
        if answer is not None:
            answer.cancel()
