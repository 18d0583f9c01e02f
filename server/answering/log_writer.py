"""Append, then send: frames reach their readers once the log has them, or soon after anyway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import structlog

from server.answering.topics import Frame, Topic
from server.storage.cancelling import end_tasks
from server.storage.response_log import Entry, LogError, ResponseLog

log = structlog.get_logger("manicule")

MAX_WAIT_S = 0.05
"""Longest that a frame waits for the log: past it a reader sees the text stutter."""

RETRY_S = 0.25
MAX_RETRY_S = 2.0
"""Between attempts while the log is away: the first, and the longest."""

CALM_S = 1.0
"""How long the log must have been prompt to count as healthy again: clients are told of it."""

MAX_ENTRIES = 1000
"""Entries of one append, so that none takes longer than its wait."""

LogEvent = Literal["appended", "failed", "late", "fenced", "lost", "recovered"]


class LogWriter:
    """Appends what all answers of the process publish, one append in flight.

    What is published meanwhile makes the next append. When the log does not confirm in
    `MAX_WAIT_S`, readers get their frames unlogged (`is_healthy` turns false) and the log is
    filled up once it is back; `on_health` is told of both. `on_fenced` is called with a topic
    that another node writes now.
    """

    def __init__(
        self,
        response_log: ResponseLog,
        *,
        node: str,
        on_fenced: Callable[[Topic], None],
        on_event: Callable[[LogEvent], None] = lambda event: None,
    ) -> None:
        self._log = response_log
        self._node = node
        self._on_fenced = on_fenced
        self._on_event = on_event
        self.on_health: Callable[[bool], None] = lambda healthy: None
        self._dirty: dict[Topic, None] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._retry_s = RETRY_S
        self._reason = ""
        self._faulty_at = float("-inf")
        self.is_healthy = True
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Append from here on."""
        self._task = asyncio.create_task(self._run(), name="log-writer")

    async def aclose(self) -> None:
        """Append no more; `flush` before."""
        if self._task is not None:
            await end_tasks(self._task)

    def publish(self, topic: Topic, frames: Sequence[Frame]) -> None:
        """Take the next frames of a topic."""
        topic.extend(frames)
        self._dirty[topic] = None
        self._idle.clear()
        self._work.set()
        if not self.is_healthy:
            topic.release(len(topic.frames))

    @property
    def is_shared(self) -> bool:
        """Whether another node can go on with what is published here."""
        return self.is_healthy

    async def flush(self, within_s: float) -> bool:
        """Wait until all is logged, at most so long; whether it is."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def forget(self, topic: Topic) -> None:
        """Append no more of a topic."""
        self._dirty.pop(topic, None)

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._dirty:
                await self._append_once()
            self._idle.set()
            if asyncio.get_running_loop().time() - self._faulty_at >= CALM_S:
                self._set_healthy(True)

    async def _append_once(self) -> None:
        batch = self._take_batch()
        attempt = asyncio.create_task(self._append(batch), name="log-append")
        try:
            done, _ = await asyncio.wait([attempt], timeout=MAX_WAIT_S)
            if not done:
                self._note_fault("late", f"no reply within {MAX_WAIT_S * 1000:g} ms")
            results = await attempt
        except LogError as error:
            self._note_fault("failed", str(error))
            await asyncio.sleep(self._retry_s)
            self._retry_s = min(MAX_RETRY_S, self._retry_s * 2)
            return
        finally:
            attempt.cancel()
        self._retry_s = RETRY_S
        self._settle(batch, results)

    def _note_fault(self, event: LogEvent, reason: str) -> None:
        self._faulty_at = asyncio.get_running_loop().time()
        self._on_event(event)
        if reason != self._reason:
            self._reason = reason
            log.warning("response_log_failed", reason=reason)
        self._set_healthy(False)

    async def _append(self, batch: list[tuple[Topic, int, int]]) -> list[bool]:
        if reason := await self._log.unfit():
            raise LogError(reason)
        entries = [
            (topic.response_id, self._entry(topic, index))
            for topic, start, end in batch
            for index in range(start, end)
        ]
        return await self._log.append(entries)

    def _take_batch(self) -> list[tuple[Topic, int, int]]:
        batch: list[tuple[Topic, int, int]] = []
        left = MAX_ENTRIES
        for topic in self._dirty:
            end = min(len(topic.frames), topic.logged + left)
            batch.append((topic, topic.logged, end))
            left -= end - topic.logged
            if left <= 0:
                break
        return batch

    def _entry(self, topic: Topic, index: int) -> Entry:
        frame, is_first = topic.frames[index], index == 0
        return Entry(
            position=frame.position,
            frame=frame.text,
            writer=self._node if is_first else None,
            question=topic.question if is_first else None,
            ends=frame.ends,
        )

    def _settle(self, batch: list[tuple[Topic, int, int]], results: list[bool]) -> None:
        self._on_event("appended")
        place = 0
        for topic, start, end in batch:
            own = results[place : place + end - start]
            place += end - start
            if topic not in self._dirty:
                continue  # forgotten meanwhile
            if not all(own):
                self._on_event("fenced")
                del self._dirty[topic]
                self._on_fenced(topic)
                continue
            topic.logged = end
            if end == len(topic.frames):
                del self._dirty[topic]
            topic.release(end)

    def _set_healthy(self, healthy: bool) -> None:
        if healthy is self.is_healthy:
            return
        self.is_healthy = healthy
        if healthy:
            self._reason = ""
        self._on_event("recovered" if healthy else "lost")
        if not healthy:
            for topic in tuple(self._dirty):
                topic.release(len(topic.frames))
        self.on_health(healthy)
