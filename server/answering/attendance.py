"""Answers that nobody reads any more stop after a while: nobody pays for text that nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from server.answering.running import RunningAnswer
from server.storage.response_log import LogError

log = structlog.get_logger("manicule")


async def nowhere(response_id: str) -> bool:
    """Nobody reads elsewhere: there is no elsewhere."""
    return False


class Attendance:
    """Watches whether answers are read, here or (`is_read_elsewhere`) on another node.

    An answer without a reader for `grace_s` seconds is deserted.
    """

    def __init__(
        self, *, grace_s: float, is_read_elsewhere: Callable[[str], Awaitable[bool]] = nowhere
    ) -> None:
        self._grace_s = grace_s
        self._is_read_elsewhere = is_read_elsewhere
        self._timers: dict[RunningAnswer, asyncio.TimerHandle] = {}
        self._watched: dict[RunningAnswer, Callable[[], None]] = {}
        self._checks: set[asyncio.Task[None]] = set()

    def watch(self, answer: RunningAnswer) -> None:
        """Watch an answer; it counts as unread until somebody subscribes."""
        topic = answer.topic
        topic.when_attended = partial(self._stop_timer, answer)
        topic.when_deserted = self._watched[answer] = partial(self._start_timer, answer)
        self._start_timer(answer)

    def leave(self, answer: RunningAnswer) -> None:
        """Watch an answer no longer."""
        topic = answer.topic
        if topic.when_deserted is self._watched.pop(answer, None):  # nobody else watches it by now
            topic.when_attended = topic.when_deserted = lambda: None
        self._stop_timer(answer)

    async def is_read(self, answer: RunningAnswer) -> bool:
        """Whether somebody reads an answer, here or elsewhere."""
        if answer.topic.readers:
            return True
        try:
            return await self._is_read_elsewhere(answer.question.response_id)
        except LogError as error:
            log.warning("attendance_unknown", reason=str(error))
            return False  # nobody can follow it there now either

    def close(self) -> None:
        """Watch nothing any more."""
        for answer in tuple(self._watched):
            self.leave(answer)
        for task in self._checks:
            task.cancel()

    def _start_timer(self, answer: RunningAnswer) -> None:
        if answer.done.is_set() or answer in self._timers:
            return
        loop = asyncio.get_running_loop()
        self._timers[answer] = loop.call_later(self._grace_s, self._look, answer)

    def _stop_timer(self, answer: RunningAnswer) -> None:
        timer = self._timers.pop(answer, None)
        if timer is not None:
            timer.cancel()

    def _look(self, answer: RunningAnswer) -> None:
        task = asyncio.create_task(self._desert(answer), name="attendance")
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _desert(self, answer: RunningAnswer) -> None:
        is_read = await self.is_read(answer)
        if self._timers.pop(answer, None) is None or answer.topic.readers:
            return
        if is_read:
            self._start_timer(answer)
        else:
            answer.desert()
